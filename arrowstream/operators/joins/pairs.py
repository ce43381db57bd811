"""Pairs of a question and a row among sorted ones: where they are, a limited number at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from arrowstream.state.arrays import Array

_STEPS = 4
"""Codes that are looked at one after the other before the end of a stretch is searched."""


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


def ends_of(codes: Array, begins: Array, high: Array) -> Array:
    """Return the end of each stretch of sorted codes from `begins` up to `high` (questions,), int64.

    Most stretches have no code or a few, which are found by looking at the next ones.
    """
    ends = begins.copy()
    going = np.arange(len(ends))
    for _ in range(_STEPS):
        at = ends[going]
        going = going[(at < len(codes)) & (codes.take(at, mode="clip") <= high[going])]
        if not len(going):
            return ends
        ends[going] += 1
    ends[going] = np.searchsorted(codes, high[going], "right")
    return ends


def expanded(begins: Array, counts: Array) -> tuple[Array, Array]:
    """Return the question of each pair, and its place among the rows (pairs,), int64 each.

    Parameters
    ----------
    begins, counts
        Where the stretch of each question begins, and how many rows it has (questions,), int64.

    Examples
    --------
    >>> asked, places = expanded(np.array([5, 0, 8]), np.array([2, 0, 1]))
    >>> asked.tolist(), places.tolist()
    ([0, 0, 2], [5, 6, 8])
    """
    asked = np.repeat(np.arange(len(counts)), counts)
    before = np.cumsum(counts) - counts
    return asked, np.arange(len(asked)) + (begins - before)[asked]
