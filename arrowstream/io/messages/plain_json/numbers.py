"""Numbers of JSON in compiled loops."""

from __future__ import annotations

from typing import Final

import numpy as np

from arrowstream.io.compiled import inlined
from arrowstream.io.kafka.records.instructions import Array, Integer
from arrowstream.io.messages.plain_json.texts import FAILED

_MOST_DIGITS: Final = 18
"""Digits of an integer that certainly fits into 64 bits."""

_MOST_EXPONENT: Final = 300
"""Powers of ten up to which a number of a few digits is a finite float."""

WHOLE, FRACTION, LONG = range(3)
"""Kinds of numbers: integers, those with a fraction or an exponent, and those of too many digits."""


@inlined
def read_number(data: Array, at: Integer, end: Integer) -> tuple[Integer, Integer, Integer, Integer]:
    """Read a number.

    Returns
    -------
    tuple
        The position after it, or `FAILED` for what is no number or no float of 64 bits; its digits as an integer
        without a sign; the power of ten that this is to be multiplied by; and its kind.
    """
    power: Integer = np.int64(0)
    kind = np.int64(WHOLE)
    failed = np.int64(FAILED), np.int64(0), power, kind
    if at < end and data[at] == 45:
        at += 1
    first = at
    at, digits, count = _read_digits(data, at, end, np.int64(0), np.int64(0))
    if at == first or (data[first] == 48 and at > first + 1):
        return failed
    if at < end and data[at] == 46:
        kind = np.int64(FRACTION)
        first = at + 1
        at, digits, count = _read_digits(data, first, end, digits, count)
        if at == first:
            return failed
        power = first - at
    if at < end and (data[at] | 32) == 101:
        kind = np.int64(FRACTION)
        at, exponent = _read_exponent(data, at + 1, end)
        if at == FAILED:
            return failed
        power += exponent
    if count > _MOST_DIGITS:
        if kind == WHOLE:
            return failed
        kind = np.int64(LONG)
    if power < -_MOST_EXPONENT or power + count > _MOST_EXPONENT:
        return failed
    return at, digits, power, kind


@inlined
def _read_digits(
    data: Array, at: Integer, end: Integer, digits: Integer, count: Integer
) -> tuple[Integer, Integer, Integer]:
    """Append digits to an integer, as far as it has 64 bits; return the position after them, it, and their number."""
    while at < end and 48 <= data[at] <= 57:
        if count < _MOST_DIGITS:
            digits = digits * 10 + (np.int64(data[at]) - 48)
        if digits > 0:
            count += 1
        at += 1
    return at, digits, count


def _read_exponent(data: Array, at: Integer, end: Integer) -> tuple[Integer, Integer]:
    """Return the position after an exponent, or `FAILED`, and the exponent."""
    is_negative = at < end and data[at] == 45
    if at < end and (data[at] == 43 or data[at] == 45):
        at += 1
    first = at
    exponent = np.int64(0)
    while at < end and 48 <= data[at] <= 57 and exponent < 1_000:
        exponent = exponent * 10 + (np.int64(data[at]) - 48)
        at += 1
    if at == first:
        return np.int64(FAILED), exponent
    return at, -exponent if is_negative else exponent


NUMBER_HELPERS: Final = (_read_digits, _read_exponent, read_number)
"""The functions of this module."""
