"""Dates and times as text, cut from the ISO form that Arrow writes: its `strftime` is 10 times as slow."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.backends.arrow.kernels.base import Evaluate, Kernel, Values
from arrowstream.backends.arrow.kernels.fallback import fast_where
from arrowstream.backends.arrow.kernels.scalars import scalar
from arrowstream.backends.arrow.kernels.temporal.zones import disagreement, is_settled, wall_clock
from arrowstream.expressions.program import Call

_ISO = ["%Y", "-", "%m", "-", "%d", " ", "%H", ":", "%M", ":", "%S"]
_STARTS = [0, 4, 5, 7, 8, 10, 11, 13, 14, 16, 17, 19]
"""Offsets in characters at which the parts of the ISO form start, for four-digit years, and that of its end."""
_SHORT = {"%F": "%Y-%m-%d", "%T": "%H:%M:%S", "%R": "%H:%M"}

_Piece = tuple[int, int] | str
"""A slice of the ISO text, as offsets in characters, or constant text."""


def _pieces(format: str, first: int, last: int) -> list[_Piece] | None:
    """Return the pieces of a format that consists of the ISO parts ``[first, last)`` and text; None for any other."""
    tokens = re.findall(r"%.|[^%]|%", re.sub("%[FTR]", lambda match: _SHORT[match[0]], format))
    pieces: list[_Piece] = []
    at = 0
    while at < len(tokens):
        if not tokens[at].startswith("%") or tokens[at] == "%%":
            pieces.append(tokens[at][0])
            at += 1
            continue
        start = _ISO.index(tokens[at]) if tokens[at] in _ISO[first:last] else None
        if start is None:
            return None
        run = 1  # the longest run of tokens that the ISO form has in the same order
        while start + run < last and tokens[at + run : at + run + 1] == [_ISO[start + run]]:
            run += 1
        pieces.append((_STARTS[start] - _STARTS[first], _STARTS[start + run] - _STARTS[first]))
        at += run
    return pieces


def _to_string(call: Call) -> Evaluate | str:
    (format,) = call.options
    dtype = call.arguments[0].dtype
    zoned = pa.types.is_timestamp(dtype) and dtype.tz is not None
    if pa.types.is_date32(dtype):
        first, last = 0, 5
    elif pa.types.is_timestamp(dtype):
        first, last = 0, len(_ISO)
    elif pa.types.is_time64(dtype):
        first, last = 6, len(_ISO)
    else:
        return f"{dtype} is written differently"
    if zoned and (reason := disagreement(dtype)):
        return reason
    if format == "iso" and not zoned and not pa.types.is_time64(dtype):
        return fast_where(
            is_settled(dtype), lambda values: values.cast(call.dtype), lambda s: s.dt.to_string(), call.dtype
        )
    pieces = _pieces(format, first, last) if "%" in format else None
    if pieces is None:
        return f"format {format!r} of {dtype} has more than years, months, days, hours, minutes and seconds"
    texts = [scalar(piece, call.dtype) if isinstance(piece, str) else piece for piece in pieces]

    def fast(values: Values) -> Values:
        iso = wall_clock(values).cast(call.dtype)
        cut = [pc.utf8_slice_codeunits(iso, *text) if isinstance(text, tuple) else text for text in texts]
        return cut[0] if len(cut) == 1 else pc.binary_join_element_wise(*cut, scalar("", call.dtype))

    return fast_where(is_settled(dtype), fast, lambda s: s.dt.to_string(format), call.dtype)


KERNELS: dict[str, Kernel] = {"dt.to_string": _to_string}
