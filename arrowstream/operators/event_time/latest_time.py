"""The event time of rows: the latest so far, moved by a row by no more than a limit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.event_time import EventTime
from arrowstream.core.notes import ReaderNote
from arrowstream.core.step_context import StepContext
from arrowstream.operators.windows.jumps import advanced

TOO_FAR = "rows too far ahead to move event time (max_jump)"
STANDS_STILL = (
    "rows at the end all too far ahead, as after a gap: choose max_jump longer than it, or advance_when_idle"
)

STILL_ROWS = 1_000
"""Rows one after the other, all of them too far ahead, after which event time counts as standing still."""


class LatestTime:
    """The latest event time of a stream or of one of its partitions.

    Parameters
    ----------
    operator
        The column, and the most by which one row may move the time.
    context
        The name and log of the step.

    Attributes
    ----------
    latest_us : int or None
        The latest event time so far in microseconds, and what the clock has added to it; None before the first row.
    """

    __slots__ = (
        "_context",
        "_first_ahead",
        "_first_still",
        "_operator",
        "_rows",
        "_rows_ahead",
        "_rows_still",
        "latest_us",
    )

    def __init__(self, operator: EventTime, context: StepContext) -> None:
        self._operator = operator
        self._context = context
        self.latest_us: int | None = None
        self._rows = 0
        self._rows_ahead = 0
        self._first_ahead = ""
        self._rows_still = 0
        """Number of the last rows that are all too far ahead, without any other between them."""
        self._first_still = ""

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        """Notes about rows that were too far ahead."""
        if not self._rows_ahead:
            return ()
        found = [ReaderNote(TOO_FAR, self._rows_ahead, self._first_ahead, lost=False)]
        if self._rows_still >= STILL_ROWS:
            found.append(ReaderNote(STANDS_STILL, self._rows_still, self._first_still, lost=False))
        return tuple(found)

    def advance(self, batch: Batch) -> bool:
        """Take the times of the rows; return whether they move the latest one."""
        latest = self._latest_with(batch)
        self._rows += batch.num_rows
        moves = latest is not None and (self.latest_us is None or latest > self.latest_us)
        if moves:
            self.latest_us = latest
        return moves

    def _latest_with(self, batch: Batch) -> int | None:
        """Return the event time after the rows of `batch`; None if they have none."""
        times = batch.polars()[self._operator.column]
        latest, jump = latest_us(times), self._operator.max_jump_us
        if latest is None or jump is None:
            return latest
        if self.latest_us is not None and latest <= self.latest_us + jump:
            self._rows_still = 0
            return latest
        known = times.is_not_null()
        microseconds = _in_us(times).filter(known).cast(pl.Int64, strict=False).fill_null(_LAST).to_numpy()
        before = int(microseconds[0]) if self.latest_us is None else self.latest_us
        latest, ahead = advanced(microseconds, before, jump)
        rows = np.flatnonzero(known.to_numpy())
        self._note(batch, rows[ahead])
        self._note_still(batch, rows, ahead)
        return latest

    def _note_still(self, batch: Batch, rows: npt.NDArray[np.int64], ahead: npt.NDArray[np.bool_]) -> None:
        """Count the rows at the end of the stream so far that are all too far ahead; log once that they are many.

        After a gap that is longer than `max_jump` no row moves event time. A correction by itself would make rows
        late that come after those of a wrong clock.
        """
        before = self._rows_still
        near = np.flatnonzero(~ahead)
        start = int(near[-1]) + 1 if len(near) else 0
        if start or not before:
            before = 0
            self._first_still = self._place(batch, int(rows[start])) if start < len(rows) else ""
        self._rows_still = before + len(rows) - start
        if before < STILL_ROWS <= self._rows_still:
            self._context.logger.warning(
                "%s: event time stands still: %s, first in %s",
                self._context.id,
                STANDS_STILL,
                self._first_still,
            )

    def _note(self, batch: Batch, ahead: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        """Count rows that are too far ahead; log the first."""
        if not self._rows_ahead and len(ahead):
            self._first_ahead = self._place(batch, int(ahead[0]))
            self._context.logger.warning(
                "%s: a row is too far ahead to move event time; the report counts further ones: %s",
                self._context.id,
                self._first_ahead,
            )
        self._rows_ahead += len(ahead)

    def _place(self, batch: Batch, row: int) -> str:
        """Return where a row of the batch comes from, and its time."""
        position = batch.slice(row, 1).position
        if position is None:
            place = f"row {self._rows + row + 1} of the stream"
        else:
            place = f"row {position.start + 1} of {position.origin}" if position.exact else str(position)
        column = self._operator.column
        return f"{place}, {column} = {batch.polars()[column][row]}"


_LAST = 2**63 - 1


def latest_us(times: pl.Series) -> int | None:
    """Return the latest of some times, in microseconds since 1970 UTC (rounded down); None without any."""
    latest = _in_us(times).max()
    assert latest is None or isinstance(latest, int)
    return latest


def _in_us(times: pl.Series) -> pl.Series:
    """Return times as whole microseconds since 1970 UTC, rounded down."""
    if times.dtype == pl.Datetime:
        # Cast to the unit, not to the zone: only the instant matters.
        return times.dt.epoch("us")
    return times.cast(pl.Datetime("us")).dt.epoch("us") if times.dtype == pl.Date else times
