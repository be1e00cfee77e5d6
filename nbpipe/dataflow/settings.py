"""Calls and assignments that set something for all code after them.

What most of them set is state of the process that can be stored, and goes from step to step like a
variable. The others are repeated in later steps.

Paths are canonical: import aliases are already resolved (`plt.style.use` is
`matplotlib.pyplot.style.use`).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from nbpipe.dataflow.standard_library import STANDARD_LIBRARY
from nbpipe.model.names import Variable

_SETTING: Final = re.compile(
    r"""
      %\w+
    | pandas\.(set_option|reset_option|options\..+|plotting\.register_matplotlib_converters
        |api\.extensions\.register_.+)
    | numpy\.(set_printoptions|seterr|set_string_function)
    | matplotlib\.(use|rc|rcParams.*|rcdefaults|rc_file|style\.use|set_loglevel|interactive)
    | matplotlib\.pyplot\.(style\.use|rc|rcParams.*|rcdefaults|ion|ioff|switch_backend|set_loglevel
        |set_cmap|xkcd)
    | (matplotlib_inline\.backend_inline|IPython\.display)\.set_matplotlib_(formats|close)
    | IPython\.core\.interactiveshell\.InteractiveShell\.ast_node_interactivity
    | seaborn\.(set|set_theme|set_style|set_context|set_palette|set_color_codes|reset_defaults)
    | warnings\.(filterwarnings|simplefilter|resetwarnings)
    | logging\.(basicConfig|disable|captureWarnings
        |getLogger\.(set\w+|add\w+|remove\w+|propagate|disabled|level|handlers.*|filters.*))
    | os\.(environ.*|chdir|putenv|umask)
    | sys\.(path.*|setrecursionlimit|set_int_max_str_digits|setswitchinterval|stdout\.reconfigure)
    | socket\.setdefaulttimeout
    | csv\.(field_size_limit|register_dialect|unregister_dialect) | mimetypes\.add_type
    | matplotlib\.colormaps\.(un)?register | sqlite3\.(register_adapter|register_converter)
    | signal\.signal
    | locale\.setlocale | gc\.(disable|enable|set_threshold) | decimal\.(setcontext|getcontext\..*)
    | sklearn\.set_config | sklearn\.utils\._?set_config
    | plotly\.(io\.(renderers|templates)\..+ | offline\.init_notebook_mode)
    | plotly\.express\.defaults\..+
    | altair\.(renderers|data_transformers|themes|theme)\..+
    | torch\.(set_\w+|use_deterministic_algorithms|backends\..+|autograd\.set_detect_anomaly)
    | tensorflow\.(config\..+|get_logger\..+|keras\.backend\.set_.+)
    | polars\.(Config\..+|enable_string_cache) | tqdm\.(auto\.)?tqdm\.pandas | tqdm\.pandas
    | statsmodels\.tools\.sm_exceptions\..+ | sympy\.init_printing | dotenv\.load_dotenv
    | xarray\.set_options | pyarrow\.set_.+ | joblib\.parallel_config | pyspark\..*setLogLevel
    """,
    re.VERBOSE,
)

# Settings that go from step to step as values, by the state of the process that they change.
_STATES: Final = tuple(
    (re.compile(pattern, re.VERBOSE), Variable(state))
    for pattern, state in (
        (r"pandas\.(set_option|reset_option|options\..+)", "@pandas"),
        (r"numpy\.(set_printoptions|seterr)|%precision", "@numpy"),
        (
            r"""matplotlib\.(pyplot\.)?(rc|rcParams.*|rcdefaults|rc_file|style\.use)
            | matplotlib\.pyplot\.(set_cmap|xkcd) | seaborn\..+""",
            "@matplotlib",
        ),
        (r"warnings\..+", "@warnings"),
        (r"logging\.(basicConfig|disable|getLogger\..*)", "@logging"),
        (r"os\.environ.* | %env | %set_env | polars\.Config\..+ | dotenv\..+", "@environ"),
        (r"os\.chdir | %cd", "@cwd"),
        (r"sys\.path.*", "@sys.path"),
        (
            r"""sys\.(setrecursionlimit|set_int_max_str_digits|setswitchinterval)
            | gc\.(disable|enable|set_threshold) | socket\.setdefaulttimeout""",
            "@interpreter",
        ),
        (r"locale\.setlocale", "@locale"),
        (r"decimal\..+", "@decimal"),
        (r"sklearn\..+", "@sklearn"),
    )
)
# Of those, the ones that also set what is no part of the state, and so are repeated, too.
_HALF: Final = re.compile(r"(seaborn|polars)\..+|%precision")

# How each global random stream is seeded and drawn from, by the module that owns it.
RANDOM_STREAMS: Final = {
    "random": Variable("@random"),
    "numpy.random": Variable("@numpy.random"),
    "torch": Variable("@torch"),
}
_SEEDS: Final = frozenset({"seed", "set_state", "setstate", "manual_seed", "set_rng_state"})
# Functions that seed whatever draws: so projects and frameworks call theirs.
_SEEDS_ALL: Final = re.compile(
    r"(.*\.)? ( seed_(everything|all) | (set|fix|reset)_(all_|global_|random_)?seeds? )",
    re.VERBOSE,
)
_NO_DRAW: Final = frozenset(
    """default_rng Generator RandomState Random SystemRandom SeedSequence PCG64 PCG64DXSM MT19937
    Philox SFC64 BitGenerator""".split()
)
# Whoever looks at a stream is linked to who drew from it, as if they drew.
_TORCH_DRAWS: Final = re.compile(
    r"(get_rng_state|nn\..*|rand\w*|normal|bernoulli|multinomial|.*Dropout.*)\Z"
)

# Modules whose import changes nothing but what is imported: nothing else of the process.
_QUIET_MODULES: Final = frozenset(
    """numpy pandas scipy matplotlib sklearn statsmodels torch torchvision tensorflow keras PIL cv2
    skimage requests bs4 yaml tqdm joblib networkx sympy xgboost lightgbm catboost polars pyarrow
    plotly altair bokeh nltk spacy transformers datasets openpyxl lxml IPython ipywidgets folium
    geopandas shapely pydantic attr sqlalchemy psycopg2 boto3 dateutil pytz nbpipe""".split()
)
_LOUD_PARTS: Final = re.compile(r"sklearn\.experimental(\..*)?|plotly\.io|readline")

# Calls whose result differs from one time to the next: a setting made of one cannot be repeated.
_PASSING: Final = frozenset(
    """time time_ns now today utcnow perf_counter monotonic random rand randn randint uniform
    choice
    uuid1 uuid4 urandom token_hex token_bytes input getpass open read read_text read_csv getpid
    mkdtemp mkstemp""".split()
)

# Calls that a setting in a loop or a branch may hold and still be repeated.
_REPEATABLE: Final = frozenset(
    """iter len range isinstance hasattr getattr setattr str int float list dict tuple set sorted
    enumerate zip format join items keys values get Path exists abspath dirname basename getcwd
    resolve startswith endswith append insert update print register""".split()
)


# Methods and functions that write the file they are given.
_WRITERS: Final = frozenset(
    """to_csv to_parquet to_pickle to_excel to_json to_feather to_hdf to_sql to_html to_markdown
    write_csv write_parquet write_ipc write_json write_text write_bytes write_table write_image
    write_html savetxt save savez savez_compressed savefig dump imwrite imsave to_netcdf to_zarr
    touch tofile copy copyfile move rename replace""".split()
)


def writes_file(name: str) -> bool:
    """Say whether a call of this function or method writes the file it is given."""
    return name.rpartition(".")[2] in _WRITERS


def is_repeatable(name: str) -> bool:
    """Say whether a call of this function or method may be made again without harm."""
    return name.rpartition(".")[2] in _REPEATABLE


def is_passing(name: str) -> bool:
    """Say whether a call of this function or method gives something else each time."""
    return name.rpartition(".")[2] in _PASSING


# Library calls that draw from numpy's global stream unless told otherwise by one of the keywords.
# Only the common ones: a draw that no table knows is found by looking at the stream in a run.
_LIBRARY_DRAWS: Final = frozenset(
    """sample train_test_split make_classification
    make_regression make_blobs make_moons make_circles
    make_friedman1 cross_val_predict ShuffleSplit StratifiedShuffleSplit
    rvs lineplot regplot barplot
    lmplot pointplot stripplot permutation_importance learning_curve""".split()
)
_TOLD_OTHERWISE: Final = frozenset({"random_state", "rng", "seed", "generator"})


def draws_in_library(name: str, keywords: Collection[str]) -> bool:
    """Say whether a call of this function or method draws from numpy's global stream."""
    return name in _LIBRARY_DRAWS and not _TOLD_OTHERWISE.intersection(keywords)


def acts_when_imported(module: str) -> bool:
    """Say whether importing a module may do more than define what is in it."""
    top = module.partition(".")[0]
    if _LOUD_PARTS.fullmatch(module):
        return True
    return top not in _QUIET_MODULES and top not in STANDARD_LIBRARY


def is_setting(path: str) -> bool:
    """Say whether a statement with this canonical target sets something global."""
    return _SETTING.fullmatch(path.replace("pandas.pandas.", "pandas.")) is not None


def state_set(path: str) -> Variable | None:
    """Give the state of the process that a setting with this canonical target changes.

    None for one whose effect no state holds: it must be repeated in later steps.
    """
    if not is_setting(path):
        return None
    path = path.replace("pandas.pandas.", "pandas.")
    return next((state for pattern, state in _STATES if pattern.fullmatch(path)), None)


def is_repeated(path: str) -> bool:
    """Say whether a setting must be made again in later steps."""
    return is_setting(path) and (state_set(path) is None or _HALF.fullmatch(path) is not None)


def seeds_all(path: str) -> bool:
    """Say whether a call of this path seeds all random streams, going by its name."""
    return _SEEDS_ALL.fullmatch(path) is not None


def random_stream(path: str) -> tuple[Variable, bool] | None:
    """Give the stream that a call of this canonical path touches, and whether it seeds it."""
    for module, stream in RANDOM_STREAMS.items():
        if path.startswith(module + "."):
            name = path[len(module) + 1 :]
            if name in _SEEDS:
                return stream, True
            if module == "torch":
                return (stream, False) if _TORCH_DRAWS.match(name) else None
            if "." in name or name in _NO_DRAW:
                return None
            return stream, False
    return None
