"""Notebook → Compilation: the passes, in order (start here)."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from nbpipe.compiler.assemble import assemble, own_digest
from nbpipe.compiler.draft import StepDraft
from nbpipe.compiler.findings import Findings, in_order
from nbpipe.compiler.fusing import fuse, leaders_of
from nbpipe.compiler.linking import Linker
from nbpipe.dataflow.analyze import analyze
from nbpipe.dataflow.ipython_syntax import parse
from nbpipe.model.diagnostic import Compilation, Diagnostic, Severity
from nbpipe.model.digest import Digest, digest_structure
from nbpipe.model.effects import LearnedEffects, StepEffects
from nbpipe.model.flow import Bind, CellFlow, ClassFlow, FunctionFlow, StatementKind, Use
from nbpipe.model.graph import find_cycle
from nbpipe.model.names import CellId, PipelineName, StepName, Variable, step_name_from
from nbpipe.model.notebook import Cell, CellKind, Notebook, Role, StepOptions
from nbpipe.model.pipeline import Parameter, Pipeline, Step

Analyze = Callable[[str], CellFlow]
_INSTALLS = re.compile(r"\b(?:pip3?|conda|mamba|uv)\b")


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
    parameters = _parameters(notebook, findings)
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
        effects = {name: each.changes for name, each in known.items()}
        linker = _linked(notebook, flows, drafts, parameters, effects, findings)
    except RecursionError:
        findings.add(
            "NBP221",
            "functions of this notebook call each other in a chain that is too long to follow.",
            help="Move some of them into a module, and import that.",
        )
        return _Attempt(pipeline=None, diagnostics=findings.sorted(), fusions={}, upstream={})
    _report_troubles(notebook, flows, findings)
    _report_unresolved(linker, findings)
    _check_crossings(linker, findings)
    _check_after(linker.drafts, findings)
    _fuse_around_unstorable(linker, {n: each.unstorable for n, each in known.items()}, findings)
    blocked = any(d.severity is Severity.ERROR for d in (*earlier, *findings.sorted()))
    steps: tuple[Step, ...] = ()
    if not blocked:
        touched = {name: each.files for name, each in known.items() if each.files}
        steps = assemble(linker, findings, touched)
        cycle = find_cycle([s.name for s in steps], {s.name: s.upstream for s in steps})
        if cycle:
            _report_cycle(cycle, linker, findings)
    is_whole = steps and not findings.fusions
    if is_whole and not any(d.severity is Severity.ERROR for d in findings.sorted()):
        pipeline = Pipeline(
            name=PipelineName(notebook.options.name or step_name_from(notebook.name)),
            steps=tuple(dataclasses.replace(step, fused=tuple(parts[step.name])) for step in steps),
            parameters=tuple(parameters.values()),
            kernel=notebook.kernel,
            source=digest_structure([_source_facts(cell) for cell in notebook.cells]),
            random=notebook.options.random,
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
    found: dict[StepName, StepEffects] = {}
    for name, fused in parts.items():
        sources = {_own_digest(notebook, name, flows)}
        sources |= {_own_digest(author, part, flows) for part in (name, *fused)}
        found[name] = learned.of(sources)
    return found


def _fuse_around_unstorable(
    linker: Linker, unstorable: Mapping[StepName, Iterable[Variable]], findings: Findings
) -> None:
    for draft in linker.drafts.values():
        for name, binding in draft.inputs.items():
            if binding.unstorable or name in unstorable.get(binding.step, ()):
                findings.add(
                    "NBP223",
                    f"{name!r} cannot be stored, so step {draft.name!r}, which reads it, runs as "
                    f"one with step {binding.step!r}.",
                    draft.cells[0][1],
                    help=f"To keep them apart, make {name!r} in the step that uses it.",
                    fuse={draft.name, binding.step},
                )


def _is_skipped(cell: Cell) -> bool:
    return cell.tag is not None and cell.tag.role is Role.SKIP


def _source_facts(cell: Cell) -> list[str]:
    return [cell.kind.value, cell.source]


def _own_digest(notebook: Notebook, name: StepName, flows: Mapping[CellId, CellFlow]) -> Digest:
    return own_digest([flows[cell.id] for cell in _cells_of(notebook, name)])


def _cells_of(notebook: Notebook, name: StepName) -> list[Cell]:
    return [cell for cell in notebook.code_cells if cell.tag and cell.tag.step == name]


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
            drafts[name].options = _merged(drafts[name].options, cell, findings)
    for draft in drafts.values():
        draft.options = _with_defaults(draft.options, notebook.options.defaults)
    return drafts


def _merged(options: StepOptions, cell: Cell, findings: Findings) -> StepOptions:
    assert cell.tag is not None
    changes: dict[str, object] = {}
    for field in dataclasses.fields(StepOptions):
        ours, theirs = getattr(options, field.name), getattr(cell.tag.options, field.name)
        if isinstance(ours, tuple):
            changes[field.name] = tuple(dict.fromkeys((*ours, *theirs)))
        elif ours is None:
            changes[field.name] = theirs
        elif theirs is not None and theirs != ours:
            findings.add(
                "NBP112",
                f"the cells of step {cell.tag.step!r} disagree on {field.name}: "
                f"{ours!r} and {theirs!r}.",
                cell,
                help="Say it once, on the first cell of the step.",
            )
    return dataclasses.replace(options, **changes)  # type: ignore[arg-type]


def _with_defaults(options: StepOptions, defaults: StepOptions) -> StepOptions:
    changes = {
        field.name: getattr(defaults, field.name)
        for field in dataclasses.fields(StepOptions)
        if getattr(options, field.name) is None
    }
    return dataclasses.replace(options, **changes)


# ---- parameters -------------------------------------------------------------------------------


def _parameters(notebook: Notebook, findings: Findings) -> dict[Variable, Parameter]:
    found: dict[Variable, Parameter] = {}
    for cell in notebook.code_cells:
        if cell.tag is None or cell.tag.role is not Role.PARAMS:
            continue
        try:
            tree = parse(cell.body)
        except SyntaxError:
            continue  # reported with the other cells
        for node in tree.body:
            parameter = _parameter(node, cell)
            if parameter is not None:
                found[parameter.name] = parameter
            elif not _is_bare(node):
                findings.add(
                    "NBP116",
                    "a parameters cell holds only lines such as `alpha = 0.1`: a name and a "
                    "plain value (number, string, True, None, or a list or dict of those).",
                    cell,
                    node.lineno,
                    help="Move other code to another cell.",
                )
    return found


def _is_bare(node: ast.stmt) -> bool:
    return isinstance(node, ast.Pass) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )


def _parameter(node: ast.stmt, cell: Cell) -> Parameter | None:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            pass
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            pass
        case _:
            return None
    try:
        default = ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    if not _is_plain(default):
        return None
    return Parameter(name=Variable(name), default=default, cell=cell.id, line=node.lineno)


def _is_plain(value: object) -> bool:
    match value:
        case None | bool() | int() | float() | str():
            return True
        case list():
            return all(map(_is_plain, value))
        case dict():
            return all(isinstance(k, str) and _is_plain(v) for k, v in value.items())
        case _:
            return False


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
            _note_installations(cell, flow, findings)
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


def _note_installations(cell: Cell, flow: CellFlow, findings: Findings) -> None:
    for statement in flow.statements:
        if statement.kind is StatementKind.NOTHING and _INSTALLS.search(statement.source):
            findings.add(
                "NBP216",
                "installation lines are not run by the pipeline.",
                cell,
                statement.line,
                help="The bundle records the versions that were used.",
            )


# ---- checks -----------------------------------------------------------------------------------


def _report_troubles(
    notebook: Notebook, flows: Mapping[CellId, CellFlow], findings: Findings
) -> None:
    for cell in notebook.code_cells:
        flow = flows.get(cell.id)
        for trouble in flow.troubles if flow else ():
            if cell.tag is None:
                continue  # exploration may be broken: it does not run
            findings.add(trouble.code, trouble.message, cell, trouble.line, help=trouble.help)


def _report_unresolved(linker: Linker, findings: Findings) -> None:
    for draft, cell, line, name, deferred in linker.unresolved:
        home = linker.bound_anywhere.get(name)
        if deferred:
            if home is None:
                findings.add(
                    "NBP214",
                    f"a function that step {draft.name!r} uses reads {name!r}, which no cell "
                    "defines.",
                    cell,
                    line,
                    help=_near_miss(name, linker),
                )
            continue
        if home is not None and home.number > cell.number:
            advice = f"Cell {home.number} defines it, but stands below: move it up."
        elif home is not None and home.number == cell.number:
            advice = "This cell assigns it only after this line."
        else:
            advice = _near_miss(name, linker) or "Define it in an earlier cell."
        findings.add(
            "NBP201",
            f"{name!r} has no value here: no cell before this line defines it.",
            cell,
            line,
            help=advice,
        )


def _near_miss(name: str, linker: Linker) -> str:
    known = [other for other in linker.bound_anywhere if other != name]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    return f"Did you mean {close[0]!r}?" if close else ""


def _check_crossings(linker: Linker, findings: Findings) -> None:
    """A step stores what a variable is at its end; nobody can have a value from its middle."""
    for draft in linker.drafts.values():
        for name, binding in draft.inputs.items():
            maker = linker.drafts[binding.step]
            final = maker.writes.get(name)
            if final is not None and final != binding.version:
                findings.add(
                    "NBP205",
                    f"step {draft.name!r} reads {name!r} as it is in the middle of step "
                    f"{maker.name!r}, which changes it again later; so they run as one.",
                    draft.cells[0][1],
                    help=f"To keep them apart, give the later cells of {maker.name!r} another step "
                    "name.",
                    fuse={draft.name, maker.name},
                )
        for name in (*draft.options.outputs, *draft.options.metrics):
            if name not in draft.writes:
                close = difflib.get_close_matches(name, [*draft.writes], n=1)
                findings.add(
                    "NBP215",
                    f"step {draft.name!r} is to store {name!r}, but gives it no value.",
                    draft.cells[0][1],
                    help=f"Did you mean {close[0]!r}?" if close else "Check the spelling.",
                )


def _check_after(drafts: Mapping[StepName, StepDraft], findings: Findings) -> None:
    for draft in drafts.values():
        for before in draft.options.after:
            cell = draft.cells[0][1]
            if before not in drafts:
                close = difflib.get_close_matches(before, [*drafts], n=1)
                advice = f"Did you mean {close[0]!r}?" if close else "Check the spelling."
                findings.add("NBP117", f"there is no step {before!r}.", cell, help=advice)
            elif drafts[before].first >= draft.first:
                findings.add(
                    "NBP117",
                    f"step {draft.name!r} cannot run after {before!r}, which does not stand "
                    "before it in the notebook.",
                    cell,
                    help="Move the cell, or drop --after.",
                )


def _report_cycle(cycle: Sequence[StepName], linker: Linker, findings: Findings) -> None:
    path = " → ".join(cycle)
    draft = max((linker.drafts[name] for name in cycle), key=lambda draft: len(draft.cells))
    findings.add(
        "NBP205",
        f"these steps need each other's values, so they run as one: {path}.",
        draft.cells[-1][1],
        help="Their cells are interleaved. To keep them apart, give the later cells of one of them "
        "another step name.",
        fuse=cycle,
    )
