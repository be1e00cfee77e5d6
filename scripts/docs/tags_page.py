"""docs/reference/tags.md, from the table of step options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from markdown_text import block, code, page, table

from nbpipe.notebook.tags import PIPELINE_COMMANDS, PIPELINE_DEFAULTS, STEP_OPTIONS, Option

_INTRODUCTION: Final = """
A tag says what a cell is in the pipeline. There are three spellings, and they mean the same:

- a **magic** on the first line of the cell. The notebook needs `%load_ext nbpipe` in a first cell
  to run; `nbpipe tag` and the compiler need nothing.
- **comments** on the first lines of the cell, each beginning with `#|`. They do nothing when the
  notebook runs, so nothing has to be installed in the kernel.
- a **cell tag**, in the cell's metadata: JupyterLab shows it in the property inspector. Options of
  the step stand in `metadata.nbpipe` of the cell.

One notebook may mix them, but a cell has one tag.
"""

_ROLES: Final = (
    ("a step called NAME", "`%%step NAME [options]`", "`#| step: NAME`", "`step:NAME`"),
    ("parameters of the pipeline", "`%%params`", "`#| params`", "`parameters`"),
    ("repeated in later steps that need it", "`%%prelude`", "`#| prelude`", "`prelude`"),
    ("never in the pipeline", "`%%skip`", "`#| skip`", "`skip`"),
)

_RULES: Final = """
- Cells that carry the same step name form one step, in the order of the notebook.
- A step name is a Python identifier or kebab-case (`train_model`, `train-model`), ASCII, of at most
  64 characters. It becomes a file name and a node of the DAG, so two names must not differ only by
  case, and names that Windows keeps for devices (`con`, `nul`, …) are refused.
- Options may stand on any cell of a step. Those that take several values add up; for the others the
  cells must agree ([NBP112](diagnostics.md#nbp112)).
- A parameters cell holds only lines such as `alpha = 0.1`: a name and a plain value (number,
  string, `True`, `None`, a list or dict of those).
- An **untagged** cell that holds only imports, definitions, constants, settings and seeds is
  *setup*: every later step gets what it needs of it, as if it were tagged `%%prelude`.
- Every **other untagged** cell is exploration and does not run in the pipeline. Steps still get the
  imports, definitions and constants in it; a step that needs a value it *computes* is an error
  ([NBP202](diagnostics.md#nbp202)) that names both cells. A constant of setup that it changes
  (`names.append("b")`) is such a value, too.
- Markdown and raw cells take no tags. They are kept in the executed notebook.
"""

_VALUES: Final = """
Durations are numbers of seconds or `250ms`, `30s`, `10m`, `1h30m`, `2d`; sizes are `512M`, `4G`, in
powers of 1024. `--cpu`, `--memory` and `--gpu` are for other engines: a run on your own machine
does not enforce them. Values with spaces in a magic stand in quotation marks. An unknown option is
an error that says which one was probably meant.
"""

_PIPELINE: Final = """
`%pipeline NAME [options]`, a line magic in any cell that takes part, names the pipeline and sets
defaults for all its steps. Without it the pipeline is called like the file. `#| pipeline: NAME`
among the first lines of a cell gives only the name. The notebook's metadata can do both:
`{"nbpipe": {"name": "demo", "retries": 1, "rng": "per-step"}}`.
"""

_COMMANDS: Final = """
With one of the words below instead of a name, `%pipeline` runs a command on the notebook as it was
saved, in a process of its own, with the options of the command: `%pipeline run -p alpha=0.2`. It
needs `%load_ext nbpipe`. Where it cannot tell which file the notebook is in, name it:
`%pipeline run NOTEBOOK.ipynb`.
"""

_SHORT: Final = {
    "show": "`nbpipe compile --check`",
    "run": "`nbpipe run`",
    "status": "`nbpipe status`",
    "export": "`nbpipe export`",
}

_EXAMPLES: Final = {
    "out": ("model scores", ["model", "scores"]),
    "in": ("df", ["df"]),
    "after": ("write_report", ["write_report"]),
    "reads": ("data/*.csv", ["data/*.csv"]),
    "metrics": ("accuracy", ["accuracy"]),
    "retries": ("2", 2),
    "retry-delay": ("30s", "30s"),
    "timeout": ("10m", "10m"),
    "ttl": ("1d", "1d"),
    "no-cache": ("", True),
    "force": ("", True),
    "cpu": ("2", 2),
    "memory": ("4G", "4G"),
    "gpu": ("1", 1),
}


def tags_page(_root: Path) -> str:
    """Make the page."""
    head = ("meaning", "magic", "comment", "cell tag")
    return page(
        "Tags",
        _INTRODUCTION,
        table(head, _ROLES),
        "## Rules",
        _RULES,
        "## Options of a step",
        table(
            ("meaning", "magic", "comment", "`metadata.nbpipe`"),
            [_option(name, option) for name, option in STEP_OPTIONS.items()],
        ),
        _VALUES,
        "The same step in the three spellings:",
        block(
            "%%step train --retries 2 --timeout 10m\nmodel.fit(X, y)", "python no-run: a fragment"
        ),
        block(
            "#| step: train\n#| retries: 2\n#| timeout: 10m\nmodel.fit(X, y)",
            "python no-run: a fragment",
        ),
        block(
            json.dumps({"tags": ["step:train"], "nbpipe": {"retries": 2, "timeout": "10m"}}), "json"
        ),
        "## The pipeline itself",
        _PIPELINE,
        table(
            ("option of `%pipeline`", "meaning"),
            [
                *((code(_magic(name)), STEP_OPTIONS[name].meaning) for name in PIPELINE_DEFAULTS),
                (
                    "`--rng carry`",
                    "the default: a seeded global random stream goes on from step to step",
                ),
                ("`--rng per-step`", "each step seeds the global generators from its own key"),
            ],
        ),
        "## Commands in a notebook",
        _COMMANDS,
        table(
            ("in a notebook", "is"),
            [(code(f"%pipeline {name}"), _SHORT[name]) for name in sorted(PIPELINE_COMMANDS)],
        ),
    )


def _option(name: str, option: Option) -> tuple[str, str, str, str]:
    word, value = _EXAMPLES[name]
    comment = f"#| {name}: {word}" if word else f"#| {name}: true"
    return (option.meaning, code(_magic(name)), code(comment), code(json.dumps({name: value})))


def _magic(name: str) -> str:
    word, _ = _EXAMPLES[name]
    return f"--{name} {word}".rstrip()
