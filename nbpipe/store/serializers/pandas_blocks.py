"""What pandas' copy-on-write knows about shared memory, kept across pickling.

Frames under copy-on-write share memory, and know it: blocks and indexes that do refer to one
tracker, and whoever writes while others are tracked copies first. Pickling drops the trackers. Two
loaded frames that still shared memory would then change each other, so where several holders of a
tracker go into one bundle, the tracker goes with them.
"""

# ruff: noqa: ANN401, SLF001 - this is about what pandas keeps private and has no types for.
from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any


def uses_copy_on_write() -> bool:
    """Say whether frames in this process copy before they write to shared memory."""
    pandas = sys.modules.get("pandas")
    if pandas is None:
        return False
    # From pandas 3 on there is nothing else.
    return pandas.__version__[:2] not in {"1.", "2."} or pandas.options.mode.copy_on_write is True


def values_of_blocks(frame: Any) -> Iterator[object]:
    """Give the arrays that hold a frame's values, as they are."""
    for block in frame._mgr.blocks:
        yield block.values


def labels_of(frame: Any) -> Iterator[object]:
    """Give the indexes of a frame, as they are: its rows' and its columns'."""
    yield from frame._mgr.axes


def reduce_block(block: Any) -> tuple[Any, ...]:
    """Reduce a block with its tracker."""
    return rebuild_block, (block.values, block.mgr_locs.indexer, block.ndim, block.refs)


def reduce_series_manager(manager: Any) -> tuple[Any, ...]:
    """Reduce what a `Series` keeps its values in with its block; pandas writes only the values."""
    return rebuild_series_manager, (manager.blocks[0], manager.axes[0])


def reduce_index(index: Any) -> tuple[Any, ...]:
    """Reduce an index with its tracker."""
    make, arguments, *_ = index.__reduce__()
    return rebuild_index, (make, arguments, index._references)


def rebuild_block(values: Any, placement: Any, ndim: int, tracker: Any) -> Any:
    """Make a block that its tracker knows. Named in pickles."""
    from pandas._libs.internals import BlockPlacement  # noqa: PLC0415
    from pandas.core.internals.blocks import new_block  # noqa: PLC0415

    return new_block(values, placement=BlockPlacement(placement), ndim=ndim, refs=tracker)


def rebuild_series_manager(block: Any, axis: Any) -> Any:
    """Make what a `Series` keeps its values in. Named in pickles."""
    from pandas.core.internals.managers import SingleBlockManager  # noqa: PLC0415

    return SingleBlockManager(block, axis)


def rebuild_index(make: Callable[..., Any], arguments: tuple[Any, ...], tracker: Any) -> Any:
    """Make an index that its tracker knows. Named in pickles."""
    index = make(*arguments)
    index._references = tracker
    tracker.add_index_reference(index)
    return index
