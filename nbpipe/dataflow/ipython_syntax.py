"""IPython's own syntax (`%magic`, `!shell`, `name?`) → Python that an AST can hold.

IPython's transformer turns such lines into calls of `get_ipython()`. It is imported only for
cells that need it: most do not, and importing IPython costs more than analysing a notebook.
"""

from __future__ import annotations

import ast
import re
import warnings
from typing import Final

_NEEDS_IPYTHON: Final = re.compile(
    r"^\s*(?:[%!?]|,\s*\w|;\s*\w|/\s*\w)|\?\s*$|=\s*[%!]|^\s*(?:>>>|In \[|\.\.\.)", re.MULTILINE
)


def to_python(source: str) -> str:
    """Give `source` as plain Python; line numbers stay, but for the body of a cell magic."""
    if not _NEEDS_IPYTHON.search(source):
        return source
    from IPython.core.inputtransformer2 import TransformerManager  # noqa: PLC0415 - see above

    blank = len(source) - len(source.lstrip("\n"))
    transformed: str = TransformerManager().transform_cell(source)  # type: ignore[no-untyped-call]
    # The transformer drops leading empty lines, which are where tag lines stood.
    kept = len(transformed) - len(transformed.lstrip("\n"))
    return "\n" * max(blank - kept, 0) + transformed


def parse(source: str) -> ast.Module:
    """Parse Python that can be compiled, `await` at the top level included.

    Raises:
        SyntaxError: as `compile` does; also for null characters and too deep nesting.
    """
    try:
        with warnings.catch_warnings():
            # Doubtful escape sequences are the author's to see when the cell runs, not now.
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
            # Parsing lets `return` outside a function and its kind pass.
            compile(tree, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except ValueError as error:
        raise SyntaxError(str(error)) from None
    except (RecursionError, MemoryError):
        raise SyntaxError("the code is nested too deeply") from None
    return tree


# Line magics that neither read nor bind a variable of the author's.
HARMLESS_MAGICS: Final = frozenset(
    """alias alias_magic autoawait autocall automagic autosave bookmark cat clear colors conda cp
    debug dhist dirs doctest_mode edit history lf lk ll load_ext ls lsmagic lx magic man mkdir more
    mv notebook page pdb pdef pdoc pfile pinfo pinfo2 pip uv popd pprint psearch psource pushd pwd
    pycat pylint quickref rehashx reload_ext rm rmdir save tb unalias unload_ext who who_ls whos
    xmode connect_info qtconsole matplotlib config autoreload precision set_env env cd gui
    pipeline artifacts drift step params prelude skip store_history watermark""".split()
)

# Those among them that set something which later cells see: replayed in every later step.
SETTING_MAGICS: Final = frozenset(
    "matplotlib config load_ext reload_ext autoreload precision set_env env cd pylab".split()
)

INSTALL_MAGICS: Final = frozenset({"pip", "conda", "uv", "mamba", "micromamba"})

# Magics of this project that do nothing in a step.
OWN_MAGICS: Final = frozenset({"pipeline", "artifacts", "drift"})

# Magics whose argument is Python that runs in the author's namespace.
PYTHON_LINE_MAGICS: Final = frozenset({"time", "timeit", "prun", "memit", "mprun", "lprun"})
# Their options that are followed by a value.
OPTIONS_WITH_VALUES: Final = {
    "timeit": "nrp",
    "prun": "lsTD",
    "lprun": "fmTuz",
    "mprun": "fT",
    "memit": "rti",
}
PYTHON_CELL_MAGICS: Final = frozenset({"time", "timeit", "prun", "capture", "memit", "debug"})

# Cell magics whose body is no Python and touches no variable unless interpolated.
FOREIGN_CELL_MAGICS: Final = frozenset(
    """bash sh script html HTML javascript js latex markdown svg SVG writefile file perl ruby
    python python3 pypy system sx !""".split()
)
