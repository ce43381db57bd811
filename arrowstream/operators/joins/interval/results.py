"""The rows that a join of two streams gives: once they are known, or at once, with what becomes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.rows.changes import CHANGE, CHANGE_TYPE, DELETE, INSERT
from arrowstream.operators.joins.interval.timed_rows import TimedRows
from arrowstream.operators.joins.stream_columns import StreamColumns
from arrowstream.state.arrays import Array

JoinEmit = Literal["final", "changes"]

_LEFT = 0
_ALONE = {"left": (True, False), "right": (False, True), "full": (True, True), "anti": (True, False)}
"""Whether rows of the left, and of the right, come out without a partner."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of a row of a batch and a row of the other side that is held.

    Parameters
    ----------
    asked
        Places of the rows in the batch (pairs,), int64.
    found
        Numbers of their partners (pairs,), int64.
    partners
        The partners.
    """

    asked: Array
    found: Array
    partners: pl.DataFrame


@dataclass(frozen=True, slots=True)
class JoinResults:
    """What comes out for rows that come, meet and leave.

    A row without a partner comes out when it leaves, as none can come any more; or, as a change, at once, and it is
    deleted when its first partner comes: what Flink's outer joins of streams do.

    Parameters
    ----------
    columns
        The columns that come out, without that of changes.
    changes
        Whether rows come out at once, with what becomes of them in the column ``_change``.
    """

    columns: StreamColumns
    changes: bool

    def keeps(self, port: int) -> bool:
        """Return whether rows of this side come out without a partner."""
        return _ALONE.get(self.columns.how, (False, False))[port]

    def deletes(self, port: int) -> bool:
        """Return whether rows of this side that have come out alone are deleted, in favour of pairs."""
        return self.changes and self.keeps(port) and self.columns.how != "anti"

    def alone(self, port: int, rows: pl.DataFrame, lonely: Array) -> Iterator[Batch]:
        """Yield those rows of a side that are `lonely` (rows,), bool, if rows of it come out without a partner."""
        if self.keeps(port) and lonely.any():
            kept = rows.filter(pl.Series(lonely))
            yield Batch(self._marked(self.columns.alone(port, kept), INSERT))

    def paired(
        self, port: int, rows: pl.DataFrame, pairs: Pairs, held: TimedRows, matched: Array
    ) -> Iterator[Batch]:
        """Yield what comes out for pairs, and note that the rows held have a partner.

        Parameters
        ----------
        port
            The side of the batch.
        rows
            The batch.
        pairs
            The pairs.
        held
            The rows of the other side.
        matched
            Whether each row of the batch has been in an earlier pair (rows,), bool.
        """
        how = self.columns.how
        if how not in ("semi", "anti"):
            own = rows[pl.Series(pairs.asked.astype(np.uint32))]
            left, right = (own, pairs.partners) if port == _LEFT else (pairs.partners, own)
            joined = self._instead(
                1 - port, pairs, held, self._marked(self.columns.paired(left, right), INSERT)
            )
            held.match(pairs.found)
            yield Batch(joined)
        # Each row of the left counts once, with its first partner.
        elif port == _LEFT:
            if how == "semi":
                new = np.unique(pairs.asked[~matched[pairs.asked]])
                yield Batch(self._marked(rows[pl.Series(new.astype(np.uint32))], INSERT))
        else:
            first = np.unique(pairs.found[~held.matched(pairs.found)])
            held.match(first)
            if len(first) and (how == "semi" or self.changes):
                yield Batch(self._marked(held.rows(first), INSERT if how == "semi" else DELETE))

    def deleted(self, port: int, pairs: Pairs, held: TimedRows) -> Iterator[Batch]:
        """Yield the deletions for pairs of a batch of this side, as `paired` does, without the pairs."""
        if (rows := self._deletions(1 - port, pairs, held)) is not None:
            held.match(pairs.found)
            yield Batch(rows)

    def _instead(self, port: int, pairs: Pairs, held: TimedRows, joined: pl.DataFrame) -> pl.DataFrame:
        """Return joined pairs, and before them the deletions of held rows that have come out alone."""
        rows = self._deletions(port, pairs, held) if self.deletes(port) else None
        return joined if rows is None else pl.concat([rows, joined])

    def _deletions(self, port: int, pairs: Pairs, held: TimedRows) -> pl.DataFrame | None:
        """Return the deletions of held rows that have come out alone, and now have a partner; None for none."""
        lonely = np.flatnonzero(~held.matched(pairs.found))
        if not len(lonely):
            return None
        first = lonely[np.unique(pairs.found[lonely], return_index=True)[1]]
        alone = self.columns.alone(port, pairs.partners[pl.Series(first.astype(np.uint32))])
        return self._marked(alone, DELETE)

    def _marked(self, rows: pl.DataFrame, change: str) -> pl.DataFrame:
        """Return the rows with what becomes of them, if that comes out."""
        return rows.with_columns(pl.lit(change, CHANGE_TYPE).alias(CHANGE)) if self.changes else rows
