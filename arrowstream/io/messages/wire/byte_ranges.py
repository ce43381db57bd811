"""Where the messages of a column are in its buffer, and byte ranges of a buffer as a column."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from arrowstream.io.compiled import compiled

Int64s = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

BYTES: Final = "Array(uint8, 1, 'C', readonly=True)"
INTEGERS: Final = "Array(int64, 1, 'C', readonly=True)"
"""Arrays that compiled functions only read, as numba writes them: messages often lie in memory of others."""


class ByteRanges(NamedTuple):
    """Byte ranges of one buffer, one for each message that is not null.

    Parameters
    ----------
    data
        The buffer.
    starts, ends
        First byte of each message, and the one after its last, as int64 of shape ``(messages,)``.
    """

    data: Bytes
    starts: Int64s
    ends: Int64s

    def chosen(self, rows: Any) -> ByteRanges:
        """Return the ranges of some messages: by index, mask or slice."""
        return ByteRanges(self.data, self.starts[rows], self.ends[rows])


def places_of(values: pa.LargeBinaryArray) -> tuple[ByteRanges, Int64s | None]:
    """Return the byte ranges of the messages that are not null, and their indexes; None for the indexes of all."""
    _, offsets, content = values.buffers()
    data = np.frombuffer(content, np.uint8) if content is not None else np.empty(0, np.uint8)
    bounds = np.frombuffer(offsets, np.int64)[values.offset : values.offset + len(values) + 1]
    places = ByteRanges(data, bounds[:-1], bounds[1:])
    if not values.null_count:
        return places, None
    rows = np.flatnonzero(np.asarray(values.is_valid())).astype(np.int64)
    return places.chosen(rows), rows


@compiled(f"void({BYTES}, {INTEGERS}, {INTEGERS}, {INTEGERS}, uint8[::1])")
def copy_ranges(data: Any, starts: Any, sizes: Any, offsets: Any, out: Any) -> None:
    """Copy byte ranges of `data` into `out`, each to its offset."""
    for row in range(len(starts)):
        at = starts[row]
        to = offsets[row]
        for place in range(sizes[row]):
            out[to + place] = data[at + place]


def offsets_of(sizes: npt.NDArray[Any]) -> Int64s:
    """Return the bounds of neighbours of these sizes: 0, then the running sum."""
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return offsets


def gathered(data: Bytes, starts: Int64s, sizes: Int64s) -> tuple[Int64s, Bytes]:
    """Return byte ranges of a buffer next to each other: their bounds, and the bytes."""
    offsets = offsets_of(sizes)
    out = np.empty(int(offsets[-1]), np.uint8)
    copy_ranges(data, np.ascontiguousarray(starts), np.ascontiguousarray(sizes), offsets, out)
    return offsets, out


def binary(offsets: Int64s, data: npt.NDArray[Any]) -> pa.LargeBinaryArray:
    """Return the values between these bounds of a buffer, which is not copied."""
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)
