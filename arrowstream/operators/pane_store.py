"""State of panes, short stretches of the stream, as sorted runs of partial aggregates.

Every batch adds one run, and many small ones become one; runs are merged once those added hold more than twice as
many groups as what was merged before, so that each group is touched a bounded number of times however much state
there is. A run is sorted by pane, so panes that are over are sliced off its beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from arrowstream.operators.aggregation import Aggregation
from arrowstream.operators.partials import ROW
from arrowstream.operators.small_frames import small_at_end

PANE = "__pane__"

_FEW = 8
"""So many panes are grouped one by one: over one key instead of two, Polars takes half the time."""

_STREAMED = 100_000
"""From so many rows on, Polars' streaming engine groups them in half the time; its order is not fixed."""

_USEFUL = 0.5
"""A batch is reduced to groups before it is kept if there are at most so many a row ..."""

_TRIED = 16
"""... in the last batch for which it was tried, one of so many."""


class Run(NamedTuple):
    """Groups sorted by pane, from `low` to `high`."""

    low: int
    high: int
    frame: pl.DataFrame

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Run:
        panes = frame[PANE]
        return cls(panes[0], panes[-1], frame)

    def cut(self, pane: int | None) -> tuple[Run | None, Run | None]:
        """What lies before `pane` and what does not."""
        if pane is None or self.high < pane:
            return self, None
        if self.low >= pane:
            return None, self
        place = int(self.frame[PANE].search_sorted(pane))
        return Run.of(self.frame[:place]), Run.of(self.frame[place:])


class PaneStore:
    """Groups by pane and keys.

    Parameters
    ----------
    keys
        The columns rows are grouped by.
    aggregation
        What is kept of a group.
    """

    def __init__(self, keys: Sequence[str], aggregation: Aggregation) -> None:
        self._keys = tuple(keys)
        self._aggregation = aggregation
        self._merged: Run | None = None
        self._added: list[Run] = []
        self._added_rows = 0
        self._untried = 0

    def add(self, rows: pl.DataFrame) -> None:
        """Take in rows, at least one, with columns `PANE` and `ROW`."""
        self._added.append(Run.of(self._reduced(rows)))
        self._added_rows += self._added[-1].frame.height
        if self._added_rows > 2 * (self._merged.frame.height if self._merged is not None else 0):
            self._merged = self._merge(self._merged, self._added)
            self._added, self._added_rows = [], 0
        elif count := small_at_end(run.frame.height for run in reversed(self._added)):
            rows = pl.concat([run.frame for run in self._added[-count:]])
            self._added[-count:] = [Run.of(rows.sort(PANE, maintain_order=True))]

    def take(self, pane: int | None) -> pl.DataFrame | None:
        """Remove and return the groups of panes before `pane`, all for None, sorted by pane; None for no groups."""
        before, self._merged = self._merged.cut(pane) if self._merged is not None else (None, None)
        parts, rest = [], []
        for run in self._added:
            part, left = run.cut(pane)
            parts += [part] if part is not None else []
            rest += [left] if left is not None else []
        self._added, self._added_rows = rest, sum(run.frame.height for run in rest)
        taken = self._merge(before, parts)
        return None if taken is None else taken.frame

    def put_back(self, groups: pl.DataFrame) -> None:
        """Keep groups that were taken for longer, at least one."""
        parts = [groups] if self._merged is None else [groups, self._merged.frame]
        self._merged = Run.of(pl.concat(parts))

    def frame(self) -> pl.DataFrame | None:
        """All state; None if there is none."""
        runs = [self._merged, *self._added] if self._merged is not None else self._added
        return pl.concat([run.frame for run in runs]) if runs else None

    def restore(self, state: pl.DataFrame) -> None:
        """Take over what `frame` gave, at least one group."""
        self._added = [Run.of(state.sort(PANE, maintain_order=True))]
        self._added_rows = state.height

    def _reduced(self, rows: pl.DataFrame) -> pl.DataFrame:
        one = self._aggregation.one
        if one and self._untried:
            self._untried -= 1
            return rows.select(PANE, *self._keys, *one).sort(PANE, maintain_order=True)
        groups = _grouped(rows, self._keys, self._aggregation.first, False)
        if groups.height > _USEFUL * rows.height:
            self._untried = _TRIED - 1
        return groups

    def _merge(self, merged: Run | None, added: list[Run]) -> Run | None:
        if not added:
            return merged
        # Panes that nothing was added to are as they should be.
        kept, open_ = merged.cut(min(run.low for run in added)) if merged is not None else (None, None)
        parts = [open_, *added] if open_ is not None else added
        state = pl.concat([run.frame for run in parts])
        aggregation = self._aggregation
        groups = _grouped(state, self._keys, aggregation.merge, aggregation.any_order)
        return Run.of(groups if kept is None else pl.concat([kept.frame, groups]))

    def merged(self, state: pl.DataFrame) -> pl.DataFrame:
        """State with one row for each pane and keys, sorted by pane."""
        aggregation = self._aggregation
        return _grouped(state, self._keys, aggregation.merge, aggregation.any_order)


def in_order(groups: pl.DataFrame) -> pl.DataFrame:
    """Groups sorted by pane, and within one by their first row."""
    low, high = groups[PANE][0], groups[PANE][-1]
    return groups.sort(ROW) if low == high else groups.sort(PANE, ROW)


def _grouped(
    rows: pl.DataFrame, keys: tuple[str, ...], exprs: tuple[pl.Expr, ...], any_order: bool
) -> pl.DataFrame:
    """`exprs` by pane and keys, sorted by pane."""
    low, high = rows[PANE].min(), rows[PANE].max()
    assert isinstance(low, int) and isinstance(high, int)
    if not keys or high - low >= _FEW:
        return _group(rows, [PANE, *keys], exprs, any_order).sort(PANE)
    parts = []
    for pane in range(low, high + 1):
        part = rows if low == high else rows.filter(pl.col(PANE) == pane)
        groups = _group(part, keys, exprs, any_order)
        parts.append(groups.select(pl.lit(pane, pl.Int64).alias(PANE), pl.all()))
    return pl.concat(parts)


def _group(
    rows: pl.DataFrame, by: Sequence[str], exprs: tuple[pl.Expr, ...], any_order: bool
) -> pl.DataFrame:
    if any_order and rows.height >= _STREAMED:
        return rows.lazy().group_by(by).agg(*exprs).collect(engine="streaming")
    return rows.group_by(by).agg(*exprs)
