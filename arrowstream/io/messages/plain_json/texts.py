"""Strings of JSON in compiled loops."""

from __future__ import annotations

from typing import Final

import numpy as np

from arrowstream.io.compiled import inlined
from arrowstream.io.kafka.records.instructions import Array, Integer, first_bit, word_at

FAILED: Final = -1
"""The position after what is no JSON, or more than these functions read."""

QUOTE: Final = 34
COMMA: Final = 44
COLON: Final = 58
BACKSLASH: Final = 92
_SPACE: Final = 32

_QUOTES: Final = 0x2222222222222222
_BACKSLASHES: Final = 0x5C5C5C5C5C5C5C5C
_LOW: Final = 0x7F7F7F7F7F7F7F7F
_TO_SPACE: Final = 0x6060606060606060
_HIGH: Final = 0x8080808080808080
"""Eight times a quote, a backslash, all bits but the highest, what is missing from a space to 128, and 128."""


@inlined
def pass_space(data: Array, at: Integer, end: Integer) -> Integer:
    """Return the position of the first byte that is no blank space, or `end`."""
    while at < end and (data[at] == _SPACE or data[at] == 10 or data[at] == 13 or data[at] == 9):
        at += 1
    return at


@inlined
def pass_plain(data: Array, at: Integer, end: Integer) -> Integer:
    """Return the position of the first byte that is a quote, a backslash or a control character, or `end`."""
    while end - at >= 8:
        # A byte is not 0 if its lower bits and 127 give 128 or more, or its highest bit is set.
        word = word_at(data, at)
        quotes = word ^ np.uint64(_QUOTES)
        slashes = word ^ np.uint64(_BACKSLASHES)
        plain = (
            (((quotes & np.uint64(_LOW)) + np.uint64(_LOW)) | quotes)
            & (((slashes & np.uint64(_LOW)) + np.uint64(_LOW)) | slashes)
            & (((word & np.uint64(_LOW)) + np.uint64(_TO_SPACE)) | word)
        )
        others = ~plain & np.uint64(_HIGH)
        if others != 0:
            return at + (first_bit(others) >> 3)
        at += 8
    while at < end and data[at] >= _SPACE and data[at] != QUOTE and data[at] != BACKSLASH:
        at += 1
    return at


def pass_text(data: Array, at: Integer, end: Integer, out: Array, to: Integer) -> tuple[Integer, Integer]:
    """Read the rest of a string, from where `pass_plain` has stopped.

    Parameters
    ----------
    data, at, end
        The message, and where in it.
    out, to
        Where the bytes go, escapes resolved: no more than the string has.

    Returns
    -------
    tuple
        The position after the quote at its end, or `FAILED`; the end of the bytes.
    """
    while at < end:
        byte = np.int64(data[at])
        if byte == QUOTE:
            return at + 1, to
        if byte < _SPACE:
            break
        at += 1
        if byte == BACKSLASH:
            if at >= end:
                break
            code: Integer = _control(np.int64(data[at]))
            at += 1
            if code == FAILED:
                break
            if code == 0:
                code, at = _escaped(data, at, end)
                if at == FAILED:
                    break
            to = _put(code, out, to)
        else:
            out[to] = byte
            to += 1
    return np.int64(FAILED), to


def _control(letter: Integer) -> Integer:
    r"""Return the character of an escape of one letter, 0 for ``\u``, or `FAILED`."""
    if letter in (QUOTE, BACKSLASH, 47):
        return letter
    if letter == 110:
        return np.int64(10)
    if letter == 117:
        return np.int64(0)
    if letter == 116:
        return np.int64(9)
    if letter == 114:
        return np.int64(13)
    if letter == 98:
        return np.int64(8)
    if letter == 102:
        return np.int64(12)
    return np.int64(FAILED)


def _escaped(data: Array, at: Integer, end: Integer) -> tuple[Integer, Integer]:
    r"""Read the digits of ``\u``, and a second escape after the first half of a surrogate pair.

    Returns
    -------
    tuple
        The character, and the position after it, or `FAILED`: also for half of a pair, and for NUL.
    """
    code = _hexadecimal(data, at, end)
    at += 4
    if 0xD800 <= code < 0xDC00 and end - at >= 6 and data[at] == BACKSLASH and data[at + 1] == 117:
        low = _hexadecimal(data, at + 2, end)
        if low < 0xDC00 or low > 0xDFFF:
            return np.int64(0), np.int64(FAILED)
        return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00), at + 6
    if code <= 0 or 0xD800 <= code <= 0xDFFF:
        return np.int64(0), np.int64(FAILED)
    return code, at


def _hexadecimal(data: Array, at: Integer, end: Integer) -> Integer:
    """Return the number of four digits, or `FAILED`."""
    if end - at < 4:
        return np.int64(FAILED)
    found = np.int64(0)
    for place in range(at, at + 4):
        byte = np.int64(data[place])
        letter = byte | 32
        if 48 <= byte <= 57:
            found = (found << 4) | (byte - 48)
        elif 97 <= letter <= 102:
            found = (found << 4) | (letter - 87)
        else:
            return np.int64(FAILED)
    return found


def _put(code: Integer, out: Array, to: Integer) -> Integer:
    """Append a character as UTF-8; return the end of the bytes."""
    if code < 0x80:
        out[to] = code
        return to + 1
    if code < 0x800:
        out[to] = 0xC0 | (code >> 6)
    else:
        if code < 0x10000:
            out[to] = 0xE0 | (code >> 12)
        else:
            out[to] = 0xF0 | (code >> 18)
            to += 1
            out[to] = 0x80 | ((code >> 12) & 63)
        to += 1
        out[to] = 0x80 | ((code >> 6) & 63)
    to += 1
    out[to] = 0x80 | (code & 63)
    return to + 1


TEXT_HELPERS: Final = (
    word_at,
    first_bit,
    pass_space,
    pass_plain,
    _control,
    _hexadecimal,
    _escaped,
    _put,
    pass_text,
)
"""The functions of this module, and the instructions that they use."""
