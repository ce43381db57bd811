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
