"""Runs of rows that advance together: every run's first row, then every run's second row, and so on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from arrowstream.state.arrays import Array


class RoundRobin:
    """The rows of some runs, round by round.

    The rows of one round lie side by side, those of the longest runs first, so that a round works on slices and
    the runs that go on are always the first ones.

    Parameters
    ----------
    lengths
        How long each run is, at least 1 (runs,), int64; their rows lie one after the other.

    Attributes
    ----------
    longest
        The numbers of the runs, the longest first (runs,): the order in which their states must be given.
    places
        Where each row is in the order of the walk (rows,).
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
        """For each round how many runs go on, and where their rows are."""
        for start, going in zip(self._starts.tolist(), self._going.tolist(), strict=True):
            yield going, slice(start, start + going)
