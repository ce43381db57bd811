"""Rows without an event time: an error, left out, or late."""

from __future__ import annotations

from typing import Literal, Protocol

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.hints import did_you_mean
from arrowstream.core.notes import ReaderNote
from arrowstream.errors import PlanError
from arrowstream.operators.windows.event_time import EventTimeColumn

NullTimes = Literal["error", "drop", "late"]
_POLICIES = ("error", "drop", "late")

_HINT = (
    'null_times="drop" leaves them out and counts them, null_times="late" gives them to the sink late=; a job with '
    "checkpoints goes on with it; in a query, WHERE ... IS NOT NULL leaves them out"
)
LEFT_OUT = "rows without an event time left out"


def check_null_times(value: str, step: str = "window") -> None:
    """Raise PlanError for an unknown value of ``null_times``, an argument of `step`."""
    if value not in _POLICIES:
        raise PlanError(
            f"unknown null_times of {step}(...)",
            expected="'error', 'drop' or 'late'",
            found=repr(value),
            hint=did_you_mean(str(value), _POLICIES),
        )


def described(null_times: NullTimes) -> str:
    """Return the argument for `explain()`, with a comma before it; nothing for the default."""
    return f", null_times={null_times}" if null_times != "error" else ""


class KeepsLate(Protocol):
    """The interface of late rows that this module needs."""

    def sift(self, rows: pl.DataFrame, is_late: pl.Expr) -> pl.DataFrame:
        """Return the rows that are in time, and keep those for which `is_late` holds."""


class TimelessRows:
    """The rows of a step's input that have no event time.

    Parameters
    ----------
    policy
        ``"error"`` raises, ``"drop"`` leaves them out and counts them in a note, ``"late"`` counts them as late rows.
    time
        The event-time column.
    late
        The late rows of the step.
    step
        Name of the operator, for errors.
    """

    __slots__ = ("_count", "_first", "_late", "_policy", "_rows", "_step", "_time")

    def __init__(
        self, policy: NullTimes, time: EventTimeColumn, late: KeepsLate, step: str = "window"
    ) -> None:
        self._policy = policy
        self._time = time
        self._late = late
        self._step = step
        self._rows = 0
        self._count = 0
        self._first = ""

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        """A note on the rows that were left out."""
        return (ReaderNote(LEFT_OUT, self._count, self._first, uncounted=True),) if self._count else ()

    def sift(self, batch: Batch) -> pl.DataFrame:
        """Return the rows that have a time.

        Raises
        ------
        StageError
            A row has none, and that is an error.
        """
        frame = batch.polars()
        if self._policy == "error":
            self._time.check(batch, self._step, _HINT)
        elif frame[self._time.column].null_count():
            missing = pl.col(self._time.column).is_null()
            if self._policy == "late":
                frame = self._late.sift(frame, missing)
            else:
                self._note(batch)
                frame = frame.filter(~missing)
        self._rows += batch.num_rows
        return frame

    def skip(self, rows: int) -> None:
        """Count rows that all have a time, and are not sifted."""
        self._rows += rows

    def _note(self, batch: Batch) -> None:
        times = batch.polars()[self._time.column]
        if not self._count:
            row = times.is_null().arg_max()
            assert row is not None, "there is a null"
            position = batch.slice(row, 1).position
            self._first = f"row {self._rows + row + 1} of the stream" if position is None else str(position)
        self._count += times.null_count()
