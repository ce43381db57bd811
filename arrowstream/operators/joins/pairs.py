"""Pairs of rows, a limited number at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from arrowstream.state.arrays import Array


def cut(counts: Array, most: int) -> Iterator[slice]:
    """Yield slices of rows with some `most` pairs each, or one row with more; rows without pairs may be left out.

    Parameters
    ----------
    counts
        The number of pairs of each row (rows,), int64.
    most
        The number of pairs of a slice.
    """
    ends = np.cumsum(counts)
    start, passed = 0, 0
    while start < len(counts) and ends[-1] > passed:
        stop = max(start + 1, int(np.searchsorted(ends, passed + most, side="right")))
        if ends[stop - 1] > passed:
            yield slice(start, stop)
        start, passed = stop, int(ends[stop - 1])
