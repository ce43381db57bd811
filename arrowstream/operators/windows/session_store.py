"""State of sessions: stretches of rows of a key that are less than a gap apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import polars as pl

from arrowstream.expressions.among_others import grouped
from arrowstream.operators.aggregation.aggregation import Aggregation
from arrowstream.operators.aggregation.mergeable import ROW
from arrowstream.operators.windows.run_store import PaneStatistics
from arrowstream.state.memory import StateMemory
from arrowstream.state.owned_rows import held_bytes, with_own_text
from arrowstream.state.small_frames import small_at_end

FIRST, LAST = "__first__", "__last__"
"""The times of the first and the last row of a session, in ticks."""
_STARTS, _SESSION = "__starts__", "__session__"


class SessionStore:
    """Partial aggregates by session and keys.

    Each batch adds its sessions; these are merged with the older ones once they are more than twice as many, or when
    sessions are closed.

    Parameters
    ----------
    keys
        The key columns.
    aggregation
        The aggregation that each session keeps the state of.
    gap
        The gap between sessions, in ticks; rows this far apart or further belong to different sessions.
    memory
        The memory that holds the sessions.
    """

    def __init__(self, keys: Sequence[str], aggregation: Aggregation, gap: int, memory: StateMemory) -> None:
        self._memory = memory
        self.keys = tuple(keys)
        self._aggregation = aggregation
        self._gap = gap
        self._merged: pl.DataFrame | None = None
        self._added: list[pl.DataFrame] = []
        self._added_rows = 0

    def statistics(self) -> PaneStatistics:
        """Return the number of unmerged frames, and the number of merged sessions as a single run."""
        return PaneStatistics(len(self._added), tuple(part.height for part in self._parts()), ())

    def add(self, rows: pl.DataFrame, time: pl.Expr) -> None:
        """Add at least one row, with a column `ROW`; `time` is the expression of a row's tick."""
        rows = self._numbered(rows.with_columns(time.alias(FIRST), time.alias(LAST))).sort(ROW)
        self._added.append(self._grouped(rows, self._aggregation.init))
        self._added_rows += self._added[-1].height
        if self._added_rows > 2 * (0 if self._merged is None else self._merged.height):
            self.merge()
        elif count := small_at_end(frame.height for frame in reversed(self._added)):
            self._added[-count:] = [pl.concat(self._added[-count:], rechunk=True)]
        self._count()

    def merge(self) -> pl.DataFrame | None:
        """Merge and return all sessions, one row each; None if there are none."""
        if self._added:
            parts = [*self._parts(), *self._added]
            self._merged = self._grouped(self._numbered(pl.concat(parts)), self._aggregation.combine)
            self._added, self._added_rows = [], 0
        return self._merged

    def take(self, until: int | None) -> pl.DataFrame | None:
        """Remove and return the sessions whose last row is a gap or more before tick `until`; None takes all."""
        sessions = self.merge()
        if sessions is None:
            return None
        over = pl.lit(True) if until is None else pl.col(LAST) + self._gap <= until
        rest = sessions.filter(~over)
        self._merged = rest if rest.height else None
        self._count()
        return sessions.filter(over)

    def frames(self) -> Iterator[pl.DataFrame]:
        """Return all state, older frames first."""
        return iter([*self._parts(), *self._added])

    def restore(self, frames: Iterable[pl.DataFrame]) -> None:
        """Replace the state by the frames, or slices of them, that `frames` gave."""
        self._added = list(frames)
        self._added_rows = sum(frame.height for frame in self._added)
        self._count()

    def _count(self) -> None:
        if self._memory.is_limited:
            held = sum(held_bytes(part) for part in (*self._parts(), *self._added))
            self._memory.reserve(held - self._memory.held)

    def _parts(self) -> list[pl.DataFrame]:
        return [] if self._merged is None else [self._merged]

    def _numbered(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows, or sessions, with the number of the session that each belongs to."""
        rows = rows.sort(*self.keys, FIRST, LAST) if self.keys else rows.sort(FIRST, LAST)
        before = pl.col(LAST).cum_max().shift()
        if self.keys:
            before = before.over(self.keys)
        # The first row of a key follows none.
        starts = (pl.col(FIRST) - before >= self._gap).fill_null(True)
        return rows.with_columns(starts.alias(_STARTS)).with_columns(
            pl.col(_STARTS).cum_sum().alias(_SESSION)
        )

    def _grouped(self, rows: pl.DataFrame, exprs: tuple[pl.Expr, ...]) -> pl.DataFrame:
        keys = [pl.col(name).first() for name in self.keys]
        bounds = pl.col(FIRST).min(), pl.col(LAST).max()
        return with_own_text(grouped(rows, [_SESSION], [*keys, *bounds, *exprs]).drop(_SESSION))
