"""The loop that reads JSON objects into columns.

Each object is read from its first byte to its last. What the loop does not read, it leaves to others, whether that is
an error or not: keys that come twice or have escapes, numbers where text is expected, integers of more than 18 digits
or with an exponent, times in other forms, values that do not fit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from arrowstream.io.compiled import compiled, inlined
from arrowstream.io.kafka.records.instructions import Array, Integer, word_at
from arrowstream.io.messages.plain_json.numbers import NUMBER_HELPERS
from arrowstream.io.messages.plain_json.passing import PASSING_HELPERS, pass_value, pass_word
from arrowstream.io.messages.plain_json.table import FIRST, NAME, NAME_END, NULL, SCRATCH, THERE
from arrowstream.io.messages.plain_json.texts import (
    COLON,
    COMMA,
    FAILED,
    QUOTE,
    TEXT_HELPERS,
    pass_plain,
    pass_space,
)
from arrowstream.io.messages.plain_json.times import TIME_HELPERS
from arrowstream.io.messages.plain_json.values import VALUE_HELPERS, read_value
from arrowstream.io.messages.wire.byte_ranges import BYTES, INTEGERS


@inlined
def is_key(data: Array, at: Integer, end: Integer, names: Array, name: Integer, size: Integer) -> bool:
    """Return whether a key and a quote are at a position; `names` has 8 more bytes at its end."""
    if end - at <= size or data[at + size] != QUOTE:
        return False
    stop = name + size
    while stop - name >= 8:
        if word_at(data, at) != word_at(names, name):
            return False
        at += 8
        name += 8
    if name < stop and end - at >= 8:
        other = word_at(data, at) ^ word_at(names, name)
        return bool((other << np.uint64(64 - 8 * (stop - name))) == 0)
    while name < stop:
        if data[at] != names[name]:
            return False
        at += 1
        name += 1
    return True


@inlined
def column_of(
    data: Array, at: Integer, end: Integer, columns: Array, names: Array, expected: Integer
) -> Integer:
    """Return the column whose key begins at a position, or `FAILED`; the one that is expected is tried first."""
    column = expected
    for _ in range(len(columns) - 1):
        name = columns[column, NAME]
        if is_key(data, at, end, names, name, columns[column, NAME_END] - name):
            return column
        column += 1
        if column == len(columns) - 1:
            column = np.int64(0)
    return np.int64(FAILED)


@inlined
def pass_other_key(data: Array, at: Integer, end: Integer, is_left: Integer) -> Integer:
    """Return the position of the quote after a key that is no column, or `FAILED` if it is left to others."""
    at = pass_plain(data, at, end)
    # With escapes it could be one of the columns.
    return np.int64(FAILED) if is_left or at >= end or data[at] != QUOTE else at


@inlined
def read_object(
    data: Array,
    at: Integer,
    end: Integer,
    row: Integer,
    names: Array,
    columns: Array,
    marks: Array,
    numbers: Array,
    floats: Array,
    powers: Array,
    long: Array,
    scratch: Array,
) -> Integer:
    """Read an object, from its first quote or bracket, into a row of all columns.

    Returns
    -------
    int
        The position after it, or `FAILED`; then a part of the row may have been read.
    """
    others = len(columns) - 1
    expected: Integer = np.int64(0)
    while at < end and data[at] == QUOTE:
        at += 1
        column = column_of(data, at, end, columns, names, expected)
        if column == FAILED:
            at = pass_other_key(data, at, end, columns[others, FIRST])
            if at == FAILED:
                return at
        else:
            at += columns[column, NAME_END] - columns[column, NAME]
        at = pass_space(data, at + 1, end)
        if at >= end or data[at] != COLON:
            return np.int64(FAILED)
        at = pass_space(data, at + 1, end)
        if at >= end:
            return np.int64(FAILED)
        if column == FAILED:
            at = pass_value(data, at, end, scratch, columns[others, SCRATCH])
        else:
            if marks[column, row] != 0:
                return np.int64(FAILED)
            expected = column + 1 if column + 1 < others else np.int64(0)
            if data[at] == 110:
                marks[column, row] = NULL
                at = pass_word(data, at, end)
            else:
                marks[column, row] = THERE
                at = read_value(data, at, end, row, columns[column], numbers, floats, powers, long, scratch)
        if at == FAILED:
            return at
        at = pass_space(data, at, end)
        if at >= end or data[at] != COMMA:
            break
        at = pass_space(data, at + 1, end)
        if at >= end or data[at] != QUOTE:
            return np.int64(FAILED)
    return at + 1 if at < end and data[at] == 125 else np.int64(FAILED)


@compiled(
    f"int64({BYTES}, {INTEGERS}, {INTEGERS}, {INTEGERS}, {BYTES}, int64[:, ::1], uint8[:, ::1], int64[::1],"
    " float64[::1], float64[::1], int64[::1], uint8[::1], int64[::1])",
    *TEXT_HELPERS,
    *TIME_HELPERS,
    *NUMBER_HELPERS,
    *PASSING_HELPERS,
    *VALUE_HELPERS,
    is_key,
    column_of,
    pass_other_key,
    read_object,
)
def read_objects(
    data: Any,
    starts: Any,
    ends: Any,
    rows: Any,
    names: Any,
    columns: Any,
    marks: Any,
    numbers: Any,
    floats: Any,
    powers: Any,
    long: Any,
    scratch: Any,
    unread: Any,
) -> Integer:
    """Read objects into columns.

    Parameters
    ----------
    data, starts, ends
        The messages, as in `ByteRanges`.
    rows
        The row of each message.
    names, columns
        The keys, and the table of columns.
    marks
        For each column and row, 0 at first: `THERE`, or `NULL` for ``null``.
    numbers, floats
        The values of all columns, 0 at first, as integers and as floats over the same memory.
    powers, long
        As `read_float` takes them.
    scratch
        Bytes of long texts.
    unread
        Gets the index of each message that is left to others.

    Returns
    -------
    int
        The number of messages that are left to others; if they are too many for `unread`, -1.
    """
    left = 0
    for index in range(len(starts)):
        row = rows[index]
        end = ends[index]
        at = pass_space(data, starts[index], end)
        if at < end and data[at] == 123:
            at = pass_space(data, at + 1, end)
            at = read_object(
                data, at, end, row, names, columns, marks, numbers, floats, powers, long, scratch
            )
        else:
            at = np.int64(FAILED)
        if at == FAILED or pass_space(data, at, end) < end:
            if left == len(unread):
                return -1
            unread[left] = index
            left += 1
            marks[:, row] = 0
    return left
