"""State of panes, short stretches of the stream: rows as they came, and sorted runs of partial aggregates.

Rows are put aside until there are many, because a million of them are grouped in far less time than sixteen
times a sixteenth. Then they become one run; runs are merged once those added hold more than twice as many groups as
what was merged before, so that each group is touched a bounded number of times however much state
there is. A run is sorted by pane, so panes that are over are sliced off its beginning.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from arrowstream.operators.aggregation import Aggregation
from arrowstream.operators.dense_groups import dense_groups
from arrowstream.operators.panes import PANE, Rows, Run, by_pane, cut, cut_all
from arrowstream.operators.small_frames import small_at_end

_ASIDE_ROWS = 1 << 20
_ASIDE_BYTES = 64 << 20
"""The most rows, and bytes, that are put aside before they are grouped."""


class PaneStore:
    """Groups by pane and keys.

    Parameters
    ----------
    keys
        The columns rows are grouped by.
    aggregation
        What is kept of a group.
    pane
        The pane of a row.
    """

    def __init__(self, keys: Sequence[str], aggregation: Aggregation, pane: pl.Expr) -> None:
        self._keys = tuple(keys)
        self._aggregation = aggregation
        self._pane = pane.alias(PANE)
        self._columns = list(dict.fromkeys((*keys, *aggregation.reads)))
        self._aside: list[Rows] = []
        self._aside_rows: int = 0
        self._aside_bytes: float = 0
        self._merged: Run | None = None
        self._added: list[Run] = []
        self._added_rows = 0

    def add(self, rows: pl.DataFrame, low: int, high: int) -> None:
        """Take in rows, at least one, with a column `ROW`, whose panes reach from `low` to `high`."""
        part = rows[self._columns] if low == high else rows.select(self._pane, *self._columns)
        self._put_aside(Rows(low, high, part))
        if self._aside_rows >= _ASIDE_ROWS or self._aside_bytes >= _ASIDE_BYTES:
            parts, self._aside = self._aside, []
            self._aside_rows, self._aside_bytes = 0, 0
            self._add(self._reduced(parts))
        elif count := small_at_end(part.frame.height for part in reversed(self._aside)):
            few = pl.concat([part.all() for part in self._aside[-count:]])
            self._aside[-count:] = [Rows.of(few)]

    def take(self, pane: int | None) -> Run | None:
        """Remove and return the groups of panes before `pane`, all for None; None for no groups."""
        before, self._merged = cut(self._merged, pane)
        parts, self._added = cut_all(self._added, pane)
        self._added_rows = sum(run.frame.height for run in self._added)
        rows, self._aside = cut_all(self._aside, pane)
        self._aside, kept = [], self._aside
        self._aside_rows, self._aside_bytes = 0, 0
        for part in kept:
            self._put_aside(part)
        if rows:
            parts.append(self._reduced(rows))
        return self._merge(before, parts)

    def put_back(self, groups: Run) -> None:
        """Keep groups that were taken for longer."""
        self._merged = groups if self._merged is None else groups.joined(self._merged)

    def frame(self) -> pl.DataFrame | None:
        """All state; None if there is none."""
        runs = [self._merged, *self._added] if self._merged is not None else [*self._added]
        if self._aside:
            runs.append(self._reduced(self._aside))
        return pl.concat([run.frame for run in runs]) if runs else None

    def restore(self, state: pl.DataFrame) -> None:
        """Take over what `frame` gave, at least one group."""
        self._merged = Run.of(self.merged([Rows.of(state)]))

    def merged(self, parts: Sequence[Rows]) -> pl.DataFrame:
        """State with one row for each pane and keys, sorted by pane."""
        values = [pl.col(expr.meta.output_name()) for expr in self._aggregation.one]
        return self._grouped(parts, self._aggregation.merge, values)

    def _put_aside(self, rows: Rows) -> None:
        self._aside.append(rows)
        self._aside_rows += rows.frame.height
        self._aside_bytes += rows.frame.estimated_size()

    def _add(self, run: Run) -> None:
        self._added.append(run)
        self._added_rows += run.frame.height
        if self._added_rows > 2 * (self._merged.frame.height if self._merged is not None else 0):
            self._merged = self._merge(self._merged, self._added)
            self._added, self._added_rows = [], 0

    def _reduced(self, rows: list[Rows]) -> Run:
        return Run.of(self._grouped(rows, self._aggregation.first, self._aggregation.one))

    def _grouped(
        self, parts: Sequence[Rows], exprs: Sequence[pl.Expr], values: Sequence[pl.Expr]
    ) -> pl.DataFrame:
        folds, any_order = self._aggregation.folds, self._aggregation.any_order
        groups = dense_groups(parts, self._keys, values, folds) if folds else None
        return by_pane(parts, self._keys, exprs, any_order) if groups is None else groups

    def _merge(self, merged: Run | None, added: list[Run]) -> Run | None:
        if not added:
            return merged
        # Panes that nothing was added to are as they should be.
        kept, open_ = cut(merged, min(run.low for run in added))
        parts = [open_, *added] if open_ is not None else added
        groups = parts[0]
        if len(parts) > 1:
            groups = Run.of(self.merged([run.moved(1, 0) for run in parts]))
        return groups if kept is None else kept.joined(groups)
