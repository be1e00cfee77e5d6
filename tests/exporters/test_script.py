"""The script as text, its command line, and what cannot be exported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nbpipe.exporters.script import ScriptExporter
from nbpipe.notebook.parse import notebook_json
from tests.exporters.exporting import assert_snapshot, exported, script_of, script_of_notebook

FLIGHTS = [
    "# markdown\n# Late flights\n\nWhich will be late?",
    (
        "%load_ext nbpipe\nimport numpy as np\nimport pandas as pd\n%matplotlib inline\n\n"
        "np.random.seed(7)\npd.set_option('display.width', 100)  # wide tables"
    ),
    (
        "%%params\nthreshold = 15  # minutes at the gate that count as late\nfolder = 'data'\n"
        "columns = ['origin', 'dest']\nverbose = False\nlimit = None"
    ),
    (
        "from pathlib import Path\n\nDATA = Path(folder)\nLATE = 0.25\n\n\n"
        'def share(rows, what):\n    """Per cent of rows."""\n    notes.append(what)\n'
        "    return rows[what].mean() * 100 > LATE"
    ),
    "# markdown\n## Load",
    (
        "%%step load --retries 2\n# Read what there is.\n"
        "flights = pd.read_csv(DATA / 'flights.csv')\nnotes = []\n\nflights.head(3)"
    ),
    "%%step load\n!ls {folder}\nsize = !wc -l {folder}/flights.csv",
    "flights.describe()",
    "# markdown\n## Clean",
    (
        "%%step clean-up\nimport warnings\n\nwarnings.simplefilter('ignore')\n"
        "flights = flights.dropna()\nflights['late'] = flights['delay'] > threshold\n"
        "text = '''\n  kept as it is\n'''\n"
        "for name in columns:\n    if verbose:\n        print(name)\n"
        "        %time share(flights, name)"
    ),
    (
        "%%step features\nfeatures = flights[columns]\n\n"
        "def shown(frame):\n    return frame.shape\n\nshown(features), name"
    ),
    "%%step report --out summary\n%%time\nsummary = features.describe()\nsummary;",
]


def test_a_script_reads_like_its_notebook():
    assert_snapshot("script/flights.py", script_of(*FLIGHTS, name="flights"))


def test_a_script_with_everything_ipython_has():
    cells = [
        (
            "%%step shell\n!echo one\n!echo two {3 + 4}\nlines = !ls\n%cd data\n%env NAME=value\n"
            "where = %pwd\nif lines:\n    %matplotlib inline\nlines?"
        ),
        "%%step script\n%%bash\necho three\n",
        '%%step files\n%%writefile notes.txt\nOne "line".\nAnother.\n',
        "%%step captured\n%%capture out --no-stderr\nprint('''not\nindented''')\nx = 1",
        "%%step timed\n%timeit -n 10 x + 1\n%timeit -r 2 y = x\nz = x",
        "%%step drawn\nimport matplotlib.pyplot as plt\nplt.plot([z])\nplt.show()\nplt.hist([z])",
        "%%step waits\nimport asyncio\nawait asyncio.sleep(0)",
        "%%step shown\nfrom IPython.display import display\ndisplay(z, out)",
    ]
    assert_snapshot("script/ipython.py", script_of(*cells, name="ipython"))


def test_the_same_notebook_gives_the_same_bytes_in_any_hash_order(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "from tests.exporters.exporting import script_of\n"
        "from tests.exporters.test_script import FLIGHTS\n"
        "print(script_of(*FLIGHTS))"
    )
    texts = {
        subprocess.run(
            [sys.executable, program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(texts) == 1


# ---- the command line -------------------------------------------------------------------------

PARAMETERS = [
    (
        "%%params\nalpha = 0.1\ncount = 3\nword = 'a'\nflag = True\nnames = ['x']\n"
        "limits = {'k': 1}\nanything = None\nhelp = 1\n_hidden = 2"
    ),
    "%%step show\nprint([alpha, count, word, flag, names, limits, anything, help, _hidden])",
]


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        ([], "[0.1, 3, 'a', True, ['x'], {'k': 1}, None, 1, 2]"),
        (
            ["--alpha", "2", "--count=4", "--word", "b c", "--no-flag"],
            "[2.0, 4, 'b c', False, ['x'], {'k': 1}, None, 1, 2]",
        ),
        (
            ["--names", '["y", 1]', "--limits", "{}", "--anything", "[1]"],
            "[0.1, 3, 'a', True, ['y', 1], {}, [1], 1, 2]",
        ),
        (
            ["--anything", "text", "--help-value", "5", "--_hidden", "6"],
            "[0.1, 3, 'a', True, ['x'], {'k': 1}, 'text', 5, 6]",
        ),
    ],
)
def test_options_set_parameters(arguments, printed, tmp_path):
    assert run_script(tmp_path, PARAMETERS, *arguments).stdout == printed + "\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--alpha", "abc"], "argument --alpha: invalid float value: 'abc'"),
        (["--names", "{}"], "argument --names: invalid JSON list value: '{}'"),
        (["--names", "x"], "argument --names: invalid JSON list value: 'x'"),
        (["--alph", "1"], "unrecognized arguments: --alph 1"),
    ],
)
def test_wrong_options_are_refused(arguments, complaint, tmp_path):
    done = run_script(tmp_path, PARAMETERS, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr


def test_help_names_parameters_with_their_comments(tmp_path):
    cells = ["%%params\nrate = 0.5  # 50 % of it", "%%step a\nprint(rate)"]
    assert "50 % of it (default: 0.5)" in run_script(tmp_path, cells, "--help").stdout


def test_a_script_can_be_imported_without_running(tmp_path):
    (tmp_path / "demo.py").write_text(script_of("%%step load\nx = 3", "%%step show\nprint(x)"))
    done = subprocess.run(
        [sys.executable, "-c", "import demo; demo.show(demo.load() + 1)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "4\n"


def run_script(folder, cells, *arguments):
    (folder / "demo.py").write_text(script_of(*cells))
    return subprocess.run(
        [sys.executable, "demo.py", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_demo_runs_as_a_script(tmp_path):
    for module in ("sklearn", "pyarrow", "matplotlib", "threadpoolctl"):
        pytest.importorskip(module)
    demo = Path(__file__).parents[2] / "demo_notebooks"
    content = notebook_json((demo / "flights.ipynb").read_text(encoding="utf-8"))
    (tmp_path / "flights.py").write_text(script_of_notebook(content, name="flights"))
    (tmp_path / "data").symlink_to(demo / "data")
    done = subprocess.run(
        [sys.executable, "flights.py", "--sample-share", "0.05", "--max-iter=5"],
        cwd=tmp_path,
        env=os.environ | {"MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "336,776 flights, 16 carriers, 105 destinations" in done.stdout
    assert "best model:" in done.stdout


# ---- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("flights", "flights.py"),
        ("late-flights", "late_flights.py"),
        ("random", "random_pipeline.py"),
        ("numpy", "numpy_pipeline.py"),
        ("class", "class_pipeline.py"),
    ],
)
def test_the_module_hides_no_other(name, file):
    cells = [f"%pipeline {name}\nimport numpy", "%%step a\nprint(numpy)"]
    assert list(exported(ScriptExporter(), *cells).files) == [file]


# ---- what cannot be exported ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        (
            ["x = 1", "%%step a\nprint(1)\n\n%run other.py"],
            "cell 2, line 4: error NBP301: %run works in IPython only.",
        ),
        (
            ["%%step a\n\n%%cython -a\ndef f(): pass"],
            "cell 1, line 3: error NBP301: %%cython with options works in IPython only.",
        ),
        (
            ["%%step a\nx = %timeit -o 1 + 1"],
            "cell 1, line 2: error NBP301: the value of this line exists in IPython only.",
        ),
        (
            ["%%step a\ndef f():\n    return get_ipython().user_ns\nf()"],
            "cell 1, line 2: error NBP301: get_ipython() gives nothing in a script.",
        ),
        (
            ["%%step a\n_show = 1"],
            "cell 1, line 2: error NBP302: the script needs the name '_show' for itself.",
        ),
    ],
)
def test_what_has_no_counterpart_is_an_error_with_its_place(cells, found):
    export = exported(ScriptExporter(), *cells)
    assert [str(d).split("\n")[0] for d in export.errors] == [found]
    assert export.files == {}


def test_a_guarded_look_for_ipython_is_the_authors_way_to_ask():
    cell = "%%step a\ntry:\n    get_ipython()\nexcept NameError:\n    print('a script')"
    assert "get_ipython()" in script_of(cell)


def test_broken_cells_outside_of_steps_do_not_matter():
    assert "print(1)" in script_of("this is not Python", "%run x.py", "%%step a\nprint(1)")


def test_seeding_each_step_by_itself_is_mentioned():
    cells = ["%pipeline demo --rng per-step", "%%step a\nprint(1)"]
    (found,) = exported(ScriptExporter(), *cells).diagnostics
    assert (found.code, found.severity) == ("NBP303", "info")
