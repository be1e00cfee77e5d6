"""Notebook → Compilation: the passes, in order (start here)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from nbpipe.compiler.assemble import assemble, own_digest
from nbpipe.compiler.checks import (
    check_after,
    check_crossings,
    fuse_around_files,
    fuse_around_unstorable,
    note_installations,
    report_cycle,
    report_troubles,
    report_unresolved,
)
from nbpipe.compiler.draft import StepDraft
from nbpipe.compiler.findings import Findings, in_order
from nbpipe.compiler.fusing import fuse, leaders_of
from nbpipe.compiler.linking import Linker
from nbpipe.compiler.parameters import find_parameters
from nbpipe.compiler.step_options import disagreements, said_by_cells, with_defaults
from nbpipe.dataflow.analyze import analyze
from nbpipe.dataflow.index_names import may_name_indexes
from nbpipe.model.diagnostic import Compilation, Diagnostic, Severity
from nbpipe.model.digest import digest_structure
from nbpipe.model.effects import LearnedEffects, StepEffects
from nbpipe.model.flow import Bind, CellFlow, ClassFlow, FunctionFlow, Use
from nbpipe.model.graph import find_cycle
from nbpipe.model.names import INDEX_NAMES, CellId, PipelineName, StepName, Variable, step_name_from
from nbpipe.model.notebook import Cell, CellKind, Notebook, Role
from nbpipe.model.pipeline import Parameter, Pipeline, Step

Analyze = Callable[[str], CellFlow]


def compile_notebook(
    notebook: Notebook,
    *,
    earlier: Sequence[Diagnostic] = (),
    learned: LearnedEffects | None = None,
    analyze_cell: Analyze = analyze,
) -> Compilation:
    """Compile a notebook. Never raises on what an author can write, and never runs any of it.

    Args:
        notebook: the notebook, parsed.
        earlier: what parsing found; errors among it stand in the way of a pipeline.
        learned: what runs saw steps do, by the digest of their own cells.
        analyze_cell: the analysis of one cell's source; a caller may keep results.
    """
    flows = {
        cell.id: analyze_cell(cell.body)
        for cell in notebook.cells
        if cell.kind is CellKind.CODE and not _is_skipped(cell)
    }
    learned = learned or LearnedEffects()
    reasons: dict[Diagnostic, None] = {}
    leaders: dict[StepName, StepName] = {}
    while True:
        # Each round makes fewer steps of them, so there is an end.
        attempt = _attempt(notebook, flows, leaders, learned, earlier)
        grouped = leaders_of(attempt.fusions, attempt.upstream, [*attempt.upstream])
        is_wrong = any(d.severity is Severity.ERROR for d in attempt.diagnostics)
        if not grouped or is_wrong:
            diagnostics = in_order([*attempt.diagnostics, *reasons])
            return Compilation(pipeline=attempt.pipeline, diagnostics=(*earlier, *diagnostics))
        reasons |= dict.fromkeys(attempt.fusions.values())
        leaders = {
            name: grouped.get(leaders.get(name, name), leaders.get(name, name))
            for name in (*leaders, *grouped)
        }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """What compiling gives while some steps may still have to be fused.

    Attributes:
        fusions: steps that must run as one, and why.
        upstream: what steps need, in the order of their first cells.
    """

    pipeline: Pipeline | None
    diagnostics: tuple[Diagnostic, ...]
    fusions: Mapping[frozenset[StepName], Diagnostic]
    upstream: Mapping[StepName, Iterable[StepName]]


def _attempt(
    author: Notebook,
    flows: Mapping[CellId, CellFlow],
    leaders: Mapping[StepName, StepName],
    learned: LearnedEffects,
    earlier: Sequence[Diagnostic],
) -> _Attempt:
    notebook = fuse(author, leaders)
    findings = Findings()
    drafts = _drafts(notebook, findings)
    parameters = find_parameters(notebook, findings)
    if not drafts and not any(d.severity is Severity.ERROR for d in earlier):
        findings.add(
            "NBP104",
            "no cell of this notebook is tagged as a step.",
            help="Put %%step NAME on the first line of a cell, or run: nbpipe tag NOTEBOOK",
        )
    parts: dict[StepName, dict[StepName, None]] = {name: {} for name in drafts}
    for cell in author.code_cells:
        name = cell.tag.step if cell.tag else None
        if name is not None and name != leaders.get(name, name):
            parts[leaders[name]][name] = None
    known = _known(author, notebook, flows, parts, learned) if learned else {}
    try:
        effects = {name: {*each.changes} - {INDEX_NAMES} for name, each in known.items()}
        linker = _linked(notebook, flows, drafts, parameters, effects, findings)
    except RecursionError:
        findings.add(
            "NBP221",
            "functions of this notebook call each other in a chain that is too long to follow.",
            help="Move some of them into a module, and import that.",
        )
        return _Attempt(pipeline=None, diagnostics=findings.sorted(), fusions={}, upstream={})
    report_troubles(notebook, flows, findings)
    report_unresolved(linker, findings)
    check_crossings(linker, findings)
    check_after(linker.drafts, findings)
    fuse_around_unstorable(linker, {n: each.unstorable for n, each in known.items()}, findings)
    touched = {name: each.files for name, each in known.items() if each.files}
    fuse_around_files(linker, touched, findings)
    blocked = any(d.severity is Severity.ERROR for d in (*earlier, *findings.sorted()))
    steps: tuple[Step, ...] = ()
    if not blocked:
        steps = assemble(linker, findings, touched)
        cycle = find_cycle([s.name for s in steps], {s.name: s.upstream for s in steps})
        if cycle:
            report_cycle(cycle, linker, findings)
    is_whole = steps and not findings.fusions
    if is_whole and not any(d.severity is Severity.ERROR for d in findings.sorted()):
        pipeline = Pipeline(
            name=PipelineName(notebook.options.name or step_name_from(notebook.name)),
            steps=tuple(dataclasses.replace(step, fused=tuple(parts[step.name])) for step in steps),
            parameters=tuple(parameters.values()),
            kernel=notebook.kernel,
            source=digest_structure([_source_facts(cell) for cell in notebook.cells]),
            random=notebook.options.random,
            names_indexes=any(INDEX_NAMES in each.changes for each in known.values())
            or any(may_name_indexes(cell.source) for cell in notebook.code_cells),
        )
    else:
        pipeline = None
    return _Attempt(
        pipeline=pipeline,
        diagnostics=findings.sorted(),
        fusions=findings.fusions,
        upstream={
            name: (*(b.step for b in draft.inputs.values()), *draft.options.after)
            for name, draft in linker.drafts.items()
        },
    )


def _known(
    author: Notebook,
    notebook: Notebook,
    flows: Mapping[CellId, CellFlow],
    parts: Mapping[StepName, Iterable[StepName]],
    learned: LearnedEffects,
) -> dict[StepName, StepEffects]:
    """Give what is known of each step: as a whole, and of those that were fused into it."""
    whole, alone = _flows_by_step(notebook, flows), _flows_by_step(author, flows)
    found: dict[StepName, StepEffects] = {}
    for name, fused in parts.items():
        sources = [whole[name], *(alone[part] for part in (name, *fused))]
        found[name] = learned.of({own_digest(each) for each in sources})
    return found


def _flows_by_step(
    notebook: Notebook, flows: Mapping[CellId, CellFlow]
) -> dict[StepName, list[CellFlow]]:
    found: dict[StepName, list[CellFlow]] = {}
    for cell in notebook.code_cells:
        if cell.tag is not None and cell.tag.step is not None:
            found.setdefault(cell.tag.step, []).append(flows[cell.id])
    return found


def _is_skipped(cell: Cell) -> bool:
    return cell.tag is not None and cell.tag.role is Role.SKIP


def _source_facts(cell: Cell) -> list[str]:
    return [cell.kind.value, cell.source]


# ---- cells → steps ----------------------------------------------------------------------------


def _drafts(notebook: Notebook, findings: Findings) -> dict[StepName, StepDraft]:
    """Group cells by step name, and settle their options."""
    drafts: dict[StepName, StepDraft] = {}
    spelled: dict[str, StepName] = {}
    for cell in notebook.code_cells:
        if cell.tag is None or cell.tag.role is not Role.STEP or cell.tag.step is None:
            continue
        name = cell.tag.step
        other = spelled.setdefault(name.lower(), name)
        if other != name:
            findings.add(
                "NBP112",
                f"step names {other!r} and {name!r} differ only by case; some file systems "
                "cannot tell them apart.",
                cell,
                help="Rename one of them.",
            )
        if name not in drafts:
            drafts[name] = StepDraft(name=name, options=cell.tag.options)
        else:
            said = (drafts[name].options, cell.tag.options)
            for option, ours, theirs in disagreements(*said):
                findings.add(
                    "NBP112",
                    f"the cells of step {name!r} disagree on {option}: {ours!r} and {theirs!r}.",
                    cell,
                    help="Say it once, on the first cell of the step.",
                )
            drafts[name].options = said_by_cells(said)
    for draft in drafts.values():
        draft.options = with_defaults(draft.options, notebook.options.defaults)
    return drafts


# ---- linking ----------------------------------------------------------------------------------


def _linked(  # noqa: PLR0913 - what the passes before it found
    notebook: Notebook,
    flows: Mapping[CellId, CellFlow],
    drafts: Mapping[StepName, StepDraft],
    parameters: Mapping[Variable, Parameter],
    effects: Mapping[StepName, Iterable[Variable]],
    findings: Findings,
) -> Linker:
    linker = Linker(
        findings,
        random=notebook.options.random,
        learned=effects,
        read_anywhere=frozenset(_names_read(flows.values())),
    )
    last = {
        cell.tag.step: cell.id
        for cell in notebook.code_cells
        if cell.tag is not None and cell.tag.step is not None
    }
    for position, cell in enumerate(notebook.cells):
        if cell.kind is not CellKind.CODE:
            continue
        role = cell.tag.role if cell.tag else None
        if role is Role.SKIP:
            # Only for messages: what it would have defined.
            linker.skipped_cell(cell, analyze(cell.body))
            continue
        flow = flows[cell.id]
        if role is Role.PARAMS:
            named = [(p.name, p.line) for p in parameters.values() if p.cell == cell.id]
            linker.parameters(cell, named)
        elif role is Role.STEP and cell.tag is not None and cell.tag.step is not None:
            draft = drafts[cell.tag.step]
            linker.step_cell(position, cell, flow, draft)
            if last[draft.name] == cell.id:
                linker.finish_step(draft)
        elif role is Role.PRELUDE or linker.is_setup(flow):
            linker.prelude_cell(position, cell, flow)
            note_installations(cell, flow, findings)
        else:
            linker.exploration_cell(position, cell, flow)
    linker.finish()
    return linker


def _names_read(flows: Iterable[CellFlow]) -> Iterator[Variable]:
    """Give the names that cells read, at once or in what they define."""
    waiting = [s.events for flow in flows for s in flow.statements]
    while waiting:
        for event in waiting.pop():
            match event:
                case Use(name=name):
                    yield name
                case Bind(flow=FunctionFlow() as function):
                    waiting.append(function.events)
                case Bind(flow=ClassFlow(methods=methods)):
                    waiting.extend(method.events for method in methods.values())
                case _:
                    pass
