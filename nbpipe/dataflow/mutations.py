"""Which calls change an object in place, and which give a view of one: tables by name.

No list can be complete (of the in-place changes in real notebooks a list finds about half), so
the tables only decide what is known before a run; the rest is found by looking at the values.
"""

from __future__ import annotations

from typing import Final

# Methods that change their receiver, whatever its type.
MUTATING_METHODS: Final = frozenset(
    """append extend insert pop popitem remove clear sort reverse update setdefault add discard
    fill put resize itemset partial_fit fit fit_transform fit_predict fit_resample set_params
    load_state_dict step zero_grad backward appendleft
    extendleft popleft rotate push enqueue put_nowait
    difference_update intersection_update symmetric_difference_update subtract add_node add_edge
    add_nodes_from add_edges_from remove_node remove_edge seed setflags
    write writelines writerow writerows truncate cache_clear add_argument set_trace add_trace
    update_layout update_traces update_xaxes update_yaxes set_xlabel set_ylabel set_title set_xlim
    set_ylim set_xticks set_yticks set_xticklabels
    set_yticklabels legend add_patch add_artist add_line
    add_collection add_subplot add_axes subplots_adjust suptitle tight_layout
    scatter axhline axvline fill_between invert_yaxis invert_xaxis twinx twiny execute executemany
    commit compile build train requires_grad_ train_on_batch fit_generator""".split()
)

# Of those, the ones whose result is the receiver itself.
FLUENT_METHODS: Final = frozenset(
    """fit partial_fit set_params update_layout update_traces update_xaxes update_yaxes add_trace
    train requires_grad_""".split()
)

# Methods that only look, so that throwing their result away says nothing about a change.
PURE_METHODS: Final = frozenset(
    """head tail sample describe info show display print debug warning error exception critical log
    to_csv to_parquet to_pickle to_excel to_json to_feather to_hdf to_sql to_html to_string
    to_markdown to_latex to_clipboard to_numpy to_dict tolist copy keys values items count index
    unique nunique value_counts isna isnull
    isnull notna notnull sum mean median std var min max quantile corr cov groupby agg aggregate
    apply map transform merge join drop dropna fillna replace rename sort_values sort_index
    set_index reset_index astype assign query filter where mask isin between duplicated
    drop_duplicates nlargest nsmallest pivot pivot_table melt stack unstack explode resample
    rolling expanding ewm shift diff pct_change rank round clip abs predict predict_proba
    decision_function score get get_params summary lower upper strip split
    startswith endswith format encode decode find center savefig savez save dump dumps open
    read readlines exists is_file is_dir mkdir glob iterdir stat resolve close flush
    write_text write_bytes unlink touch memory_usage select_dtypes equals
    nonzero argmax argmin argsort dot flatten any all cumsum cumprod
    write_html write_image to_image to_plotly_json item numel size dim""".split()
)

# Methods that draw on axes, but only look at a data frame.
DRAWING_METHODS: Final = frozenset(
    "plot hist boxplot bar barh pie area line kde density scatter hexbin".split()
)

# Of the mutating methods, those that keep what they are given.
STORING_METHODS: Final = frozenset(
    """append extend insert add update setdefault appendleft extendleft push put enqueue put_nowait
    set_params register""".split()
)

# Of those, the ones that keep the very object, not what is in it.
KEEPING_METHODS: Final = frozenset(
    "append insert add setdefault appendleft push put enqueue put_nowait".split()
)

# Methods whose result shares memory with the receiver.
VIEW_METHODS: Final = frozenset(
    """reshape ravel view squeeze transpose swapaxes diagonal get setdefault
    add_subplot add_axes subplots gca gcf twinx twiny get_figure get_axes numpy detach unsqueeze
    permute expand narrow items values keys iter __iter__ __getitem__ get_group""".split()
)

# Functions whose result shares memory with their first argument.
VIEW_FUNCTIONS: Final = frozenset(
    """asarray asanyarray ascontiguousarray atleast_1d atleast_2d ravel reshape transpose squeeze
    broadcast_to from_numpy as_tensor memoryview expand_dims swapaxes moveaxis nullcontext
    closing""".split()
)

# Attributes that are views of, or accessors to, the whole object.
VIEW_ATTRIBUTES: Final = frozenset(
    "T values flat real imag data array loc iloc at iat str dt cat sparse mT H".split()
)

# Functions that change their first argument (the last part of a dotted name).
MUTATING_FUNCTIONS: Final = frozenset(
    """shuffle put copyto place putmask fill_diagonal put_along_axis heappush heappop heapify
    heapreplace heappushpop insort insort_left insort_right setattr delattr next setitem delitem
    readinto""".split()
)

# Functions that only look at what they are given.
LOOKING_FUNCTIONS: Final = frozenset(
    """print display len repr str int float bool sum min max any all sorted list tuple set dict
    frozenset enumerate range isinstance type id hash round abs format""".split()
)

# Functions whose result holds (parts of) their arguments.
COLLECTING_FUNCTIONS: Final = frozenset(
    """list tuple sorted reversed enumerate zip iter map filter set dict frozenset chain deque
    defaultdict OrderedDict Counter SimpleNamespace""".split()
)

# Functions whose result holds its arguments themselves, to go through them later: Python's own,
# and those that are looked up in a module.
ITERATORS: Final = frozenset("iter enumerate zip map filter reversed chain".split())
ITERTOOLS: Final = frozenset(
    "islice cycle chain tee zip_longest takewhile dropwhile filterfalse pairwise".split()
)

# What makes a generator, in the place of the name of a call: there is none.
GENERATOR: Final = "<generator>"

# Calls that make a container of Python's own, and displays, which go by the same names.
CONTAINER_MAKERS: Final = frozenset(
    "list tuple set dict frozenset deque defaultdict OrderedDict Counter sorted".split()
)

# Attributes of frames and arrays: what is assigned to them is copied, or made into something else.
COPYING_ATTRIBUTES: Final = frozenset(
    "columns index values name names attrs shape dtype data flat real imag".split()
)

# Methods that change their receiver, and that are handed to others to be called.
PASSED_METHODS: Final = frozenset(
    "append extend insert appendleft add discard remove pop popleft put write".split()
)

# Calls that make an object which changes by being used: a stream, an iterator, a file.
STATEFUL_MAKERS: Final = frozenset(
    """default_rng RandomState Random Generator PCG64 MT19937 Philox SFC64 SeedSequence iter
    enumerate zip map filter reversed count cycle open reader DictReader StringIO BytesIO
    islice chain tee zip_longest takewhile dropwhile filterfalse pairwise""".split()
) | {GENERATOR}

# Of those, random generators: with literal arguments they are seeds, and count as setup.
GENERATOR_MAKERS: Final = frozenset(
    "default_rng RandomState Random Generator PCG64 MT19937 Philox SFC64 SeedSequence".split()
)

# Calls that make a class, given its name and what it has.
CLASS_MAKERS: Final = frozenset(
    """namedtuple NamedTuple TypedDict NewType Enum IntEnum StrEnum Flag IntFlag make_dataclass type
    new_class""".split()
)

# Context managers that let through what is raised inside them.
NEVER_SWALLOWING: Final = frozenset(
    """open redirect_stdout redirect_stderr closing nullcontext chdir catch_warnings option_context
    errstate printoptions localcontext rc_context style_context context axes_style plotting_context
    set_options no_grad inference_mode enable_grad autocast device Session session_scope
    TemporaryDirectory NamedTemporaryFile TemporaryFile ZipFile TarFile Pool Lock
    ThreadPoolExecutor ProcessPoolExecutor tqdm trange nditer urlopen connect begin ExcelWriter
    ExcelFile HDFStore File scan scandir GradientTape parallel_backend parallel_config
    config_context Output capture_output""".split()
)

# Calls that neither read the world nor change it: allowed in a constant.
PURE_CONSTRUCTORS: Final = frozenset(
    """Path PurePath PurePosixPath PosixPath str int float bool complex bytes list tuple dict set
    frozenset range len min max sum round abs sorted slice join expanduser format upper lower
    split strip replace items keys values zip enumerate date datetime timedelta Timestamp
    Timedelta Decimal Fraction compile TypeVar OrderedDict defaultdict Counter
    array arange linspace getLogger ContextVar""".split()
)
