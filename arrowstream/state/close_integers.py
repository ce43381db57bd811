"""Keys that are integers close together: the distance from the smallest key is an array index, without hashing.

DuckDB calls this a perfect hash (``src/execution/perfect_aggregate_hashtable.cpp``).
"""

from __future__ import annotations

from typing import cast

import numpy as np
import polars as pl

from arrowstream.core.rows.number_types import INTEGERS, TIMES
from arrowstream.state.arrays import Array

_AS_INTEGERS = INTEGERS | TIMES | {pl.Boolean, pl.Enum}


def is_integer(dtype: pl.DataType) -> bool:
    """Return whether a type is stored as integers: integers, Booleans, times, and the codes of an `Enum`."""
    return dtype.base_type() in _AS_INTEGERS


def as_integers(keys: pl.Series) -> pl.Series:
    """Return keys of a type for which `is_integer` holds as integers; Booleans as UInt8."""
    # Polars takes 0.1 ms to find that a number is its own physical form.
    if keys.dtype.is_integer():
        return keys
    return keys.cast(pl.UInt8) if keys.dtype == pl.Boolean else keys.to_physical()


def bounds(integers: pl.Series) -> tuple[int, int] | None:
    """Return the minimum and the maximum of integers, or None if all are null."""
    if integers.null_count() == len(integers):
        return None
    return cast(int, integers.min()), cast(int, integers.max())


def distances(integers: Array, least: int) -> Array:
    """Return the distance of each integer from `least`, modulo 2**64.

    Parameters
    ----------
    integers
        Integers of any type (keys,).
    least
        The integer with distance 0.

    Returns
    -------
    numpy.ndarray
        The distances (keys,), int64. Read as uint64, those of integers outside an array are past its end.
    """
    places: Array = integers.astype(np.int64, copy=False) - np.int64(wrapped(least))
    return places


def wrapped(number: int) -> int:
    """Return a number of 64 bits with a sign that is the same modulo 2**64."""
    return (number + 2**63) % 2**64 - 2**63
