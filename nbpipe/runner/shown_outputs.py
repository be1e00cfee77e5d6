"""Comparing what cells show.

Some of it differs from kernel to kernel although nothing differs: addresses, temporary files, ids
that a library makes up for its HTML, the times that `%time` prints. It is left out of the
comparison, and what was left out is said.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final, TypeAlias

from nbpipe.model.verification import Comparison, Likeness
from nbpipe.store.differences import NOISE_UP_TO

# A notebook's JSON, which its author's tools may have filled with anything; hence `Any`.
Json: TypeAlias = Mapping[str, Any]

_SHOWN: Final = 60
_BEFORE: Final = 20
_NUMBER: Final = re.compile(
    r"(?<![\w.])[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eE][-+]?\d))(?:[eE][-+]?\d+)?"
)

# What varies: its name, where (in text, or in markup), and how to find it.
_ANYWHERE, _MARKUP, _TIMED = "anywhere", "markup", "timed"
_VARYING: Final = (
    ("memory addresses", _ANYWHERE, re.compile(r"\b0x[0-9a-fA-F]{6,}\b")),
    # With the line: in a step, a replayed definition stands in a cell of its own.
    ("temporary files of cells", _ANYWHERE, re.compile(r"ipykernel_\d+(?:/\d+\.py(?::\d+)?)?")),
    (
        "timings",
        _TIMED,
        re.compile(
            r"^(?:CPU times: .*|Wall time: .*|Compiler *: .*|.* per loop \(.*\).*|"
            r"The slowest run took .*)$",
            re.MULTILINE,
        ),
    ),
    (
        "timings of progress bars",
        _ANYWHERE,
        re.compile(r"\[[\d:?]+<[\d:?]+, *[\d.?]+ ?(?:\w+/s|s/\w+)[^\]]*\]"),
    ),
    ("ids of models' pictures", _MARKUP, re.compile(r"sk-(?:container|estimator)-id-[\w-]+")),
    ("ids of styled tables", _MARKUP, re.compile(r"\bT_[0-9a-f]{5}(?=[_\b\"' {])")),
    (
        "generated ids",
        _MARKUP,
        re.compile(
            r"(?<=[\"'#(_-])(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|"
            r"[0-9a-f]{32}|[mp][0-9a-f]{10})\b"
        ),
    ),
    ("dates of pictures", _MARKUP, re.compile(r"<dc:date>[^<]*</dc:date>")),
)
_IMAGES: Final = ("image/png", "image/jpeg", "image/gif", "application/pdf")
_WIDGET: Final = "application/vnd.jupyter.widget-view+json"


def compare_outputs(
    left: Sequence[Json], right: Sequence[Json], *, source: str = "", tolerance: float = 0.0
) -> Comparison:
    """Compare the outputs of one cell in two runs; `source` is what the cell runs."""
    is_timed = "%time" in source or "%prun" in source
    pieces = [_pieces(outputs, is_timed=is_timed) for outputs in (left, right)]
    apart: dict[str, None] = {}
    noise = Comparison()
    for one, other in zip_longest(*pieces):
        if one is None or other is None:
            shown, word = (other, "more") if one is None else (one, "less")
            detail = f"the second shows {word}: {shown.name}, {_cut(shown.text)!r}"
            return Comparison(likeness=Likeness.DIFFERENT, detail=detail)
        if one.name != other.name:
            return Comparison(
                likeness=Likeness.DIFFERENT, detail=f"it shows {one.name} ≠ {other.name}"
            )
        found = _compared(one, other, tolerance)
        if found.likeness is Likeness.DIFFERENT:
            return found
        apart |= dict.fromkeys(found.apart_from)
        if found.relative > noise.relative:
            noise = found
    return Comparison(
        likeness=noise.likeness,
        relative=noise.relative,
        detail=noise.detail,
        apart_from=tuple(apart),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """One thing that a cell shows, as text; without what varies it is `settled`."""

    name: str
    text: str
    settled: str
    varying: tuple[str, ...] = ()


def _pieces(outputs: Sequence[Json], *, is_timed: bool) -> list[_Piece]:
    found: list[_Piece] = []
    streams: dict[str, str] = {}

    def end_streams() -> None:
        # When the two streams were flushed is chance; what stands in each is not.
        for name in sorted(streams):
            found.append(_piece(name, streams[name], is_markup=False, is_timed=is_timed))
        streams.clear()

    for output in outputs:
        if output["output_type"] == "stream":
            text = _text_of(output["text"]).replace("\r\n", "\n")
            streams[output["name"]] = streams.get(output["name"], "") + text
            continue
        end_streams()
        if output["output_type"] == "error":
            text = f"{output['ename']}: {output['evalue']}"
            found.append(_piece("an exception", text, is_markup=False, is_timed=is_timed))
            continue
        found += _displayed(output["data"], is_timed=is_timed)
    end_streams()
    return found


def _displayed(data: Json, *, is_timed: bool) -> list[_Piece]:
    found = []
    for kind in sorted(data):
        content = data[kind]
        if kind == _WIDGET:
            # Its id is made up, and what it shows is kept by the front end.
            found.append(_Piece(name="a widget", text="", settled="", varying=("widgets",)))
            continue
        if kind in _IMAGES:
            # The base64 text of equal pictures may differ in its line breaks.
            text = hashlib.sha256("".join(_text_of(content).split()).encode()).hexdigest()
            found.append(_Piece(name=kind, text=text, settled=text))
            continue
        is_text = isinstance(content, (str, list)) and not kind.endswith("json")
        text = _text_of(content) if is_text else json.dumps(content, sort_keys=True)
        found.append(_piece(kind, text, is_markup=kind != "text/plain", is_timed=is_timed))
    if "text/html" in data and _WIDGET in data:
        return [piece for piece in found if piece.name == "a widget"]
    return found


def _piece(name: str, text: str, *, is_markup: bool, is_timed: bool) -> _Piece:
    settled, varying = text, []
    for what, where, pattern in _VARYING:
        if (where == _MARKUP and not is_markup) or (where == _TIMED and not is_timed):
            continue
        settled, count = pattern.subn("…", settled)
        if count:
            varying.append(what)
    return _Piece(name=name, text=text, settled=settled, varying=tuple(varying))


def _compared(left: _Piece, right: _Piece, tolerance: float) -> Comparison:
    if left.name == "a widget":
        return Comparison(apart_from=left.varying)
    if left.text == right.text:
        return Comparison()
    if left.settled == right.settled:
        return Comparison(apart_from=left.varying)
    if left.name in _IMAGES:
        return Comparison(likeness=Likeness.DIFFERENT, detail=f"another picture ({left.name})")
    apart = tuple(dict.fromkeys((*left.varying, *right.varying)))
    relative = _noise(left.settled, right.settled)
    detail = _first_difference(left, right)
    if relative is None or relative > max(NOISE_UP_TO, tolerance):
        return Comparison(likeness=Likeness.DIFFERENT, detail=detail)
    return Comparison(likeness=Likeness.NOISE, relative=relative, detail=detail, apart_from=apart)


def _noise(left: str, right: str) -> float | None:
    """Give the largest relative difference, when only numbers with a decimal point differ."""
    if _NUMBER.sub("#", left) != _NUMBER.sub("#", right):
        return None
    relative = 0.0
    for one, other in zip(_NUMBER.findall(left), _NUMBER.findall(right), strict=True):
        a, b = float(one), float(other)
        if a != b:
            relative = max(relative, abs(a - b) / max(abs(a), abs(b)))
    return relative


def _first_difference(left: _Piece, right: _Piece) -> str:
    lines = zip_longest(left.settled.split("\n"), right.settled.split("\n"))
    for number, (one, other) in enumerate(lines, start=1):
        if one != other:
            if one is None or other is None:
                shown = other if one is None else one
                word = "more" if one is None else "less"
                return f"{left.name}, line {number}: the second has {word}, {_cut(shown or '')!r}"
            start = max(_parting(one, other) - _BEFORE, 0)
            return f"{left.name}, line {number}: {_cut(one[start:])!r} ≠ {_cut(other[start:])!r}"
    return f"{left.name} differs"


def _parting(left: str, right: str) -> int:
    pairs = enumerate(zip(left, right, strict=False))
    parting = next((place for place, (a, b) in pairs if a != b), min(len(left), len(right)))
    return parting if parting > _SHOWN // 2 else 0


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _text_of(content: object) -> str:
    return content if isinstance(content, str) else "".join(map(str, content))  # type: ignore[call-overload]
