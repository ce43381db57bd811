"""Values of JSON whose key is no column: they are checked, and left out."""

from __future__ import annotations

from typing import Final

import numpy as np

from arrowstream.io.kafka.records.instructions import Array, Integer
from arrowstream.io.messages.plain_json.numbers import read_number
from arrowstream.io.messages.plain_json.texts import (
    COLON,
    COMMA,
    FAILED,
    QUOTE,
    pass_plain,
    pass_space,
    pass_text,
)

_DEEPEST: Final = 60
"""Objects and lists within each other: each is a bit of an integer."""


def pass_word(data: Array, at: Integer, end: Integer) -> Integer:
    """Return the position after ``null``, ``true`` or ``false``, or `FAILED`."""
    if end - at < 4:
        return np.int64(FAILED)
    first, second, third, fourth = data[at], data[at + 1], data[at + 2], data[at + 3]
    if first == 110 and second == 117 and third == 108 and fourth == 108:
        return at + 4
    if first == 116 and second == 114 and third == 117 and fourth == 101:
        return at + 4
    if (
        first == 102
        and second == 97
        and third == 108
        and fourth == 115
        and end - at > 4
        and data[at + 4] == 101
    ):
        return at + 5
    return np.int64(FAILED)


def pass_string(data: Array, at: Integer, end: Integer, scratch: Array, to: Integer) -> Integer:
    """Return the position after a string, of which the first quote was read, or `FAILED`."""
    at = pass_plain(data, at, end)
    if at < end and data[at] == QUOTE:
        return at + 1
    at, _ = pass_text(data, at, end, scratch, to)
    return at


def pass_key(data: Array, at: Integer, end: Integer, scratch: Array, to: Integer) -> Integer:
    """Return the position after a key and its colon, or `FAILED`."""
    at = pass_space(data, at, end)
    if at >= end or data[at] != QUOTE:
        return np.int64(FAILED)
    at = pass_string(data, at + 1, end, scratch, to)
    if at == FAILED:
        return at
    at = pass_space(data, at, end)
    return at + 1 if at < end and data[at] == COLON else np.int64(FAILED)


def pass_scalar(data: Array, at: Integer, end: Integer, scratch: Array, to: Integer) -> Integer:
    """Return the position after a string, a number or a word, or `FAILED`."""
    if data[at] == QUOTE:
        return pass_string(data, at + 1, end, scratch, to)
    if data[at] == 45 or 48 <= data[at] <= 57:
        at, _, _, _ = read_number(data, at, end)
        return at
    return pass_word(data, at, end)


def pass_ends(
    data: Array, at: Integer, end: Integer, depth: Integer, kinds: Integer
) -> tuple[Integer, Integer, Integer]:
    """Pass the brackets after a value.

    Returns
    -------
    tuple
        The position of the comma after them, or, at depth 0, after the last bracket, or `FAILED`; how many levels
        are still open, and their kinds.
    """
    while depth > 0:
        at = pass_space(data, at, end)
        if at >= end:
            return np.int64(FAILED), depth, kinds
        byte = data[at]
        if byte == COMMA:
            break
        if byte != (125 if kinds & 1 else 93):
            return np.int64(FAILED), depth, kinds
        at += 1
        depth -= 1
        kinds >>= 1
    return at, depth, kinds


def pass_value(data: Array, at: Integer, end: Integer, scratch: Array, to: Integer) -> Integer:
    """Check a value.

    Parameters
    ----------
    data, at, end
        The message, and where in it.
    scratch, to
        Where a string of the message's size may be written.

    Returns
    -------
    int
        The position after the value, or `FAILED`.
    """
    depth: Integer = np.int64(0)
    kinds: Integer = np.int64(0)  # a bit for each level: 1 for an object, 0 for a list
    while True:
        if kinds & 1:
            at = pass_key(data, at, end, scratch, to)
            if at == FAILED:
                return at
        at = pass_space(data, at, end)
        if at >= end:
            return np.int64(FAILED)
        byte = data[at]
        if byte == 123 or byte == 91:
            if depth == _DEEPEST:
                return np.int64(FAILED)
            depth += 1
            kinds = (kinds << 1) | (1 if byte == 123 else 0)
            at = pass_space(data, at + 1, end)
            if at >= end or data[at] != byte + 2:
                continue
        else:
            at = pass_scalar(data, at, end, scratch, to)
        if at != FAILED:
            at, depth, kinds = pass_ends(data, at, end, depth, kinds)
        if at == FAILED or depth == 0:
            return at
        at += 1


PASSING_HELPERS: Final = (pass_word, pass_string, pass_key, pass_scalar, pass_ends, pass_value)
"""The functions of this module."""
