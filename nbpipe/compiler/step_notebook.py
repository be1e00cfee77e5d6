"""Step → step notebook: the common currency of runner, exporters and people.

A step notebook runs by itself under plain papermill. Its cells, in order::

    parameters      the parameters this step reads, with their defaults (papermill's own tag)
    begin           says which step of which pipeline this is
    prelude, load   replayed code, and inputs taken from the store, in notebook order
    watch           the variables to which replayed code gave values, which the step may change
    body            the author's cells
    save            what goes into the store

`metadata.nbpipe` of each cell says which kind it is and which cell and lines it came from, so
that outputs and tracebacks find their way back to the author's notebook.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite

from nbpipe.model.names import Variable
from nbpipe.model.pipeline import Fragment, Load, Parameter, ParameterValue, Pipeline, Step

Json = dict[str, object]


def step_notebook(pipeline: Pipeline, step: Step) -> Json:
    """Give the step notebook as nbformat 4.5 JSON; the same step gives the same bytes."""
    parameters = {parameter.name: parameter for parameter in pipeline.parameters}
    return {
        "cells": list(_cells(pipeline, step, parameters)),
        "metadata": {
            "kernelspec": {
                "display_name": pipeline.kernel,
                "language": "python",
                "name": pipeline.kernel,
            },
            "language_info": {"name": "python"},
            "nbpipe": {"pipeline": pipeline.name, "step": step.name},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def notebook_text(notebook: Json) -> str:
    """Give the text of an `.ipynb` file in the form that Jupyter itself writes."""
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _cells(
    pipeline: Pipeline, step: Step, parameters: Mapping[Variable, Parameter]
) -> Iterator[Json]:
    numbered = iter(range(1_000_000))

    def cell(kind: str, source: str, *, may_raise: bool = False, **facts: object) -> Json:
        return {
            "cell_type": "code",
            "execution_count": None,
            "id": f"{kind}-{next(numbered)}",
            "metadata": {
                "nbpipe": {"kind": kind, **facts},
                "tags": [
                    "parameters" if kind == "parameters" else f"nbpipe-{kind}",
                    *(["raises-exception"] if may_raise else []),
                ],
            },
            "outputs": [],
            "source": source,
        }

    if step.parameters:
        assignments = [f"{n} = {literal_source(parameters[n].default)}" for n in step.parameters]
        yield cell("parameters", "\n".join(assignments))
    facts = f", definitions={list(step.shipped)}" if step.shipped else ""
    facts += ", names_indexes=True" if pipeline.names_indexes else ""
    yield cell(
        "begin",
        "import nbpipe.kernel as _nbpipe\n\n"
        f"_nbpipe.begin({pipeline.name!r}, {step.name!r}{facts})",
    )
    constants = [n for n in step.constants if _is_mutable(parameters.get(n))]
    for part in _with_constants(step, constants):
        match part:
            case Load():
                upstream = {i.variable: i.upstream for i in part.inputs}
                yield cell("load", f"_nbpipe.load({_literal(upstream)})")
            case Fragment():
                yield cell(
                    part.kind.value,
                    part.source,
                    may_raise=part.may_raise,
                    cell=part.cell,
                    cell_number=part.cell_number,
                    lines=list(part.lines),
                    whole=part.whole,
                )
            case names:
                apart = [name for name in names if name in step.apart]
                told = f", apart={apart}" if apart else ""
                yield cell("watch", f"_nbpipe.watch({[*names]}{told})")
    required = [o.variable for o in step.outputs if o.required]
    optional = [o.variable for o in step.outputs if not o.required]
    yield cell("save", f"_nbpipe.save({required}, optional={optional})")


def _with_constants(
    step: Step, constants: Sequence[Variable]
) -> Iterator[Fragment | Load | Sequence[Variable]]:
    """Give the parts of a step; replayed constants are watched before the author's cells run.

    And before the last load, which looks at all inputs: large ones are to be looked at once.
    """
    yield from step.setup[:-1]
    if constants:
        yield constants
    yield from step.setup[-1:]
    for part in step.body:
        yield part
        if part.binds:
            yield part.binds


def _is_mutable(parameter: Parameter | None) -> bool:
    return parameter is None or isinstance(parameter.default, list | dict)


def literal_source(value: ParameterValue) -> str:
    """Write a parameter's value as Python; infinite floats have no literal of their own."""
    match value:
        case float() if not isfinite(value):
            return f"float({str(value)!r})"
        case list():
            return "[" + ", ".join(map(literal_source, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{k!r}: {literal_source(v)}" for k, v in value.items()) + "}"
        case _:
            return repr(value)


def _literal(upstream: Mapping[Variable, str]) -> str:
    pairs = ", ".join(f"{str(name)!r}: {str(step)!r}" for name, step in upstream.items())
    return "{" + pairs + "}"
