"""What lives in the process: settings, environment, working directory, and modules' own state."""

from tests.fuzz.moves.topic import Topic

SETTINGS = Topic(
    name="settings",
    imports="import os\nimport warnings\nimport numpy as np\nimport pandas as pd\nimport matplotlib as mpl\nimport matplotlib.pyplot as plt",
    definitions={
        "quieter": "def quieter():\n    pd.set_option('display.precision', 1)\n    warnings.simplefilter('ignore')",
        "rounded": "def rounded(n):\n    np.set_printoptions(precision=n)",
        "into": "def into(name):\n    os.makedirs(name, exist_ok=True)\n    os.chdir(name)",
        "using": "def using(**variables):\n    os.environ.update(variables)",
        "style": "def style():\n    plt.rcParams['lines.linewidth'] = 4",
    },
    variables={
        "third": {"u1": ("u1 = np.array([1, 2]) / 3",)},
        "thirds": {"u2": ("u2 = pd.DataFrame({'a': [1, 2]}) / 3",)},
    },
    shows={
        "third": "$_",
        "thirds": "$_",
    },
    moves=(
        "pd.set_option('display.precision', $k + 1)",
        "pd.options.display.precision = $k + 1",
        "pd.reset_option('display.precision')",
        "with pd.option_context('display.precision', 1):\n    print(u2)",
        "np.set_printoptions(precision=$k + 1)",
        "np.set_printoptions(precision=$k + 1, suppress=True)",
        "rounded($k + 1)",
        "quieter()",
        "warnings.simplefilter('ignore')",
        "warnings.filterwarnings('ignore', message='loud')",
        "warnings.warn('loud', stacklevel=1)",
        "np.seterr(all='ignore')",
        "print(np.geterr()['divide'])",
        "os.environ['MODE'] = 'm$k'",
        "os.environ['MODE'] = $text",
        "using(MODE='used$k')",
        "os.environ.pop('MODE', None)",
        "print(os.environ.get('MODE'))",
        "$text = os.environ.get('MODE', 'none')",
        "os.makedirs('sub$k', exist_ok=True)\nos.chdir('sub$k')",
        "into('deep$k')",
        "os.chdir('.')",
        "print(os.path.basename(os.getcwd()) if os.path.basename(os.getcwd()) not in ('plain', 'piped') else 'home')",
        "plt.rcParams['lines.linewidth'] = $k",
        "mpl.rc('lines', linewidth=$k + 1)",
        "style()",
        "print(plt.rcParams['lines.linewidth'])",
        "u2",
        "u1",
        "print(u1, u2)",
        "u1 = u1 / 3",
        "if $number > 1:\n    np.set_printoptions(precision=2)",
        "for width in (1, 2):\n    pd.set_option('display.precision', width)",
        "setter = np.set_printoptions\nsetter(precision=$k + 1)",
    ),
)

MODULES = Topic(
    name="modules",
    imports="import lib\nimport lib as other\nimport lib2\nfrom lib import bump, items, Thing",
    files={
        "lib.py": "counter = 0\nitems = []\nsettings = {'mode': 'a'}\n\n\ndef bump(by=1):\n    global counter\n    counter += by\n"
        "    return counter\n\n\ndef add(thing):\n    items.append(thing)\n    return list(items)\n\n\ndef change(target):\n"
        "    target.append('lib')\n\n\ndef mode():\n    return settings['mode']\n\n\nclass Thing:\n    made = 0\n\n"
        "    def __init__(self):\n        Thing.made += 1\n        self.number = Thing.made\n\n    def __repr__(self):\n"
        "        return f'Thing({self.number})'\n",
        "lib2.py": "import lib\n\nbase = 10\n\n\ndef total():\n    return base + lib.counter\n\n\ndef remember(x, seen=[]):\n"
        "    seen.append(x)\n    return len(seen)\n",
        "stars.py": "__all__ = ['star', 'stars']\nstar = 5\nstars = [1]\n\n\ndef hidden():\n    return 1\n",
    },
    definitions={
        "through": "def through(by):\n    lib.counter += by\n    return lib.counter",
    },
    moves=(
        "lib.counter += 1",
        "lib.counter = $k",
        "lib.bump()",
        "$number = bump($k)",
        "$number = lib.counter",
        "$number = other.counter",
        "lib.items.append($k)",
        "items.append($k)",
        "$list = lib.add($k)",
        "lib.change($list)",
        "lib.settings['mode'] = 'm$k'",
        "$text = lib.mode()",
        "lib.mode = lambda: 'patched'",
        "setattr(lib, 'counter', $k)",
        "through($k)",
        "$list.append(repr(Thing()))",
        "lib.Thing.made = $k",
        "$number = lib2.total()",
        "lib2.base = $k",
        "$number = lib2.remember($k)",
        "print(lib.counter, lib.items, lib.settings, lib.Thing.made, lib2.base)",
        "print(lib2.total(), lib.mode())",
        "from stars import *\n$number = star + len(stars)",
        "from stars import *\nstars.append($k)\nprint(stars)",
        "import importlib\nlib = importlib.reload(lib)",
    ),
)
