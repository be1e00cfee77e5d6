"""Steps that cannot be told apart run as one: in one kernel, in notebook order.

That is right by definition, because it is what the notebook does. It is the answer where steps
share what nobody can carry from one to the other: a database connection, a class that counts its
instances, values from each other's middle. The step is called like the first of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from nbpipe.compiler.step_options import needed_by_all, said_by_cells
from nbpipe.model.graph import invert, reachable
from nbpipe.model.names import StepName
from nbpipe.model.notebook import Cell, Notebook, StepOptions

Groups = Mapping[StepName, StepName]


def fuse(notebook: Notebook, leaders: Groups) -> Notebook:
    """Give the notebook with the steps in `leaders` renamed to their leader.

    Their options are made one: what a part needs, the whole needs.
    """
    parts: dict[StepName, dict[StepName, list[StepOptions]]] = {}
    for cell in notebook.cells:
        step = cell.tag.step if cell.tag else None
        if cell.tag is not None and step is not None and step in leaders:
            parts.setdefault(leaders[step], {}).setdefault(step, []).append(cell.tag.options)
    options = {
        leader: _options([said_by_cells(each) for each in whole.values()], leaders, leader)
        for leader, whole in parts.items()
    }
    return dataclasses.replace(
        notebook, cells=tuple(_fused(cell, leaders, options) for cell in notebook.cells)
    )


def leaders_of(
    groups: Iterable[frozenset[StepName]],
    upstream: Mapping[StepName, Iterable[StepName]],
    order: Sequence[StepName],
) -> dict[StepName, StepName]:
    """Give for each step to be fused the step whose name the whole has: the first in `order`.

    A step that needs one of a group, and that another of the group needs, belongs to it, too:
    it runs between them.
    """
    rank = {name: number for number, name in enumerate(order)}
    before = {name: [n for n in upstream.get(name, ()) if n in rank] for name in order}
    after = invert(order, before)
    leader = {name: name for name in order}

    def find(name: StepName) -> StepName:
        while leader[name] != name:
            name = leader[name]
        return name

    for group in groups:
        needed: frozenset[StepName] = reachable(group, before)
        needing: frozenset[StepName] = reachable(group, after)
        whole = {find(name) for name in group | (needed & needing)}
        first = min(whole, key=lambda name: rank[name])
        leader |= dict.fromkeys(whole, first)
    found = {name: find(name) for name in order}
    wholes = {whole for name, whole in found.items() if name != whole}
    return {name: whole for name, whole in found.items() if whole in wholes}


def _fused(cell: Cell, leaders: Groups, options: Mapping[StepName, StepOptions]) -> Cell:
    tag = cell.tag
    if tag is None or tag.step is None:
        return cell
    if tag.step not in leaders:
        after = tuple(dict.fromkeys(leaders.get(name, name) for name in tag.options.after))
        waits = dataclasses.replace(tag.options, after=after)
        return dataclasses.replace(cell, tag=dataclasses.replace(tag, options=waits))
    leader = leaders[tag.step]
    whole = dataclasses.replace(tag, step=leader, options=options[leader])
    return dataclasses.replace(cell, tag=whole)


def _options(parts: Sequence[StepOptions], leaders: Groups, leader: StepName) -> StepOptions:
    whole = needed_by_all(parts)
    waits = dict.fromkeys(leaders.get(name, name) for name in whole.after)
    return dataclasses.replace(whole, after=tuple(name for name in waits if name != leader))
