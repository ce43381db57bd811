"""Rows and groups of rows by pane, a short stretch of the stream."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import polars as pl

from arrowstream.operators.aggregation.mergeable import ROW
from arrowstream.state.owned_rows import owned

PANE = "__pane__"

_FEW = 8
"""Panes up to this number are grouped one by one: over one key instead of two, Polars takes half the time."""

_STREAMED = 100_000
"""Rows from which on Polars' streaming engine groups them in less time; its order is not fixed."""

_PIECES = 64
"""Chunks that make a frame slow to look through."""

_SPARSE = 8
"""Numbers of rows are sorted if they span more than this many times their count."""


class Rows(NamedTuple):
    """Rows in the order in which they came, of panes from `low` to `high`; with a column `PANE` if these differ."""

    low: int
    high: int
    frame: pl.DataFrame

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Rows:
        """Rows with a column `PANE`, at least one."""
        panes = frame[PANE]
        low, high = panes.min(), panes.max()
        assert isinstance(low, int) and isinstance(high, int)
        return cls(low, high, frame if low < high else _without_pane(frame))

    def parted(self, pane: int) -> tuple[Rows, Rows]:
        """What lies before `pane` and what does not, where there is some of both; the latter is kept for longer."""
        panes = self.frame[PANE]
        if panes.is_sorted():
            place = bisect_left(panes, pane)
            return Rows.of(self.frame[:place]), Rows.of(owned(self.frame[place:]))
        before = panes < pane
        return Rows.of(self.frame.filter(before)), Rows.of(owned(self.frame.filter(~before)))

    def one(self, pane: int) -> pl.DataFrame | None:
        """The rows of one pane, without `PANE`."""
        if self.low == self.high:
            return self.frame if self.low == pane else None
        return _without_pane(self.frame.filter(pl.col(PANE) == pane))

    def all(self) -> pl.DataFrame:
        """The rows with `PANE`."""
        return self.frame if self.low < self.high else _with_pane(self.low, self.frame)


class Run(NamedTuple):
    """Groups sorted by pane, from `low` to `high`."""

    low: int
    high: int
    frame: pl.DataFrame

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Run:
        """Groups, at least one."""
        panes = frame[PANE]
        return cls(panes[0], panes[-1], frame)

    def parted(self, pane: int) -> tuple[Run, Run]:
        """What lies before `pane` and what does not, where there is some of both."""
        place = bisect_left(self.frame[PANE], pane)
        return Run.of(self.frame[:place]), Run.of(self.frame[place:])

    def only(self, which: pl.Expr) -> Run | None:
        """The groups for which an expression holds."""
        frame = self.frame.filter(which)
        return Run.of(frame) if frame.height else None

    def joined(self, later: Run) -> Run:
        """With the groups of panes that come after these."""
        frame = pl.concat([self.frame, later.frame], rechunk=False)
        # Windows that slide leave a piece for every pane.
        return Run(self.low, later.high, frame.rechunk() if frame.n_chunks() >= _PIECES else frame)

    def moved(self, every: int, back: int) -> Rows:
        """As rows: panes 0 to `every` - 1 become pane 0 and so on, less `back`."""
        low, high = self.low // every - back, self.high // every - back
        if low == high:
            return Rows(low, high, _without_pane(self.frame))
        if every == 1 and not back:
            return Rows(low, high, self.frame)
        return Rows(low, high, self.frame.with_columns(pl.col(PANE) // every - back))


_Panes = TypeVar("_Panes", Rows, Run)


def cut(part: _Panes | None, pane: int | None) -> tuple[_Panes | None, _Panes | None]:
    """What lies before `pane`, all for None, and what does not."""
    if part is None or pane is None or part.high < pane:
        return part, None
    return (None, part) if part.low >= pane else part.parted(pane)


def cut_all(parts: list[_Panes], pane: int | None) -> tuple[list[_Panes], list[_Panes]]:
    """What lies before `pane` of each, all for None, and what does not."""
    cuts = [cut(part, pane) for part in parts]
    return [before for before, _ in cuts if before is not None], [
        rest for _, rest in cuts if rest is not None
    ]


def by_pane(
    parts: Sequence[Rows], keys: Sequence[str], exprs: Sequence[pl.Expr], any_order: bool
) -> pl.DataFrame:
    """`exprs` for each pane and keys, sorted by pane; `any_order` if they do not depend on the order of rows."""
    low, high = min(part.low for part in parts), max(part.high for part in parts)
    if not keys or high - low >= _FEW:
        return _group([part.all() for part in parts], [PANE, *keys], exprs, any_order).sort(PANE)
    found = []
    for pane in range(low, high + 1):
        frames = [frame for part in parts if (frame := part.one(pane)) is not None]
        if frames:
            found.append(_with_pane(pane, _group(frames, keys, exprs, any_order)))
    return pl.concat(found)


def in_order(groups: pl.DataFrame) -> pl.DataFrame:
    """Groups sorted by pane, and within one by their first row."""
    low, high = groups[PANE][0], groups[PANE][-1]
    return groups[_by_row(groups[ROW])] if low == high else groups.sort(PANE, ROW)


def _by_row(rows: pl.Series) -> pl.Series:
    """Where the numbers of rows, each there once, stand, in the order of the numbers.

    Numbers close to each other are put at their own places of an array, which takes less time than sorting them.
    """
    numbers = rows.to_numpy()
    first, last = int(numbers.min()), int(numbers.max())
    if last - first >= _SPARSE * len(numbers):
        return pl.Series(np.argsort(numbers))
    array = np.zeros(last - first + 1, np.uint32)
    array[numbers - first] = np.arange(1, len(numbers) + 1, dtype=np.uint32)
    places = pl.Series(array)
    return places.filter(places > 0) - 1


def _without_pane(frame: pl.DataFrame) -> pl.DataFrame:
    return frame[[name for name in frame.columns if name != PANE]]


def _with_pane(pane: int, frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(pl.lit(pane, pl.Int64).alias(PANE), pl.all())


def _group(
    frames: Sequence[pl.DataFrame], by: Sequence[str], exprs: Sequence[pl.Expr], any_order: bool
) -> pl.DataFrame:
    if any_order and sum(frame.height for frame in frames) >= _STREAMED:
        rows = pl.concat([frame.lazy() for frame in frames])
        return rows.group_by(by).agg(*exprs).collect(engine="streaming")
    return pl.concat(frames).group_by(by).agg(*exprs)
