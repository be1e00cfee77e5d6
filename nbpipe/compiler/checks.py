"""What the compiler looks for once cells are linked, and says as diagnostics."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

from nbpipe.compiler.draft import StepDraft
from nbpipe.compiler.findings import Findings
from nbpipe.compiler.linking import Linker
from nbpipe.model.effects import FileEffects
from nbpipe.model.flow import CellFlow, StatementKind
from nbpipe.model.names import CellId, StepName, Variable, is_state, spoken
from nbpipe.model.notebook import Cell, Notebook

_INSTALLS = re.compile(r"\b(?:pip3?|conda|mamba|uv)\b")


def report_troubles(
    notebook: Notebook, flows: Mapping[CellId, CellFlow], findings: Findings
) -> None:
    """Say what the analysis of cells could not make sense of."""
    for cell in notebook.code_cells:
        flow = flows.get(cell.id)
        for trouble in flow.troubles if flow else ():
            if cell.tag is None:
                continue  # exploration may be broken: it does not run
            findings.add(trouble.code, trouble.message, cell, trouble.line, help=trouble.help)


def report_unresolved(linker: Linker, findings: Findings) -> None:
    """Say which names have no value where they are read."""
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


def check_crossings(linker: Linker, findings: Findings) -> None:
    """A step stores what a variable is at its end; nobody can have a value from its middle."""
    for draft in linker.drafts.values():
        for name, binding in draft.inputs.items():
            maker = linker.drafts[binding.step]
            final = maker.writes.get(name)
            is_older = final is not None and final != binding.version
            if is_older or _is_assigned_by_setup(linker, maker, name, binding.cell):
                _fuse(
                    maker,
                    draft,
                    f"step {draft.name!r} reads {name!r} as it is in the middle of step "
                    f"{maker.name!r}, which changes it again later",
                    findings,
                    cell=draft.cells[0][1],
                )
            # Inputs are loaded before the first cell.
            later = sorted(place for place in binding.carries if place.cell >= draft.first)
            if later:
                needed = ", ".join(map(repr, linker.code[later[0]].statement.binds))
                _fuse(
                    draft,
                    maker,
                    f"step {draft.name!r} reads {name!r} of step {maker.name!r}, which may need "
                    f"{needed}, defined after its first cell",
                    findings,
                    cell=draft.cells[0][1],
                )
        _check_setup_between(draft, linker, findings)
        for name in (*draft.options.outputs, *draft.options.metrics):
            if name not in draft.writes:
                close = difflib.get_close_matches(name, [*draft.writes], n=1)
                findings.add(
                    "NBP215",
                    f"step {draft.name!r} is to store {name!r}, but gives it no value.",
                    draft.cells[0][1],
                    help=f"Did you mean {close[0]!r}?" if close else "Check the spelling.",
                )


def _is_assigned_by_setup(linker: Linker, draft: StepDraft, name: Variable, after: Cell) -> bool:
    """Say whether a step replays an assignment to a name between its cells, but after one."""
    return any(
        name in code.statement.binds and after.number < code.cell.number
        for code in draft.replayed_within(linker.code, draft)
    )


def _check_setup_between(draft: StepDraft, linker: Linker, findings: Findings) -> None:
    """What a step replays between its cells finds its inputs loaded, also those made later."""
    for code in draft.replayed_within(linker.code, draft):
        for name in sorted(code.reads & draft.inputs.keys()):
            binding = draft.inputs[name]
            if code.cell.number < binding.cell.number:
                _fuse(
                    draft,
                    linker.drafts[binding.step],
                    f"step {draft.name!r} reads {name!r} of step {binding.step!r}, and needs this "
                    f"cell, which stands between its cells and reads {name!r} as it was before",
                    findings,
                    cell=code.cell,
                    line=code.statement.line,
                )


def _fuse(  # noqa: PLR0913 - a finding, and its place
    spread: StepDraft,
    other: StepDraft,
    message: str,
    findings: Findings,
    *,
    cell: Cell,
    line: int = 1,
) -> None:
    """Have two steps run as one, because cells of the first do not stand together."""
    findings.add(
        "NBP205",
        f"{message}; so they run as one.",
        cell,
        line,
        help=f"To keep them apart, give the later cells of {spread.name!r} another step name.",
        fuse={spread.name, other.name},
    )


def check_after(drafts: Mapping[StepName, StepDraft], findings: Findings) -> None:
    """Say which `--after` cannot be kept."""
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


def report_cycle(cycle: Sequence[StepName], linker: Linker, findings: Findings) -> None:
    """Say that steps need each other, and have them fused."""
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


def fuse_around_unstorable(
    linker: Linker, unstorable: Mapping[StepName, Iterable[Variable]], findings: Findings
) -> None:
    """Have steps fused with the one that makes what cannot be stored for them."""
    for draft in linker.drafts.values():
        for name, binding in draft.inputs.items():
            if binding.unstorable or name in unstorable.get(binding.step, ()):
                if is_state(name):
                    message = (
                        f"the {spoken(name)} of step {binding.step!r} cannot be stored, so step "
                        f"{draft.name!r} runs as one with it."
                    )
                    advice = "To keep them apart, let the step end what it begins: join, await."
                else:
                    message = (
                        f"{name!r} cannot be stored, so step {draft.name!r}, which reads it, runs "
                        f"as one with step {binding.step!r}."
                    )
                    advice = f"To keep them apart, make {name!r} in the step that uses it."
                findings.add(
                    "NBP223",
                    message,
                    draft.cells[0][1],
                    help=advice,
                    fuse={draft.name, binding.step},
                )


def fuse_around_files(
    linker: Linker, touched: Mapping[StepName, FileEffects], findings: Findings
) -> None:
    """Have steps fused that share a file and of which one stands between the cells of the other."""
    spread = {n: each for n, each in touched.items() if len(linker.drafts[n].cells) > 1}
    for name, one in spread.items():
        for other, two in touched.items():
            between = linker.drafts[other].cells_within(linker.drafts[name])
            if name == other or not between:
                continue
            if one.meets_writes_of(two) or two.meets_writes_of(one):
                findings.add(
                    "NBP205",
                    f"steps {name!r} and {other!r} share files, and cells of {other!r} stand "
                    f"between those of {name!r}; so they run as one.",
                    between[0],
                    help=f"To keep them apart, give the later cells of {name!r} another name.",
                    fuse={name, other},
                )


def note_installations(cell: Cell, flow: CellFlow, findings: Findings) -> None:
    """Say that lines such as `!pip install` do not run."""
    for statement in flow.statements:
        if statement.kind is StatementKind.NOTHING and _INSTALLS.search(statement.source):
            findings.add(
                "NBP216",
                "installation lines are not run by the pipeline.",
                cell,
                statement.line,
                help="The bundle records the versions that were used.",
            )
