"""Drafts → steps: fragments in notebook order, outputs, and the digests that decide reuse."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from nbpipe.compiler.draft import Code, Place, StepDraft
from nbpipe.compiler.findings import Findings
from nbpipe.dataflow.settings import writes_file
from nbpipe.model.digest import Digest, digest_structure
from nbpipe.model.effects import FileEffects, order_by_files
from nbpipe.model.flow import (
    Bind,
    Call,
    CellFlow,
    ClassFlow,
    FunctionFlow,
    StarImport,
    Statement,
    StatementKind,
    Use,
)
from nbpipe.model.graph import reachable, topological_order
from nbpipe.model.names import StepName, Variable, is_state
from nbpipe.model.notebook import Cell
from nbpipe.model.pipeline import (
    Fragment,
    FragmentKind,
    Input,
    Load,
    Output,
    Resources,
    Retry,
    Step,
    last_users,
)

if TYPE_CHECKING:
    from nbpipe.compiler.linking import Linker


def assemble(
    linker: Linker, findings: Findings, touched: Mapping[StepName, FileEffects]
) -> tuple[Step, ...]:
    """Build the steps, in topological order with ties in notebook order.

    Steps on a cycle are given too, at the end: whoever calls finds the cycle. `touched` are the
    files that runs saw steps read and write.
    """
    readers = _readers(linker.drafts)
    files = _files_written_before(linker.drafts)
    names = sorted(linker.drafts, key=lambda name: linker.drafts[name].first)
    seen = _unordered_yet(linker.drafts, files, order_by_files(names, touched))
    steps = {
        name: _step(
            linker.drafts[name],
            linker,
            readers.get(name, {}),
            [*files[name], *seen[name]],
            findings,
        )
        for name in names
    }
    order = topological_order(names, {name: step.upstream for name, step in steps.items()})
    stuck = [name for name in names if name not in set(order)]
    made = [steps[name] for name in (*order, *stuck)]
    last = last_users(made)
    return tuple(
        replace(step, apart=tuple(n for n in step.constants if last[n] is step)) for step in made
    )


def _unordered_yet(
    drafts: Mapping[StepName, StepDraft],
    files: Mapping[StepName, Sequence[StepName]],
    seen: Mapping[StepName, Sequence[StepName]],
) -> dict[StepName, list[StepName]]:
    """Leave out what is in order anyway, because of variables, names of files, or `--after`."""
    upstream = {
        name: (*(b.step for b in draft.inputs.values()), *draft.options.after, *files[name])
        for name, draft in drafts.items()
    }
    found: dict[StepName, list[StepName]] = {}
    for name, before in seen.items():
        ordered = reachable([name], upstream) if before else frozenset()
        found[name] = [other for other in before if other not in ordered]
    return found


def _files_written_before(
    drafts: Mapping[StepName, StepDraft],
) -> dict[StepName, list[StepName]]:
    """For each step, the earlier ones that write a file which it names, too.

    Only names that stand in the source as they are can be seen.
    """
    writers: dict[str, list[StepDraft]] = {}
    for draft in drafts.values():
        for text in _texts_written(draft):
            writers.setdefault(text, []).append(draft)
    found: dict[StepName, list[StepName]] = {}
    for draft in drafts.values():
        texts = {t for _, _, flow in draft.cells for s in flow.statements for t in s.texts}
        found[draft.name] = sorted(
            {
                writer.name
                for text in texts
                for writer in writers.get(text, ())
                if writer.first < draft.first
            }
        )
    return found


def _texts_written(draft: StepDraft) -> set[str]:
    return {
        text
        for _, _, flow in draft.cells
        for statement in flow.statements
        if any(
            isinstance(event, Call) and writes_file(event.method or event.function)
            for event in statement.events
        )
        or _opens_for_writing(statement)
        for text in statement.texts
    }


def _opens_for_writing(statement: Statement) -> bool:
    return (
        re.search(r"""\bopen\([^()]*,\s*(?:mode\s*=\s*)?['"][rb+t]*[wax]""", statement.source)
        is not None
    )


def _readers(
    drafts: Mapping[StepName, StepDraft],
) -> dict[StepName, dict[Variable, list[StepName]]]:
    readers: dict[StepName, dict[Variable, list[StepName]]] = {}
    for draft in drafts.values():
        for name, binding in draft.inputs.items():
            readers.setdefault(binding.step, {}).setdefault(name, []).append(draft.name)
    return readers


def _step(
    draft: StepDraft,
    linker: Linker,
    readers: Mapping[Variable, list[StepName]],
    writers: Sequence[StepName],
    findings: Findings,
) -> Step:
    mentioned = [linker.code[place] for place in sorted(draft.code)]
    carried = [linker.code[place] for place in sorted(draft.carried - draft.code)]
    replayed = sorted([*mentioned, *carried], key=lambda code: code.place)
    before = [code for code in replayed if code.place.cell < draft.first]
    options = draft.options
    own = [statement for _, _, flow in draft.cells for statement in flow.statements]
    texts = dict.fromkeys(t for s in (*own, *(c.statement for c in replayed)) for t in s.texts)
    _note_absolute_paths(draft, findings)
    return Step(
        name=draft.name,
        cells=tuple(cell.id for _, cell, _ in draft.cells),
        setup=_setup(before, draft),
        body=_body(draft, replayed),
        inputs=tuple(
            Input(variable=name, upstream=draft.inputs[name].step) for name in sorted(draft.inputs)
        ),
        outputs=_outputs(draft, readers),
        parameters=tuple(sorted(draft.parameters)),
        after=tuple(dict.fromkeys((*options.after, *writers))),
        code=_code_digest(draft, mentioned),
        own=own_digest(flow for _, _, flow in draft.cells),
        definitions=_definition_digests(replayed, draft, linker),
        shipped=_shipped(replayed, draft, linker),
        imports=tuple(
            sorted({m for s in (*own, *(c.statement for c in replayed)) for m in s.modules if m})
        ),
        reads=options.reads,
        literal_paths=tuple(sorted(texts)),
        metrics=options.metrics,
        retry=Retry(retries=options.retries or 0, delay_seconds=options.retry_delay_seconds or 0.0),
        timeout_seconds=options.timeout_seconds,
        ttl_seconds=options.ttl_seconds,
        cache=options.cache is not False,
        resources=Resources(cpu=options.cpu, memory_bytes=options.memory_bytes, gpu=options.gpu),
    )


# ---- fragments --------------------------------------------------------------------------------


def _setup(before: list[Code], draft: StepDraft) -> tuple[Fragment | Load, ...]:
    """Replayed code, then loads; a load comes earlier where later code may take its names.

    In notebook order a star import, or a second definition of a class, acts only on what is
    there already: so inputs made before such a statement are loaded before it, too.
    """
    parts: list[Fragment | Load] = []
    waiting = dict(sorted(draft.inputs.items()))
    defined: dict[Variable, set[Place]] = {}
    pending: list[Code] = []
    for code in before:
        binds = set(code.statement.binds)
        breaks = any(isinstance(e, StarImport) for e in code.statement.events)
        replaced: set[Place] = set()
        if code.statement.kind is StatementKind.DEFINITION:
            replaced = set[Place]().union(*(defined.get(name, ()) for name in binds))
            breaks = breaks or bool(replaced)
            for name in binds:
                defined.setdefault(name, set()).add(code.place)
        # So does a setting made after a step made another: it must not be undone by loading that.
        # And an import gives what the module has by then.
        sets = not binds or code.statement.kind is StatementKind.IMPORT
        early = [
            name
            for name, binding in waiting.items()
            if (binding.cell.number < code.cell.number and (breaks or (sets and is_state(name))))
            # An instance of a class that is defined anew stays one of the class as it was.
            or (code.place not in binding.carries and replaced & binding.carries)
        ]
        if early:
            parts += _fragments(pending)
            pending = []
            parts.append(_load({name: waiting.pop(name).step for name in early}))
        pending.append(code)
    parts += _fragments(pending)
    if waiting or pending:
        # Even of nothing: what the body changes is told from how it stands here.
        parts.append(_load({name: binding.step for name, binding in waiting.items()}))
    return tuple(parts)


def _load(steps: Mapping[Variable, StepName]) -> Load:
    return Load(inputs=tuple(Input(variable=n, upstream=s) for n, s in steps.items()))


def _body(draft: StepDraft, replayed: list[Code]) -> tuple[Fragment, ...]:
    parts: list[tuple[Place, Fragment]] = [
        (Place(position, 0), _author_cell(cell)) for position, cell, _ in draft.cells
    ]
    between = [code for code in replayed if code.place.cell > draft.first]
    for _, group in groupby(between, key=lambda code: code.place.cell):
        codes = list(group)
        parts += [(codes[0].place, fragment) for fragment in _fragments(codes)]
    return tuple(fragment for _, fragment in sorted(parts, key=lambda part: part[0]))


def _author_cell(cell: Cell) -> Fragment:
    source = cell.body
    tag = cell.tag
    if tag is not None and tag.lines and cell.first_line == 1:
        # The comment spelling says the same, and is inert where the extension is not loaded.
        rows = source.split("\n")
        rows[tag.lines - 1] = f"#| step: {tag.step}"
        source = "\n".join(rows)
    count = source.count("\n") + 1
    return Fragment(
        kind=FragmentKind.BODY,
        cell=cell.id,
        cell_number=cell.number,
        source=source,
        lines=tuple(range(cell.first_line, cell.first_line + count)),
        may_raise=cell.may_raise,
    )


def _fragments(codes: Iterable[Code]) -> list[Fragment]:
    """One fragment a cell, holding the statements that are needed."""
    fragments = []
    for _, group in groupby(codes, key=lambda code: code.place.cell):
        chosen = list(group)
        cell = chosen[0].cell
        source: list[str] = []
        lines: list[int] = []
        previous: Code | None = None
        for code in chosen:
            statement = code.statement
            text = statement.source.split("\n")
            gap = _blank_lines(previous, code)
            source += [""] * gap + text
            first = statement.line + cell.first_line - 1
            lines += [first] * gap + [first + i for i in range(len(text))]
            previous = code
        fragments.append(
            Fragment(
                kind=FragmentKind.PRELUDE,
                cell=cell.id,
                cell_number=cell.number,
                source="\n".join(source),
                lines=tuple(lines),
                whole=len(chosen) == chosen[0].siblings,
                binds=_values_bound(code.statement for code in chosen),
            )
        )
    return fragments


def _values_bound(statements: Iterable[Statement]) -> tuple[Variable, ...]:
    code = (StatementKind.IMPORT, StatementKind.DEFINITION)
    names = {name for each in statements if each.kind not in code for name in each.binds}
    return tuple(sorted(names))


def _blank_lines(previous: Code | None, code: Code) -> int:
    if previous is None:
        return 0
    kinds = {previous.statement.kind, code.statement.kind}
    if StatementKind.DEFINITION in kinds:
        return 2
    return 0 if len(kinds) == 1 else 1


# ---- outputs ----------------------------------------------------------------------------------


def _outputs(draft: StepDraft, readers: Mapping[Variable, list[StepName]]) -> tuple[Output, ...]:
    asked = {*draft.options.outputs, *draft.options.metrics}
    required = {*readers, *asked}
    found = [
        Output(
            variable=name,
            required=True,
            readers=tuple(dict.fromkeys(readers.get(name, ()))),
        )
        for name in sorted(required)
    ]
    if not readers:
        # A last step: nobody reads what it makes, but people want to see it.
        found += [
            Output(variable=name, required=False)
            for name in sorted(draft.writes)
            if name not in required and not (name.startswith("_") or is_state(name))
        ]
    return tuple(sorted(found, key=lambda output: output.variable))


# ---- digests ----------------------------------------------------------------------------------


def own_digest(flows: Iterable[CellFlow]) -> Digest:
    """Digest of the normalised source of a step's own cells: the key of learned effects."""
    return digest_structure([[s.normal for s in flow.statements] for flow in flows])


def _code_digest(draft: StepDraft, mentioned: list[Code]) -> Digest:
    own = {id(s) for _, _, flow in draft.cells for s in flow.statements}
    return digest_structure(
        {
            "replayed": [c.statement.normal for c in mentioned if id(c.statement) not in own],
            "cells": [_normal_cell(cell, flow) for _, cell, flow in draft.cells],
        }
    )


def _normal_cell(cell: Cell, flow: CellFlow) -> list[object]:
    """A cell's statements, and whether a semicolon keeps the last one from being displayed."""
    last = re.sub(r"#.*", "", cell.body.rstrip().rsplit("\n", 1)[-1]).rstrip()
    return [[s.normal for s in flow.statements], last.endswith(";")]


def _definition_digests(
    replayed: Iterable[Code], draft: StepDraft, linker: Linker
) -> dict[str, Digest]:
    """Digest each function and class that a loaded value may refer to, with all it uses."""
    own = [
        linker.code[place]
        for position, _, flow in draft.cells
        for index in range(len(flow.statements))
        if (place := Place(position, index)) in linker.code
    ]
    by_name: dict[Variable, list[Code]] = {}
    for code in (*replayed, *own):
        for name in code.statement.binds:
            by_name.setdefault(name, []).append(code)
    return {
        str(name): _closure_digest(codes, by_name)
        for name, codes in sorted(by_name.items())
        if any(c.statement.kind is StatementKind.DEFINITION for c in codes)
    }


def _shipped(replayed: Iterable[Code], draft: StepDraft, linker: Linker) -> tuple[str, ...]:
    """Name what stands for a function or class of the notebook at the end of the step.

    An input, or an assignment in the step, may have taken the name of one.
    """
    statements = {code.place: code.statement for code in replayed}
    for position, _, flow in draft.cells:
        statements |= {Place(position, n): each for n, each in enumerate(flow.statements)}
    is_definition: dict[Variable, bool] = {}

    def note(places: Iterable[Place]) -> None:
        for place in sorted(places):
            kind = statements[place].kind
            # A definition that no other step can replay is a value of this one.
            known = kind is StatementKind.DEFINITION and place in linker.code
            is_definition.update(dict.fromkeys(statements[place].binds, known))

    note(place for place in statements if place.cell < draft.first)
    is_definition |= dict.fromkeys(draft.inputs, False)
    note(place for place in statements if place.cell >= draft.first)
    return tuple(sorted(name for name, known in is_definition.items() if known))


def _closure_digest(codes: list[Code], by_name: Mapping[Variable, list[Code]]) -> Digest:
    seen: dict[Place, Statement] = {}
    waiting = list(codes)
    while waiting:
        code = waiting.pop()
        if code.place in seen:
            continue
        seen[code.place] = code.statement
        for name in _mentions(code.statement):
            waiting += by_name.get(name, [])
    return digest_structure([seen[place].normal for place in sorted(seen)])


def _mentions(statement: Statement) -> set[Variable]:
    names: set[Variable] = set()
    for event in statement.events:
        match event:
            case Use(name=name):
                names.add(name)
            case Bind(flow=ClassFlow(methods=methods)):
                for method in methods.values():
                    names |= {e.name for e in method.events if isinstance(e, Use)}
            case Bind(flow=FunctionFlow(events=events)):
                names |= {e.name for e in events if isinstance(e, Use)}
            case _:
                pass
    return names


def _note_absolute_paths(draft: StepDraft, findings: Findings) -> None:
    for _, cell, flow in draft.cells:
        for statement in flow.statements:
            for text in statement.texts:
                if re.match(
                    r"/(?:home|Users|mnt|data|root|media|content|kaggle)/|[A-Za-z]:[\\/]", text
                ):
                    findings.add(
                        "NBP217",
                        f"{text!r} is a path of one machine.",
                        cell,
                        statement.line,
                        help="Use a path relative to the notebook, or a parameter.",
                    )
