"""Files that one cell writes and another reads, by paths that can be read off the code or not."""

from tests.fuzz.moves.topic import Topic

FILES = Topic(
    name="files",
    imports="import json\nimport os\nimport pathlib\nimport pickle\nimport numpy as np\nimport pandas as pd",
    files={"given.csv": "a,b\n1,2\n3,4\n", "given.json": '{"a": [1]}'},
    definitions={
        "save": "def save(name, text):\n    with open(name, 'w') as file:\n        file.write(text)",
        "append": "def append(name, text):\n    with open(name, 'a') as file:\n        file.write(text)",
        "slurp": "def slurp(name):\n    return open(name).read() if os.path.exists(name) else 'none'",
    },
    variables={
        "path": {
            "w3": ("w3 = 'out.txt'", "w3 = pathlib.Path('out.txt')"),
            "w4": ("w4 = f'out{n1}.txt'", "w4 = os.path.join('.', 'out.txt')"),
        },
    },
    shows={"path": "(str($_), slurp($_))"},
    moves=(
        "save('out.txt', '$k')",
        "save($path, $text)",
        "append('out.txt', '$k')",
        "append($path, '$k')",
        "with open('out.txt', 'w') as file:\n    file.write($text)",
        "with open('out.txt', 'a') as file:\n    print($number, file=file)",
        "pathlib.Path('out.txt').write_text('$k')",
        "pathlib.Path(str($number) + '.txt').write_text('$k')",
        "$text = slurp('out.txt')",
        "$text = slurp($path)",
        "$text = slurp(str($number) + '.txt')",
        "if os.path.exists('out.txt'):\n    os.remove('out.txt')",
        "if os.path.exists('out.txt'):\n    os.rename('out.txt', 'moved.txt')",
        "$text = slurp('moved.txt')",
        "$list = sorted(p for p in os.listdir('.') if p.endswith('.txt'))",
        "$list = sorted(p.name for p in pathlib.Path('.').glob('*.txt'))",
        "$frame = pd.read_csv('given.csv')",
        "$frame[['a']].to_csv('table.csv', index=False)",
        "$frame = pd.read_csv('table.csv') if os.path.exists('table.csv') else $frame2",
        "$frame[['a']].astype(str).to_parquet('table.parquet')",
        "$frame = pd.read_parquet('table.parquet') if os.path.exists('table.parquet') else $frame2",
        "np.save('array.npy', $array)",
        "$array = np.load('array.npy') if os.path.exists('array.npy') else $array2",
        "with open('given.json') as file:\n    $dict = json.load(file)",
        "with open('given.json', 'w') as file:\n    json.dump({'a': [$k]}, file)",
        "with open('list.pickle', 'wb') as file:\n    pickle.dump($list, file)",
        "$list = pickle.loads(pathlib.Path('list.pickle').read_bytes()) if os.path.exists('list.pickle') else $list2",
        "os.makedirs('made', exist_ok=True)\nsave('made/$k.txt', '$k')",
        "$number = len(os.listdir('made')) if os.path.exists('made') else 0",
        "$path = 'out$k.txt'",
    ),
)
