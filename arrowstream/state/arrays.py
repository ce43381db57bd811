"""The type alias of numpy arrays, and their stable order."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


_HALF = 1 << 16


def stable_order(numbers: Array) -> Array:
    """Return the indices that sort whole numbers from 0 to 2**32 - 1; equal ones keep their order (rows,), int64.

    Sorts by the lower and then by the upper 16 bits, for which numpy has a radix sort.

    Examples
    --------
    >>> stable_order(np.array([70_000, 3, 70_000, 0])).tolist()
    [3, 1, 0, 2]
    """
    order = np.argsort((numbers % _HALF).astype(np.uint16), kind="stable")
    if numbers.max(initial=0) < _HALF:
        return order
    upper = (numbers // _HALF).astype(np.uint16)
    return order[np.argsort(upper[order], kind="stable")]


def ranked(values: Array) -> tuple[Array, Array]:
    """Return the distinct values in order, and the index of each value among them (rows,), int64.

    Values that are in order already take no sorting.

    Examples
    --------
    >>> [found.tolist() for found in ranked(np.array([7, 3, 7]))]
    [[3, 7], [1, 0, 1]]
    """
    if (values[1:] < values[:-1]).any():
        distinct, ranks = np.unique(values, return_inverse=True)
        return distinct, ranks
    new = np.append(np.ones(min(len(values), 1), np.bool_), values[1:] > values[:-1])
    return values[new], np.cumsum(new) - 1


def merged(older: Array, newer: Array) -> tuple[Array, Array, Array]:
    """Merge sorted arrays without repeated values, the first not empty; return values, and the index of each of both.

    Only the second array is searched for, which may be much shorter.

    Examples
    --------
    >>> [found.tolist() for found in merged(np.array([1, 4, 6]), np.array([0, 4, 5]))]
    [[0, 1, 4, 5, 6], [1, 2, 4], [0, 2, 3]]
    """
    places = np.searchsorted(older, newer)
    fresh = older.take(places, mode="clip") != newer
    before = np.cumsum(fresh)
    newer_at = places + before - fresh
    # The fresh values that come before each of the older ones.
    ahead = np.cumsum(np.bincount(places[fresh], minlength=len(older) + 1))[: len(older)]
    older_at = np.arange(len(older)) + ahead
    values = np.empty(len(older) + int(fresh.sum()), older.dtype)
    values[older_at] = older
    values[newer_at] = newer
    return values, older_at, newer_at
