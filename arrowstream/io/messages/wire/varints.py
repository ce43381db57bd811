"""Columns of integers as LEB128 varints, and columns of bytes joined row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from arrowstream.io.compiled import compiled
from arrowstream.io.messages.wire.byte_ranges import BYTES, INTEGERS, Int64s, binary, offsets_of

Pieces = list[pa.LargeBinaryArray]
"""Columns of bytes, which are joined row by row."""


class BadValue(Exception):
    """A value that a field does not have; the text says which."""


def zigzag(numbers: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """Return signed integers as unsigned ones that are small where the number is near 0.

    Examples
    --------
    >>> zigzag(np.array([0, -1, 1])).tolist()
    [0, 1, 2]
    """
    wide = numbers.astype(np.int64, copy=False)
    return ((wide << 1) ^ (wide >> 63)).view(np.uint64)


def varints(numbers: npt.NDArray[Any]) -> pa.LargeBinaryArray:
    r"""Return unsigned integers as varints; signed ones are taken by their 64 bits.

    Examples
    --------
    >>> varints(np.array([1, 300])).to_pylist()
    [b'\x01', b'\xac\x02']
    """
    bits = numbers.astype(np.int64, copy=False).view(np.uint64)
    most = int(bits.max()) if len(bits) else 0
    if most < 128:
        return fixed(bits.astype(np.uint8), 1)
    sizes = np.ones(len(bits), np.int64)
    for shift in range(7, most.bit_length(), 7):
        sizes += bits >= np.uint64(1 << shift)
    width = int(sizes.max())
    parts = np.empty((len(bits), width), np.uint8)
    for place in range(width):
        parts[:, place] = (bits >> np.uint64(7 * place)).astype(np.uint8) | 0x80
    parts[np.arange(len(bits)), sizes - 1] &= 0x7F
    return binary(offsets_of(sizes), parts[np.arange(width) < sizes[:, None]])


def fixed(data: npt.NDArray[Any], width: int) -> pa.LargeBinaryArray:
    """Return the bytes of an array, `width` of them in each value."""
    content = np.ascontiguousarray(data).view(np.uint8).reshape(-1)
    return binary(np.arange(0, len(content) + 1, width, dtype=np.int64), content)


@compiled(f"void({BYTES}, {INTEGERS}, int64[::1], uint8[::1])")
def append_values(data: Any, bounds: Any, at: Any, out: Any) -> None:
    """Copy each value to its place in `out`, which then is the one after it."""
    for row in range(len(at)):
        to = at[row]
        for place in range(bounds[row], bounds[row + 1]):
            out[to] = data[place]
            to += 1
        at[row] = to


def joined(pieces: Sequence[pa.LargeBinaryArray]) -> pa.LargeBinaryArray:
    """Return the bytes of each row of several columns, joined."""
    if len(pieces) == 1:
        return pieces[0]
    offsets = offsets_of(np.sum([sizes_of(piece) for piece in pieces], axis=0))
    at, out = offsets[:-1].copy(), np.empty(int(offsets[-1]), np.uint8)
    for piece in pieces:
        append_values(data_of(piece), bounds_of(piece), at, out)
    return binary(offsets, out)


def spread(piece: pa.LargeBinaryArray, rows: npt.NDArray[Any], count: int) -> pa.LargeBinaryArray:
    """Return a column of `count` values with these ones at `rows`, in order, and no bytes elsewhere."""
    sizes = np.zeros(count, np.int64)
    bounds = bounds_of(piece)
    sizes[rows] = np.diff(bounds)
    offsets = offsets_of(sizes)
    offsets += bounds[0]
    return binary(offsets, data_of(piece))


def regrouped(piece: pa.LargeBinaryArray, groups: Int64s) -> pa.LargeBinaryArray:
    """Return the values between these bounds joined: ``groups[i]`` to ``groups[i + 1]`` is value i."""
    return binary(np.ascontiguousarray(bounds_of(piece)[groups]), data_of(piece))


def sizes_of(piece: pa.LargeBinaryArray) -> Int64s:
    """Return the number of bytes of each value."""
    return np.diff(bounds_of(piece))


def bounds_of(piece: pa.LargeBinaryArray) -> Int64s:
    """Return the offsets of the values in the buffer."""
    return np.frombuffer(piece.buffers()[1], np.int64)[piece.offset : piece.offset + len(piece) + 1]


def data_of(piece: pa.LargeBinaryArray) -> npt.NDArray[np.uint8]:
    """Return the buffer of the values."""
    content = piece.buffers()[2]
    return np.empty(0, np.uint8) if content is None else np.frombuffer(content, np.uint8)
