"""The fields of Protocol Buffers messages, found by one compiled loop over the bytes."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from arrowstream.io.compiled import compiled
from arrowstream.io.messages.wire import byte_ranges

VARINT, BITS64, BYTES, GROUP, END_GROUP, BITS32 = range(6)
"""Wire types."""

GROUPS: Final = 100
"""Most groups within each other."""

ROW, FIRST, SIZE, PLACE = range(4)
"""What is known of a value: its message; the integer or its bits, or the place of bytes; how many; where it ends."""

FAULTS: Final = {
    1: "the bytes end within a value",
    2: "a number has more than 64 bits",
    3: "a field has no valid number or wire type",
    4: "a field has a size that does not fit the message",
    5: "a group ends that has not begun, or does not end",
    6: "packed numbers end within a number",
}
"""What is wrong with a message, by the number that `read_fields` returns."""


def read_varint(data: Any, at: int, end: int) -> tuple[Any, int]:
    """Return the varint at a position, and the position after it, or minus the number of a fault."""
    bits = np.int64(0)
    shift = np.int64(0)
    while at < end:
        byte = np.int64(data[at])
        at += 1
        if shift == 63 and byte > 1:
            return np.int64(0), -2
        bits |= (byte & 127) << shift
        if byte < 128:
            return bits, at
        shift += 7
    return np.int64(0), -1


@compiled(
    f"Tuple((int64, int64))({byte_ranges.BYTES}, {byte_ranges.INTEGERS}, {byte_ranges.INTEGERS},"
    " int64[:, ::1], int64[::1], int64[::1], int64[:, ::1], int64[::1])",
    read_varint,
)
def read_fields(
    data: Any, starts: Any, ends: Any, fields: Any, bases: Any, counts: Any, out: Any, groups: Any
) -> tuple[int, int]:
    """Read messages; return the index of the first bad one and its fault, or the number of messages and 0.

    Parameters
    ----------
    data, starts, ends
        The messages, as in `ByteRanges`.
    fields
        Number, wire type, and 1 if values may be packed, of each field that is wanted: shape ``(fields, 3)``.
    bases
        Where the values of each field begin in `out`.
    counts
        Number of values of each field, which is added to.
    out
        `ROW`, `FIRST`, `SIZE` and `PLACE` of each value, of shape ``(values, 4)``; empty to count and check only.
    groups
        Space for the numbers of groups that are open.

    Notes
    -----
    It is one function, as numba counts the references to every array that a function is called with.
    """
    writes = len(out) > 0
    field = 0
    for row in range(len(starts)):
        at = starts[row]
        end = ends[row]
        depth = 0
        while at < end:
            tag: Any = np.int64(data[at])
            at += 1
            if tag > 127:
                tag, at = read_varint(data, at - 1, end)
                if at < 0:
                    return row, -at
            number = tag >> 3
            wire = tag & 7
            if number < 1 or number > 536870911 or wire > BITS32:
                return row, 3
            first: Any = np.int64(0)
            size: Any = np.int64(0)
            if wire == GROUP:
                if depth == len(groups):
                    return row, 5
                groups[depth] = number
                depth += 1
                continue
            if wire == END_GROUP:
                if depth == 0 or groups[depth - 1] != number:
                    return row, 5
                depth -= 1
                continue
            if wire == VARINT:
                first, at = read_varint(data, at, end)
                if at < 0:
                    return row, -at
            elif wire == BYTES:
                size, at = read_varint(data, at, end)
                if at < 0:
                    return row, -at
                if size < 0 or size > end - at:
                    return row, 4
                first = np.int64(at)
                at += size
            else:
                width = 8 if wire == BITS64 else 4
                if width > end - at:
                    return row, 1
                for place in range(width):
                    first |= np.int64(data[at + place]) << np.int64(8 * place)
                at += width
            if depth > 0:
                continue
            # Fields mostly come in the order of their numbers.
            tries = 0
            while tries < len(fields) and fields[field, 0] != number:
                field = field + 1 if field + 1 < len(fields) else 0
                tries += 1
            if tries == len(fields):
                continue
            if wire == fields[field, 1]:
                if writes:
                    to = bases[field] + counts[field]
                    out[to, 0] = row
                    out[to, 1] = first
                    out[to, 2] = size
                    out[to, 3] = at
                counts[field] += 1
            elif wire == BYTES and fields[field, 2] == 1:
                at = first
                stop = first + size
                while at < stop:
                    value: Any = np.int64(0)
                    if fields[field, 1] == VARINT:
                        value, at = read_varint(data, at, stop)
                        if at < 0:
                            return row, 6 if at == -1 else 2
                    else:
                        width = 8 if fields[field, 1] == BITS64 else 4
                        if width > stop - at:
                            return row, 6
                        for place in range(width):
                            value |= np.int64(data[at + place]) << np.int64(8 * place)
                        at += width
                    if writes:
                        to = bases[field] + counts[field]
                        out[to, 0] = row
                        out[to, 1] = value
                        out[to, 2] = 0
                        out[to, 3] = at
                    counts[field] += 1
        if depth > 0:
            return row, 5
    return len(starts), 0
