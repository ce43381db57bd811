"""Runs of rows that advance together: every run's first row, then every run's second row, and so on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from arrowstream.state.arrays import Array


class RoundRobin:
    """The rows of some runs, round by round.

    The rows of one round are adjacent, those of the longest runs first, so that a round works on slices and
    the runs that go on are always the first ones.

    Parameters
    ----------
    lengths
        Rows of each run, at least 1 (runs,), int64; the runs follow one another.

    Attributes
    ----------
    longest
        The numbers of the runs, the longest first (runs,), int64: the order of their states.
    places
        The place of each row in the order of the walk (rows,), int64.
    lasts
        The place of the last row of each run (runs,), int64.
    """

    __slots__ = ("_going", "_starts", "lasts", "longest", "places")

    def __init__(self, lengths: Array) -> None:
        most = int(lengths.max(initial=0))
        # Numbers of 16 bits are sorted by radix.
        short = lengths.astype(np.uint16) if most <= 0xFFFF else lengths
        self.longest: Array = np.argsort(most - short, kind="stable")
        self._going = len(lengths) - np.cumsum(np.bincount(lengths, minlength=1))[:-1]
        self._starts = np.cumsum(self._going) - self._going
        ranks = np.empty(len(lengths), np.int64)
        ranks[self.longest] = np.arange(len(lengths))
        begins = np.cumsum(lengths) - lengths
        offsets = np.arange(lengths.sum()) - np.repeat(begins, lengths)
        self.places: Array = self._starts[offsets] + np.repeat(ranks, lengths)
        self.lasts: Array = self.places[begins + lengths - 1]

    def __iter__(self) -> Iterator[tuple[int, slice]]:
        """Yield for each round the number of runs that go on, and the slice of their rows."""
        for start, going in zip(self._starts.tolist(), self._going.tolist(), strict=True):
            yield going, slice(start, start + going)
