"""Keys that are integers close together: the distance from the least one is a place in an array, without any hashing.

This is what DuckDB calls a perfect hash (``src/execution/perfect_aggregate_hashtable.cpp``).
"""

from __future__ import annotations

from typing import cast

import numpy as np
import polars as pl

from arrowstream.core.rows.number_types import INTEGERS, TIMES
from arrowstream.state.arrays import Array

_AS_INTEGERS = INTEGERS | TIMES | {pl.Boolean, pl.Enum}


def is_integer(dtype: pl.DataType) -> bool:
    """Whether values of a type are integers in memory: numbers, truth values, times, and the codes of an `Enum`."""
    return dtype.base_type() in _AS_INTEGERS


def as_integers(keys: pl.Series) -> pl.Series:
    """The integers that keys of such a type are."""
    # Polars takes 0.1 ms to find that a number is its own physical form.
    if keys.dtype.is_integer():
        return keys
    return keys.cast(pl.UInt8) if keys.dtype == pl.Boolean else keys.to_physical()


def bounds(integers: pl.Series) -> tuple[int, int] | None:
    """The least and the greatest of some integers; None if all are null."""
    if integers.null_count() == len(integers):
        return None
    return cast(int, integers.min()), cast(int, integers.max())


def distances(integers: Array, least: int) -> Array:
    """How far each is from `least`, modulo 2**64 (int64): what is out of reach has too great a distance."""
    wrapped = (least + 2**63) % 2**64 - 2**63
    places: Array = integers.astype(np.int64, copy=False) - np.int64(wrapped)
    return places
