"""The values of Avro datums, read by a program in one compiled loop over the bytes.

A program is a table of int64 of shape ``(steps, 5)``: code, slot and three arguments. It describes the schema of a
datum. Each value goes to the end of its slot. All slots lie in one array of int64: integers as they are, the bits of
floats, positions and sizes of bytes, 1 or 0 for a value that is there or null, and numbers of items.

Every datum is read from its first byte to the one after its last, and no further: a datum that is too long or too
short is found itself, and its neighbours are not touched.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from arrowstream.io.compiled import compiled
from arrowstream.io.messages.wire.byte_ranges import BYTES, INTEGERS

NUMBER, UNION, BLOCK, TEXT, DECIMAL, FIXED, FIXED_DECIMAL, BOOLEAN, BITS, LIST, ITEM = range(11)
"""Codes of steps; those up to `DECIMAL` begin with a varint.

`NUMBER`: a varint from argument 0 to argument 1. `UNION`: the index of a type; argument 0 is that of null, after
which the slots from `fills` between argument 1 and 2 get a 0, and the program goes on at the step that the next row
of the table, of no code, has as its slot. `BLOCK`: the head of a block of items; at the last, the number of items
goes to the slot, and the program goes on at argument 1. `TEXT`, `FIXED`: bytes, of a size before them or in argument
0; their place and size go to two slots. `DECIMAL`, `FIXED_DECIMAL`: the same for an integer, whose upper and lower 64
bits go to two slots. `BOOLEAN`: a byte, 0 or 1. `BITS`: argument 0 bytes of a float. `LIST`: sets the number of items
of the loop in argument 0 to 0. `ITEM`: the end of an item, whose next one begins at argument 1, and whose next block
at argument 2.
"""

FAULTS: Final = {
    1: "the bytes end within a value",
    2: "a number has more than 64 bits",
    3: "a number is out of the range of its type",
    4: "a boolean is neither 0 nor 1",
    5: "a text or a list has a size that does not fit the message",
    6: "the index of a union is that of none of its types",
    7: "a decimal has more than 16 bytes",
    8: "bytes are left after the last value",
}
"""What is wrong with a datum, by the number that `read_datums` returns."""


def read_long(data: Any, at: int, end: int) -> tuple[Any, int]:
    """Return the zigzag varint at a position, and the position after it, or minus the number of a fault."""
    bits = np.int64(0)
    shift = np.int64(0)
    while at < end:
        byte = np.int64(data[at])
        at += 1
        if shift == 63 and byte > 1:
            return np.int64(0), -2
        bits |= (byte & 127) << shift
        if byte < 128:
            return ((bits >> 1) & 0x7FFFFFFFFFFFFFFF) ^ -(bits & 1), at
        shift += 7
    return np.int64(0), -1


@compiled(
    f"Tuple((int64, int64))({BYTES}, {INTEGERS}, {INTEGERS}, int64[:, ::1], int64[::1], int64[::1], int64[::1],"
    " int64[::1], int64[:, ::1])",
    read_long,
)
def read_datums(
    data: Any, starts: Any, ends: Any, program: Any, fills: Any, bases: Any, counts: Any, out: Any, loops: Any
) -> tuple[int, int]:
    """Read datums; return the index of the first bad one and its fault, or the number of datums and 0.

    Parameters
    ----------
    data, starts, ends
        The datums, as in `ByteRanges`.
    program, fills
        The schema.
    bases
        Where each slot begins in `out`.
    counts
        Number of values of each slot, which is added to.
    out
        The slots; empty to count and check only.
    loops
        Space for items left and items read of each loop, of shape ``(loops, 2)``.

    Notes
    -----
    It is one function, as numba counts the references to every array that a function is called with: split into
    functions of a few lines, it takes 7 times as long.
    """
    writes = len(out) > 0
    for row in range(len(starts)):
        at = starts[row]
        end = ends[row]
        step = np.int64(0)
        while step < len(program):
            code = program[step, 0]
            slot = program[step, 1]
            value: Any = np.int64(0)
            if code <= DECIMAL:
                if at < end and data[at] < 128:
                    value = np.int64(data[at])
                    value = (value >> 1) ^ -(value & 1)
                    at += 1
                else:
                    value, at = read_long(data, at, end)
                    if at < 0:
                        return row, -at
            if code == NUMBER:
                if value < program[step, 2] or value > program[step, 3]:
                    return row, 3
            elif code == UNION:
                if value < 0 or value > 1:
                    return row, 6
                if value == program[step, 2]:
                    for place in range(program[step, 3], program[step, 4]):
                        fill = fills[place]
                        if writes:
                            out[bases[fill] + counts[fill]] = 0
                        counts[fill] += 1
                    if writes:
                        out[bases[slot] + counts[slot]] = 0
                    counts[slot] += 1
                    step = program[step + 1, 1]
                    continue
                value = np.int64(1)
                step += 1
            elif code == BLOCK:
                # Each item has at least one byte.
                if value > end - at or value < at - end:
                    return row, 5
                loop = program[step, 2]
                if value < 0:
                    value = -value
                    size, at = read_long(data, at, end)
                    if at < 0:
                        return row, -at
                    if size < 0 or size > end - at:
                        return row, 5
                if value > 0:
                    loops[loop, 0] = value
                    loops[loop, 1] += value
                    step += 1
                    continue
                if writes:
                    out[bases[slot] + counts[slot]] = loops[loop, 1]
                counts[slot] += 1
                step = program[step, 3]
                continue
            elif code <= FIXED_DECIMAL:
                size = value if code <= DECIMAL else program[step, 2]
                if size < 0 or size > end - at:
                    return row, 5
                value = np.int64(at)
                second = size
                if code in (DECIMAL, FIXED_DECIMAL):
                    if size > 16:
                        return row, 7
                    value = np.int64(0)
                    if size > 0 and data[at] > 127:
                        value = np.int64(-1)
                    second = value
                    for place in range(size):
                        value = (value << 8) | ((second >> 56) & 255)
                        second = (second << 8) | np.int64(data[at + place])
                at += size
                if writes:
                    out[bases[slot + 1] + counts[slot + 1]] = second
                counts[slot + 1] += 1
            elif code == BOOLEAN:
                if at >= end:
                    return row, 1
                value = np.int64(data[at])
                at += 1
                if value > 1:
                    return row, 4
            elif code == BITS:
                if program[step, 2] > end - at:
                    return row, 1
                for place in range(program[step, 2]):
                    value |= np.int64(data[at + place]) << np.int64(8 * place)
                at += program[step, 2]
            elif code == LIST:
                loops[program[step, 2], 1] = 0
                step += 1
                continue
            else:
                loop = program[step, 2]
                loops[loop, 0] -= 1
                step = program[step, 3] if loops[loop, 0] > 0 else program[step, 4]
                continue
            if writes:
                out[bases[slot] + counts[slot]] = value
            counts[slot] += 1
            step += 1
        if at != end:
            return row, 8
    return len(starts), 0
