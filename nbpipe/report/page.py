"""A `RunReport` → HTML: one file, no scripts, nothing from elsewhere.

Whatever comes from a notebook is hostile until it is escaped. The template escapes all text; what
is marked as safe here is made by us (the drawing) or by Pygments, which escapes, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final

import jinja2
from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from nbpipe.model.artifact import ArtifactVersion
from nbpipe.model.names import StepName, Variable, spoken
from nbpipe.model.run import StepState
from nbpipe.report.contents import RunReport, StepReport
from nbpipe.report.layered_drawing import DrawnStep, drawing, layers_of
from nbpipe.report.quantities import duration_text, size_text

MOST_DRAWN: Final = 120
_MOST_NAMES: Final = 6
_LONGEST_OPEN: Final = 8
_LONGEST_HIGHLIGHTED: Final = 20_000
_MARKS: Final = {
    "succeeded": "✓", "reused": "=", "failed": "✗", "skipped": "–", "cancelled": "–",
    "running": "…", "pending": "…",
}  # fmt: skip
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
# Characters that HTML does not know, whoever printed them.
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class _FileRow:
    name: str
    digest: str
    steps: tuple[StepName, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Metric:
    step: StepName
    name: str
    text: str
    preview: str

    @property
    def is_short(self) -> bool:
        """True when it can be shown as it is."""
        return self.preview.count("\n") < _LONGEST_OPEN


def render(report: RunReport) -> str:
    """Give the page."""
    page = _template().render(
        report=report,
        run=report.run,
        counts=_counts(report.steps),
        picture=_picture(report),
        parameters=_parameters(report),
        files=_files(report.steps),
        packages=_packages(report.steps),
        metrics=_metrics(report.steps),
        plots=[(step.run.step, plot) for step in report.steps for plot in step.plots],
        failed=[step for step in report.steps if step.run.failure is not None],
        noted=[step for step in report.steps if step.run.notes or step.changed],
        drawn=len(report.steps) <= MOST_DRAWN,
        light_code=_code_style("default", ".code"),
        dark_code=_code_style("github-dark", ".code"),
    )
    return _CONTROL.sub("\ufffd", page)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("nbpipe.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "anchor": _anchor, "code": _code, "duration": duration_text, "moment": _moment,
        "name": spoken, "plain": _plain, "size": size_text, "mark": _mark, "reasons": _reasons,
    }  # fmt: skip
    return environment.get_template("page.html.jinja")


# ---- filters -----------------------------------------------------------------------------------


def _anchor(step: str) -> str:
    return f"step-{step}"


def _code(source: str) -> Markup:
    if len(source) > _LONGEST_HIGHLIGHTED:
        return Markup('<pre class="code">{}</pre>').format(source)
    made: str = highlight(source, PythonLexer(stripnl=False), HtmlFormatter(nowrap=True))
    return Markup('<pre class="code">') + Markup(made) + Markup("</pre>")  # noqa: S704 - escaped


@cache
def _code_style(style: str, where: str) -> Markup:
    rules: str = HtmlFormatter(style=style).get_style_defs(where)
    # The page has a background of its own.
    kept = [r for r in rules.splitlines() if r.startswith(where) and "background" not in r]
    return Markup("\n".join(kept))  # noqa: S704 - of Pygments' own styles


def _moment(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC")


def _plain(text: str) -> str:
    return _ESCAPES.sub("", text)


def _mark(state: str) -> str:
    return _MARKS.get(state, "")


def _reasons(text: str) -> list[str]:
    return [part for part in text.split("; ") if part]


# ---- parts of the page -------------------------------------------------------------------------


def _counts(steps: Sequence[StepReport]) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for step in steps:
        counts[step.run.state.value] = counts.get(step.run.state.value, 0) + 1
    order = [state.value for state in StepState]
    return sorted(counts.items(), key=lambda pair: order.index(pair[0]))


def _picture(report: RunReport) -> Markup:
    names: list[str] = [step.run.step for step in report.steps]
    looks: dict[str, DrawnStep] = {step.run.step: _look(step) for step in report.steps}
    title = f"The steps of {report.run.pipeline}, and what they hand on"
    if not names:
        return Markup("")
    if len(names) > MOST_DRAWN:
        return _rows(names, report.edges, looks)
    labels: dict[tuple[str, str], list[str]] = {
        ends: _label_lines(variables) for ends, variables in report.edges.items()
    }
    return Markup(drawing(names, labels, title=title, drawn=looks))  # noqa: S704 - it escapes


def _look(step: StepReport) -> DrawnStep:
    run = step.run
    took = f", {duration_text(run.seconds)}" if run.seconds else ""
    reason = f": {run.reason}" if run.reason else ""
    return DrawnStep(
        state=run.state.value,
        href=f"#{_anchor(run.step)}",
        title=f"{run.step} {run.state.value}{took}{reason}",
    )


def _label_lines(variables: Iterable[Variable]) -> list[str]:
    """Write two names a line, and say how many there are more."""
    names = [spoken(variable) for variable in variables if variable]
    if len(names) > _MOST_NAMES:
        names = [*names[: _MOST_NAMES - 1], f"{len(names) - _MOST_NAMES + 1} more"]
    lines = [", ".join(names[i : i + 2]) for i in range(0, len(names), 2)]
    return [f"{line}," for line in lines[:-1]] + lines[-1:]


def _rows(
    names: Sequence[str], edges: Iterable[tuple[str, str]], looks: Mapping[str, DrawnStep]
) -> Markup:
    """Give many steps as rows of marks: a row for those that could run at the same time."""
    rows: dict[int, list[Markup]] = {}
    mark = Markup('<a class="mark {}" href="{}" title="{}">{}</a>')
    for name, layer in layers_of(names, edges).items():
        look = looks[name]
        rows.setdefault(layer, []).append(
            mark.format(look.state, look.href, look.title, _mark(look.state))
        )
    row = Markup('<li><span class="marks">{}</span></li>')
    lines = Markup("\n").join(row.format(Markup("").join(marks)) for marks in rows.values())
    return Markup('<ol class="rows">{}</ol>').format(lines)


def _parameters(report: RunReport) -> list[tuple[str, object, list[StepName]]]:
    return [
        (name, value, [s.run.step for s in report.steps if f"parameter {name}" in s.parts])
        for name, value in report.run.parameters.items()
    ]


def _files(steps: Sequence[StepReport]) -> list[_FileRow]:
    readers: dict[tuple[str, str], list[StepName]] = {}
    for step in steps:
        for part, digest in step.parts.items():
            kind, _, name = part.partition(" ")
            if kind == "file":
                readers.setdefault((name, digest), []).append(step.run.step)
    return [
        _FileRow(name=name, digest=digest, steps=tuple(found))
        for (name, digest), found in sorted(readers.items())
    ]


def _packages(steps: Sequence[StepReport]) -> list[tuple[str, str, int]]:
    uses: dict[tuple[str, str], int] = {}
    for step in steps:
        for part, version in step.parts.items():
            kind, _, name = part.partition(" ")
            if kind == "package" or part == "python":
                key = (name or "Python", version)
                uses[key] = uses.get(key, 0) + 1
    named = [(name, version, count) for (name, version), count in uses.items()]
    return sorted(named, key=lambda row: (row[0] != "Python", row))


def _metrics(steps: Sequence[StepReport]) -> list[_Metric]:
    found = []
    for step in steps:
        for variable in step.metrics:
            version: ArtifactVersion | None = step.run.outputs.get(variable)
            if version is not None:
                summary = version.value.summary
                preview = summary.preview if summary.preview != summary.text else ""
                found.append(
                    _Metric(step=step.run.step, name=variable, text=summary.text, preview=preview)
                )
    return found
