"""Hopping windows whose aggregates are sums of integers, from running sums of their keys instead of merged panes."""

from __future__ import annotations

import polars as pl

from arrowstream.operators.aggregation.aggregation import Aggregation
from arrowstream.operators.windows.groups.running_sums import RunningSums
from arrowstream.operators.windows.panes import SortedGroups, cut

_MANY = 1_000
"""The groups of a pane, on average, from which running sums take less time than merging panes."""


class SummedWindows:
    """The windows of a stream, made of the panes that close.

    Panes stay where they are kept anyway: running sums that are lost are taken anew from them.

    Parameters
    ----------
    key
        The key column.
    size, every
        The panes of a window, and those from its begin to that of the next one.
    """

    __slots__ = ("_every", "_size", "_sums")

    def __init__(self, key: str, size: int, every: int) -> None:
        self._sums = RunningSums(key)
        self._size = size
        self._every = every

    @staticmethod
    def take(keys: pl.Schema, aggregation: Aggregation, size: int, every: int) -> bool:
        """Return whether such windows can be made: they overlap, and have one key and sums that can be subtracted."""
        sums = aggregation.any_order and set(aggregation.update[1:]) == {"add"}
        return size > every and sums and RunningSums.take(keys)

    def note(self, pane: int) -> None:
        """Take note of a row in a pane; it may come when sums have been taken without it."""
        if self._sums.end is not None and pane < self._sums.end:
            self._sums.clear()

    def close(self, panes: SortedGroups, first: int | None, until: int | None) -> pl.DataFrame | None:
        """Return the windows from `first` to before `until`, in order; None if merging panes gives them.

        Parameters
        ----------
        panes
            The groups of all panes that these windows have, sorted by pane.
        first, until
            Windows as multiples of `every`; None for no bound.
        """
        sums, every, size = self._sums, self._every, self._size
        rest = panes if sums.end is None else cut(panes, sums.end)[1]
        if rest is not None and rest.frame.height < _MANY * (rest.high - rest.low + 1):
            sums.clear()
            return None
        new: list[SortedGroups] = []
        while rest is not None:
            one, rest = cut(rest, rest.low + 1)
            assert one is not None
            new.append(one)
        numbers = {
            number
            for pane in [*sums.panes, *(run.low for run in new)]
            for number in range((pane - size) // every + 1, pane // every + 1)
            if (first is None or number >= first) and (until is None or number < until)
        }
        windows = []
        for number in sorted(numbers):
            while new and new[0].low < number * every + size:
                run = new.pop(0)
                if not sums.add(run.low, run.frame):
                    return None
            sums.forget(number * every)
            windows.append(sums.window(number, number * every))
        return pl.concat(windows)
