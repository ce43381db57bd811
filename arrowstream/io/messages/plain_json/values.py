"""Values of JSON that become those of columns, in compiled loops."""

from __future__ import annotations

from typing import Final

import numpy as np

from arrowstream.io.compiled import inlined
from arrowstream.io.kafka.records.instructions import Array, Integer, copy, word_at
from arrowstream.io.messages.plain_json.numbers import LONG, WHOLE, read_number
from arrowstream.io.messages.plain_json.passing import pass_word
from arrowstream.io.messages.plain_json.table import (
    BOOLEAN,
    DATE,
    FIRST,
    FLOAT,
    INTEGER,
    KIND,
    SCRATCH,
    SCRATCH_END,
    SECOND,
    SLOT,
    TEXT,
)
from arrowstream.io.messages.plain_json.texts import FAILED, QUOTE, pass_plain, pass_text
from arrowstream.io.messages.plain_json.times import read_date, read_time

_INLINE: Final = 12
"""Bytes of a text up to which Arrow keeps it in its view."""

_MOST_DIGITS: Final = 1 << 53
_MOST_POWER: Final = 22
"""Integers and powers of ten that are floats, whose product or quotient is rounded once and thus right."""


@inlined
def write_view(
    data: Array, at: Integer, size: Integer, place: Integer, offset: Integer, numbers: Array
) -> None:
    """Write Arrow's view of a text: its size and all its bytes, or its size, first bytes and place."""
    head = np.int64(0)
    tail = np.int64(0)
    if len(data) - at >= _INLINE:
        head = np.int64(word_at(data, at))
        tail = np.int64(word_at(data, at + 4))
        if size < 4:
            head &= (1 << (8 * size)) - 1
        if size <= 4:
            tail = np.int64(0)
        elif size < _INLINE:
            tail &= (1 << (8 * (size - 4))) - 1
    else:
        for byte in range(min(size, 4)):
            head |= np.int64(data[at + byte]) << (8 * byte)
        for byte in range(4, min(size, _INLINE)):
            tail |= np.int64(data[at + byte]) << (8 * (byte - 4))
    numbers[place] = (head << 32) | size
    numbers[place + 1] = tail if size <= _INLINE else offset << 32


@inlined
def read_text(
    data: Array, at: Integer, end: Integer, table: Array, numbers: Array, place: Integer, scratch: Array
) -> Integer:
    """Read a text, which begins at `at`, into a column; return the position after it, or `FAILED`."""
    stop = pass_plain(data, at, end)
    if stop >= end:
        return np.int64(FAILED)
    to = table[SCRATCH_END]
    size = stop - at
    if data[stop] == QUOTE:
        write_view(data, at, size, place, to - table[SCRATCH], numbers)
        if size > _INLINE:
            copy(data, at, scratch, to, size)
            table[SCRATCH_END] = to + size
        return stop + 1
    copy(data, at, scratch, to, size)
    at, last = pass_text(data, stop, end, scratch, to + size)
    if at == FAILED:
        return at
    size = last - to
    write_view(scratch, to, size, place, to - table[SCRATCH], numbers)
    if size > _INLINE:
        table[SCRATCH_END] = last
    return at


@inlined
def read_float(
    data: Array, at: Integer, end: Integer, place: Integer, floats: Array, powers: Array, long: Array
) -> Integer:
    """Read a float, or note where one is that this cannot round; return the position after it, or `FAILED`.

    Parameters
    ----------
    data, at, end
        The message, and where in it.
    place, floats
        Where the float goes.
    powers
        Powers of ten from 0 to 22.
    long
        Number of floats that are left to others, then place, first byte and the one after the last of each.
    """
    first = at
    at, digits, power, kind = read_number(data, at, end)
    if at == FAILED:
        return at
    if kind == LONG or digits > _MOST_DIGITS or power < -_MOST_POWER or power > _MOST_POWER:
        used = long[0]
        long[used + 1] = place
        long[used + 2] = first
        long[used + 3] = at
        long[0] = used + 3
        return at
    value = np.float64(digits)
    value = value / powers[-power] if power < 0 else value * powers[power]
    # An integer has no negative zero.
    floats[place] = -value if data[first] == 45 and (digits > 0 or kind != WHOLE) else value
    return at


@inlined
def read_value(
    data: Array,
    at: Integer,
    end: Integer,
    row: Integer,
    table: Array,
    numbers: Array,
    floats: Array,
    powers: Array,
    long: Array,
    scratch: Array,
) -> Integer:
    """Read a value into a row of a column; return the position after it, or `FAILED`."""
    kind = table[KIND]
    place = table[SLOT] + row
    if kind == FLOAT:
        return read_float(data, at, end, place, floats, powers, long)
    if kind == INTEGER:
        is_negative = at < end and data[at] == 45
        at, digits, _, found = read_number(data, at, end)
        number = -digits if is_negative else digits
        if at == FAILED or found != WHOLE or number < table[FIRST] or number > table[SECOND]:
            return np.int64(FAILED)
        numbers[place] = number
        return at
    if kind == BOOLEAN:
        numbers[place] = 1 if data[at] == 116 else 0
        return pass_word(data, at, end)
    if data[at] != QUOTE:
        return np.int64(FAILED)
    if kind == TEXT:
        return read_text(data, at + 1, end, table, numbers, place + row, scratch)
    if kind == DATE:
        number, at = read_date(data, at + 1, end)
    else:
        number, at = read_time(data, at + 1, end, table[FIRST], table[SECOND])
    if at == FAILED or at >= end or data[at] != QUOTE:
        return np.int64(FAILED)
    numbers[place] = number
    return at + 1


VALUE_HELPERS: Final = (copy, write_view, read_text, read_float, read_value)
"""The functions of this module, and the instructions that they use."""
