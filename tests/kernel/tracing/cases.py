"""Ways to read and to write files, and what a trace must say of each.

The first 47 reads and 11 writes are those that the choice of tracers was made by; see decision
0017. Each is a piece of code that runs in a directory with the files that `FILES` makes.
"""

from __future__ import annotations

from dataclasses import dataclass

FILES = """
import gzip, os, pickle, sqlite3, tarfile, zipfile
from importlib.util import find_spec
open("d.txt", "w").write("hello")
open("d.csv", "w").write("a,b\\n1,2\\n3,4\\n")
gzip.open("d.csv.gz", "wt").write("a,b\\n1,2\\n")
open("d.jsonl", "w").write('{"a": 1}\\n')
with zipfile.ZipFile("d.zip", "w") as archive:
    archive.writestr("inside.txt", "hello")
with tarfile.open("d.tar", "w") as archive:
    archive.add("d.txt")
connection = sqlite3.connect("d.sqlite")
connection.execute("create table t (a)")
connection.commit()
connection.close()
os.mkdir("sub")
open("sub/one.csv", "w").write("a\\n1\\n")
os.symlink("d.txt", "link.txt")
open("to_move.txt", "w").write("x")
open("to_delete.txt", "w").write("x")
open("to_append.txt", "w").write("x")
open("to_cut.txt", "w").write("xxxx")
open("old.txt", "w").write("old")
open("script.sh", "w").write("#!/bin/sh\\nread line < d.csv\\n")
os.chmod("script.sh", 0o755)
if find_spec("pandas"):
    import pandas
    frame = pandas.DataFrame({"a": [1, 2], "b": [3.0, 4.0]})
    frame.to_json("d.json")
    frame.to_pickle("d.pkl")
    if find_spec("pyarrow"):
        frame.to_parquet("d.parquet")
        frame.to_feather("d.feather")
    if find_spec("openpyxl"):
        frame.to_excel("d.xlsx")
if find_spec("numpy"):
    import numpy
    numpy.save("d.npy", numpy.arange(10.0))
    numpy.savez("d.npz", a=numpy.arange(10.0))
if find_spec("joblib"):
    import joblib
    joblib.dump([1], "d.joblib")
if find_spec("PIL"):
    from PIL import Image
    Image.new("RGB", (2, 2)).save("d.png")
if find_spec("h5py"):
    import h5py
    with h5py.File("d.h5", "w") as file:
        file["a"] = [1]
if find_spec("duckdb"):
    import duckdb
    duckdb.connect("d.duckdb").execute("create table t as select 1")
if find_spec("zarr"):
    import zarr
    zarr.save("d.zarr", numpy.arange(4))
if find_spec("xarray") and find_spec("scipy"):
    import xarray
    xarray.Dataset({"a": ("x", [1.0])}).to_netcdf("d.nc", engine="scipy")
"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """Code, the modules it needs, and the one path it must be seen to touch, by field of Trace."""

    name: str
    code: str
    field: str
    path: str
    needs: tuple[str, ...] = ()


def reads(name: str, code: str, path: str, *needs: str) -> Case:
    return Case(name=name, code=code, field="files_read", path=path, needs=needs)


def writes(name: str, code: str, path: str, *needs: str) -> Case:
    return Case(name=name, code=code, field="files_written", path=path, needs=needs)


def case(name: str, code: str, field: str, path: str) -> Case:
    return Case(name=name, code=code, field=field, path=path)


PARQUET = ("pandas", "pyarrow")

CASES = (
    # The 47 reads.
    reads("open", "open('d.txt').read()", "d.txt"),
    reads("pathlib", "from pathlib import Path; Path('d.txt').read_text()", "d.txt"),
    reads("os.open", "import os; os.read(os.open('d.txt', os.O_RDONLY), 9)", "d.txt"),
    reads("FileIO", "import io; io.FileIO('d.txt').read()", "d.txt"),
    reads("pandas csv", "import pandas as pd; pd.read_csv('d.csv')", "d.csv", "pandas"),
    reads("pandas csv pyarrow", "import pandas as pd; pd.read_csv('d.csv', engine='pyarrow')", "d.csv", *PARQUET),
    reads("pandas csv gz", "import pandas as pd; pd.read_csv('d.csv.gz')", "d.csv.gz", "pandas"),
    reads("pandas parquet", "import pandas as pd; pd.read_parquet('d.parquet')", "d.parquet", *PARQUET),
    reads("pandas fastparquet", "import pandas as pd; pd.read_parquet('d.parquet', engine='fastparquet')", "d.parquet", *PARQUET, "fastparquet"),
    reads("pandas json", "import pandas as pd; pd.read_json('d.json')", "d.json", "pandas"),
    reads("pandas pickle", "import pandas as pd; pd.read_pickle('d.pkl')", "d.pkl", "pandas"),
    reads("pandas feather", "import pandas as pd; pd.read_feather('d.feather')", "d.feather", *PARQUET),
    reads("h5py", "import h5py; h5py.File('d.h5')['a'][:]", "d.h5", "h5py"),
    reads("pq.read_table", "import pyarrow.parquet as pq; pq.read_table('d.parquet')", "d.parquet", *PARQUET),
    reads("pq.ParquetFile", "import pyarrow.parquet as pq; pq.ParquetFile('d.parquet').read()", "d.parquet", *PARQUET),
    reads("pyarrow.dataset", "import pyarrow.dataset as ds; ds.dataset('d.parquet').to_table()", "d.parquet", *PARQUET),
    reads("pyarrow.csv", "from pyarrow.csv import read_csv; read_csv('d.csv')", "d.csv", "pyarrow"),
    reads("pyarrow.feather", "from pyarrow import feather; feather.read_table('d.feather')", "d.feather", *PARQUET),
    reads("pyarrow.memory_map", "import pyarrow as pa; pa.memory_map('d.feather').read()", "d.feather", *PARQUET),
    reads("polars csv", "import polars as pl; pl.read_csv('d.csv')", "d.csv", "polars"),
    reads("polars scan_csv", "import polars as pl; pl.scan_csv('d.csv').collect()", "d.csv", "polars"),
    reads("polars parquet", "import polars as pl; pl.read_parquet('d.parquet')", "d.parquet", "polars", *PARQUET),
    reads("polars scan_parquet", "import polars as pl; pl.scan_parquet('d.parquet').collect()", "d.parquet", "polars", *PARQUET),
    reads("polars json", "import polars as pl; pl.read_ndjson('d.jsonl')", "d.jsonl", "polars"),
    reads("np.load npy", "import numpy as np; np.load('d.npy')", "d.npy", "numpy"),
    reads("np.load npz", "import numpy as np; np.load('d.npz')['a']", "d.npz", "numpy"),
    reads("np.load mmap", "import numpy as np; np.load('d.npy', mmap_mode='r').sum()", "d.npy", "numpy"),
    reads("np.memmap", "import numpy as np; np.memmap('d.npy', mode='r').sum()", "d.npy", "numpy"),
    reads("np.fromfile", "import numpy as np; np.fromfile('d.npy', dtype='u1')", "d.npy", "numpy"),
    reads("np.loadtxt", "import numpy as np; np.loadtxt('d.csv', delimiter=',', skiprows=1)", "d.csv", "numpy"),
    reads("sqlite", "import sqlite3; sqlite3.connect('d.sqlite').execute('select * from t').fetchall()", "d.sqlite"),
    reads("sqlite attach", "import sqlite3; c = sqlite3.connect(':memory:'); c.execute(\"attach 'd.sqlite' as o\"); c.execute('select * from o.t').fetchall()", "d.sqlite"),
    reads("sqlalchemy", "import sqlalchemy as s; s.create_engine('sqlite:///d.sqlite').connect().execute(s.text('select * from t')).fetchall()", "d.sqlite", "sqlalchemy"),
    reads("duckdb.connect", "import duckdb; duckdb.connect('d.duckdb').sql('select * from t').fetchall()", "d.duckdb", "duckdb"),
    reads("duckdb.sql", "import duckdb; duckdb.sql(\"select * from 'd.parquet'\").fetchall()", "d.parquet", "duckdb", *PARQUET),
    reads("duckdb.read_csv", "import duckdb; duckdb.read_csv('d.csv').fetchall()", "d.csv", "duckdb"),
    reads("joblib", "import joblib; joblib.load('d.joblib')", "d.joblib", "joblib"),
    reads("pickle", "import pickle; pickle.load(open('d.pkl', 'rb'))", "d.pkl", "pandas"),
    reads("PIL", "from PIL import Image; Image.open('d.png').load()", "d.png", "PIL"),
    reads("zarr", "import zarr; zarr.load('d.zarr')", "d.zarr/zarr.json", "zarr", "numpy"),
    reads("xarray", "import xarray; xarray.open_dataset('d.nc', engine='scipy').load()", "d.nc", "xarray", "scipy"),
    case("os.listdir", "import os; os.listdir('sub')", "directories_listed", "sub"),
    case("os.path.exists", "import os; os.path.exists('nope')", "files_absent", "nope"),
    reads("os.stat", "import os; os.stat('d.txt')", "d.txt"),
    case("Path.glob", "from pathlib import Path; list(Path('sub').glob('*.csv'))", "directories_listed", "sub"),
    reads("subprocess", "import subprocess; subprocess.run(['cat', 'd.txt'], stdout=-3)", "d.txt"),
    reads("os.system", "import os; os.system('cat d.txt > /dev/null')", "d.txt"),
    # The 11 writes.
    writes("W pandas csv", "import pandas as pd; pd.DataFrame({'a': [1]}).to_csv('o.csv')", "o.csv", "pandas"),
    writes("W pandas parquet", "import pandas as pd; pd.DataFrame({'a': [1]}).to_parquet('o.parquet')", "o.parquet", *PARQUET),
    writes("W pq.write_table", "import pyarrow as pa, pyarrow.parquet as pq; pq.write_table(pa.table({'a': [1]}), 'o2.parquet')", "o2.parquet", "pyarrow"),
    writes("W polars parquet", "import polars as pl; pl.DataFrame({'a': [1]}).write_parquet('o3.parquet')", "o3.parquet", "polars"),
    writes("W polars csv", "import polars as pl; pl.DataFrame({'a': [1]}).write_csv('o3.csv')", "o3.csv", "polars"),
    writes("W polars sink", "import polars as pl; pl.LazyFrame({'a': [1]}).sink_parquet('o5.parquet')", "o5.parquet", "polars"),
    writes("W duckdb copy", "import duckdb; duckdb.sql(\"copy (select 1) to 'o4.csv'\")", "o4.csv", "duckdb"),
    writes("W np.save", "import numpy as np; np.save('o.npy', np.arange(3))", "o.npy", "numpy"),
    writes("W h5py", "import h5py\nwith h5py.File('o.h5', 'w') as f: f['a'] = [1]", "o.h5", "h5py"),
    writes("W shutil.copy", "import shutil; shutil.copy('d.txt', 'o.txt')", "o.txt"),
    writes("W os.replace", "import os; os.replace('to_move.txt', 'moved.txt')", "moved.txt"),
    # And more.
    reads("pandas excel", "import pandas as pd; pd.read_excel('d.xlsx')", "d.xlsx", "pandas", "openpyxl"),
    reads("zip", "import zipfile; zipfile.ZipFile('d.zip').read('inside.txt')", "d.zip"),
    reads("tar", "import tarfile; tarfile.open('d.tar').getnames()", "d.tar"),
    reads("mmap", "import mmap; f = open('d.txt'); mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ).read()", "d.txt"),
    reads("thread", "import threading; t = threading.Thread(target=lambda: open('d.txt').read()); t.start(); t.join()", "d.txt"),
    reads("link", "open('link.txt').read()", "link.txt"),
    reads("dots", "open('sub/../d.txt').read()", "d.txt"),
    reads("after chdir", "import os; os.chdir('sub'); open('one.csv').read()", "sub/one.csv"),
    reads("dir_fd", "import os; d = os.open('sub', os.O_RDONLY); os.open('one.csv', os.O_RDONLY, dir_fd=d)", "sub/one.csv"),
    reads("fork", "import os\nif not (p := os.fork()):\n    open('d.txt').read(); os._exit(0)\nos.waitpid(p, 0)", "d.txt"),
    reads("shell", "import subprocess; subprocess.run('cat < d.txt | wc', shell=True, stdout=-3)", "d.txt"),
    reads("own environment", "import subprocess; subprocess.run(['/bin/cat', 'd.txt'], env={}, stdout=-3)", "d.txt"),
    reads("env -i", "import subprocess; subprocess.run(['env', '-i', '/bin/cat', 'd.txt'], stdout=-3)", "d.txt"),
    reads("a child's child", "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import os; os.system(\"cat d.txt\")'], stdout=-3)", "d.txt"),
    reads("script", "import subprocess; subprocess.run(['./script.sh'])", "script.sh"),
    reads("in a script", "import subprocess; subprocess.run(['./script.sh'])", "d.csv"),
    reads("posix_spawn", "import os; os.waitpid(os.posix_spawn('/bin/cat', ['cat', 'd.txt'], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 1, '/dev/null', os.O_WRONLY, 0)]), 0)", "d.txt"),
    reads("os.access", "import os; os.access('d.txt', os.R_OK)", "d.txt"),
    reads("os.readlink", "import os; os.readlink('link.txt')", "link.txt"),
    reads("append", "open('to_append.txt', 'a').write('x')", "to_append.txt"),
    case("absent open", "try: open('nope')\nexcept OSError: pass", "files_absent", "nope"),
    case("absent Path", "from pathlib import Path; Path('nope').is_file()", "files_absent", "nope"),
    case("absent in child", "import subprocess; subprocess.run(['cat', 'nope'], stderr=-3)", "files_absent", "nope"),
    case("absent listing", "import glob; glob.glob('nope/*.csv')", "files_absent", "nope"),
    case("absent polars", "import polars as pl\ntry: pl.read_csv('nope')\nexcept OSError: pass", "files_absent", "nope"),
    case("os.walk", "import os; list(os.walk('sub'))", "directories_listed", "sub"),
    case("os.scandir", "import os; list(os.scandir('sub'))", "directories_listed", "sub"),
    case("glob", "import glob; glob.glob('sub/*.csv')", "directories_listed", "sub"),
    case("ls", "import subprocess; subprocess.run(['ls', 'sub'], stdout=-3)", "directories_listed", "sub"),
    case("isdir", "import os; os.path.isdir('sub')", "paths_found", "sub"),
    case("look, then write", "import os\nif os.path.exists('old.txt'): open('old.txt', 'w').write('new')", "paths_found", "old.txt"),
    writes("W append", "open('to_append.txt', 'a').write('x')", "to_append.txt"),
    writes("W append to new", "open('o6.txt', 'a').write('x')", "o6.txt"),
    writes("W x", "open('o7.txt', 'x').write('x')", "o7.txt"),
    writes("W delete", "import os; os.remove('to_delete.txt')", "to_delete.txt"),
    writes("W truncate", "import os; os.truncate('to_cut.txt', 1)", "to_cut.txt"),
    writes("W link", "import os; os.link('d.txt', 'o8.txt')", "o8.txt"),
    writes("W symlink", "import os; os.symlink('d.txt', 'o9.txt')", "o9.txt"),
    writes("W in child", "import os; os.system('echo x > o10.txt')", "o10.txt"),
    writes("W fork", "import os\nif not (p := os.fork()):\n    open('o11.txt', 'w').write('x'); os._exit(0)\nos.waitpid(p, 0)", "o11.txt"),
    writes("W temporary name", "import os\nfor n in 'ab':\n    open('t.tmp', 'w').write(n); os.replace('t.tmp', f'o12{n}.txt')", "o12b.txt"),
    writes("W sqlite", "import sqlite3; c = sqlite3.connect('o13.db'); c.execute('create table t (a)'); c.commit()", "o13.db"),
    writes("W memmap", "import numpy as np; m = np.memmap('o14.npy', mode='w+', shape=8); m[:] = 1; m.flush()", "o14.npy"),
    writes("W directory moved", "import os; os.mkdir('made'); open('made/f', 'w').write('x'); os.rename('made', 'kept')", "kept/f"),
)  # fmt: skip
