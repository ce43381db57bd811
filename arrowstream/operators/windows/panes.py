"""Rows and groups of rows by pane, a short stretch of event time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple, TypeVar

import numpy as np
import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.rows.frame_of import frame_of
from arrowstream.expressions.among_others import grouped
from arrowstream.operators.aggregation.mergeable import ROW
from arrowstream.state.arrays import Array, stable_order
from arrowstream.state.owned_rows import owned
from arrowstream.state.spill_file import RowsInFile, SpillFile

PANE = "__pane__"
"""The column of pane numbers, Int64."""

_FEW = 8
"""Up to this many panes are grouped one by one: with one key column instead of two, Polars takes half the time."""

_STREAMED = 100_000
"""Rows from which Polars' streaming engine groups faster than the in-memory one; its order is not fixed."""

_PIECES = 64
"""Chunks at which a frame is made contiguous, because more would make it slow to scan."""

_RUNS = 64
"""Up to this many parts, each of rows that lie in one pane or in several, are left as they are."""

_FAR = 1 << 32
"""Numbers this far apart are sorted by comparison."""


class Rows(NamedTuple):
    """Rows of the panes `low` to `high`, in order of arrival; with a column `PANE` if `low` and `high` differ."""

    low: int
    high: int
    frame: pl.DataFrame

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Rows:
        """Wrap at least one row with a column `PANE`."""
        panes = frame[PANE]
        low, high = panes.min(), panes.max()
        assert isinstance(low, int) and isinstance(high, int)
        return cls(low, high, frame if low < high else _without_pane(frame))

    def parted(self, pane: int) -> tuple[Rows, Rows]:
        """Split into rows before `pane` and the rest, which must both exist; the rest owns its memory."""
        panes = self.frame[PANE]
        if panes.is_sorted():
            place = bisect_left(panes, pane)
            return Rows.of(self.frame[:place]), Rows.of(owned(self.frame[place:]))
        before = panes < pane
        return Rows.of(self.frame.filter(before)), Rows.of(owned(self.frame.filter(~before)))

    def one(self, pane: int) -> pl.DataFrame | None:
        """Return the rows of one pane, without `PANE`, or None if the frame lies in a single other pane."""
        if self.low == self.high:
            return self.frame if self.low == pane else None
        return _without_pane(self.frame.filter(pl.col(PANE) == pane))

    def all(self) -> pl.DataFrame:
        """Return the rows with `PANE`."""
        return self.frame if self.low < self.high else _with_pane(self.low, self.frame)


class SortedGroups(NamedTuple):
    """Groups of the panes `low` to `high`, sorted by pane, in a frame with a column `PANE`.

    `file` is the spill file whose last rows the groups are, if they lie in one.
    """

    low: int
    high: int
    frame: pl.DataFrame
    file: SpillFile | None = None

    @classmethod
    def of(cls, frame: pl.DataFrame) -> SortedGroups:
        """Wrap at least one group; the groups are sorted by pane."""
        panes = frame[PANE]
        return cls(panes[0], panes[-1], frame)

    def parted(self, pane: int) -> tuple[SortedGroups, SortedGroups]:
        """Split into groups before `pane` and the rest, which must both exist; both are slices."""
        place = bisect_left(self.frame[PANE], pane)
        return SortedGroups.of(self.frame[:place]), SortedGroups.of(self.frame[place:])._replace(
            file=self.file
        )

    def saved(self) -> Batch | RowsInFile:
        """Return the groups as they are saved in a snapshot."""
        if self.file is None:
            return Batch(self.frame)
        return RowsInFile(self.file, self.file.frame.height - self.frame.height)

    def only(self, which: pl.Expr) -> SortedGroups | None:
        """Return the groups for which an expression holds, or None if there are none."""
        frame = self.frame.filter(which)
        return SortedGroups.of(frame) if frame.height else None

    def joined(self, later: SortedGroups) -> SortedGroups:
        """Return these groups followed by those of later panes."""
        frame = pl.concat([self.frame, later.frame], rechunk=False)
        # Hopping windows leave a chunk for every pane.
        return SortedGroups(self.low, later.high, frame.rechunk() if frame.n_chunks() >= _PIECES else frame)

    def moved(self, every: int, back: int) -> Rows:
        """Return the groups as rows, with pane p renumbered to ``p // every - back``."""
        low, high = self.low // every - back, self.high // every - back
        if low == high:
            return Rows(low, high, _without_pane(self.frame))
        if every == 1 and not back:
            return Rows(low, high, self.frame)
        panes = (self.frame[PANE].to_numpy() // every) - back
        return Rows(low, high, frame_of([pl.Series(PANE, panes), *_without_pane(self.frame).get_columns()]))


def in_few_parts(parts: Sequence[Rows]) -> list[Rows]:
    """Return the rows of parts in their order; where neighbours lie in one pane, together and without `PANE`."""
    runs = [list(run) for _, run in groupby(parts, lambda part: part.low if part.low == part.high else None)]
    # Panes that alternate from one part of few rows to the next cost more than a column.
    return [_together(run) for run in (runs if len(runs) <= _RUNS else [parts])]


def _together(parts: Sequence[Rows]) -> Rows:
    low, high = min(part.low for part in parts), max(part.high for part in parts)
    frames = [part.frame if low == high else part.all() for part in parts]
    return Rows(low, high, pl.concat(frames, rechunk=False))


_Panes = TypeVar("_Panes", Rows, SortedGroups)


def cut(part: _Panes | None, pane: int | None) -> tuple[_Panes | None, _Panes | None]:
    """Split into what lies before `pane` and the rest; with None for `pane`, all lies before it."""
    if part is None or pane is None or part.high < pane:
        return part, None
    return (None, part) if part.low >= pane else part.parted(pane)


def cut_all(parts: list[_Panes], pane: int | None) -> tuple[list[_Panes], list[_Panes]]:
    """Split each part as `cut` does, and leave out empty parts."""
    cuts = [cut(part, pane) for part in parts]
    return [before for before, _ in cuts if before is not None], [
        rest for _, rest in cuts if rest is not None
    ]


def by_pane(
    parts: Sequence[Rows], keys: Sequence[str], exprs: Sequence[pl.Expr], any_order: bool
) -> pl.DataFrame:
    """Aggregate by pane and keys; the result is sorted by pane.

    Parameters
    ----------
    parts
        The rows; each part has at least one.
    keys
        The key columns.
    exprs
        The aggregations.
    any_order
        Whether `exprs` do not depend on the order of rows.
    """
    low, high = min(part.low for part in parts), max(part.high for part in parts)
    if not keys or high - low >= _FEW:
        return by_panes(_group([part.all() for part in parts], [PANE, *keys], exprs, any_order))
    found = []
    for pane in range(low, high + 1):
        frames = [frame for part in parts if (frame := part.one(pane)) is not None]
        if frames:
            found.append(_with_pane(pane, _group(frames, keys, exprs, any_order)))
    return pl.concat(found)


def by_panes(groups: pl.DataFrame) -> pl.DataFrame:
    """Return groups sorted by pane; those of a pane keep their order."""
    panes = groups[PANE].to_numpy()
    if (panes[1:] >= panes[:-1]).all():
        return groups
    return groups[_index(by_number(panes))]


def in_order(groups: pl.DataFrame) -> pl.DataFrame:
    """Return groups, which are sorted by pane, sorted within a pane by their first row."""
    panes, rows = groups[PANE].to_numpy(), groups[ROW].to_numpy()
    if ((rows[1:] > rows[:-1]) | (panes[1:] > panes[:-1])).all():
        return groups
    order = by_number(rows)
    if panes[0] < panes[-1]:
        order = order[by_number(panes[order])]
    return groups[_index(order)]


def by_number(numbers: Array) -> Array:
    """Return the indices that sort whole numbers; equal ones keep their order (rows,), int64."""
    least = int(numbers.min())
    if int(numbers.max()) - least >= _FAR:
        return np.argsort(numbers, kind="stable")
    return stable_order(numbers - least)


def _index(order: Array) -> pl.Series:
    return pl.Series(order.astype(np.uint32))


def _without_pane(frame: pl.DataFrame) -> pl.DataFrame:
    return frame[[name for name in frame.columns if name != PANE]]


def _with_pane(pane: int, frame: pl.DataFrame) -> pl.DataFrame:
    # Without a query, which takes longer than a few rows do.
    panes = pl.Series(PANE, np.full(frame.height, pane))
    return frame_of([panes, *frame.get_columns()])


def _group(
    frames: Sequence[pl.DataFrame], by: Sequence[str], exprs: Sequence[pl.Expr], any_order: bool
) -> pl.DataFrame:
    if any_order and sum(frame.height for frame in frames) >= _STREAMED:
        rows = pl.concat([frame.lazy() for frame in frames])
        return rows.group_by(by).agg(*exprs).collect(engine="streaming")
    return grouped(pl.concat(frames), by, exprs)
