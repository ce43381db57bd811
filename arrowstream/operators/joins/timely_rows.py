"""The rows of the two sides of a join that have a time and are not late."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.notes import ReaderNote
from arrowstream.operators.joins.stream_columns import StreamColumns
from arrowstream.operators.windows.event_time import EventTimeColumn
from arrowstream.operators.windows.timeless_rows import NullTimes, TimelessRows
from arrowstream.state.arrays import Array


def ticks_of(time: EventTimeColumn, rows: pl.DataFrame) -> Array:
    """Return the times of rows in ticks (rows,), int64; none of them is null."""
    found: Array = rows[time.column].cast(pl.Int64).to_numpy()
    return found


class _LateOfSide:
    """The late rows of one side, in the columns of both."""

    __slots__ = ("_columns", "_port", "held")

    def __init__(self, columns: StreamColumns, port: int) -> None:
        self._columns = columns
        self._port = port
        self.held: list[pl.DataFrame] = []

    def sift(self, rows: pl.DataFrame, is_late: pl.Expr) -> pl.DataFrame:
        late = rows.select(is_late).to_series()
        self.held.append(self._columns.alone(self._port, rows.filter(late)))
        return rows.filter(~late)


class TimelyRows:
    """The rows of the sides of a join that have a time and are not late, and what becomes of the others.

    Parameters
    ----------
    step
        Name of the operator, for errors.
    times
        The column of time of each side, in one unit.
    columns
        The columns of late rows of either side.
    null_times
        What is done with rows without a time.
    room
        The number of ticks that must be left between a time and the ends of its range.
    """

    __slots__ = ("_late", "_room", "_step", "_timeless", "_times")

    def __init__(
        self,
        step: str,
        times: Sequence[EventTimeColumn],
        columns: StreamColumns,
        null_times: NullTimes,
        room: int,
    ) -> None:
        self._step = step
        self._times = times
        self._room = room
        self._late = [_LateOfSide(columns, port) for port in range(len(times))]
        self._timeless = [
            TimelessRows(null_times, time, late, step) for time, late in zip(times, self._late, strict=True)
        ]

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        """Notes on rows without a time that were left out."""
        return tuple(note for rows in self._timeless for note in rows.notes)

    def sift(self, batch: Batch, port: int, first: int | None) -> tuple[pl.DataFrame, Array]:
        """Return the rows of a side that are in time, and their times in ticks (rows,), int64.

        Parameters
        ----------
        batch
            The rows.
        port
            Their side.
        first
            The tick before which a row is late; None if none is.

        Raises
        ------
        StageError
            A row has no time, and that is an error, or a time is too close to the ends of its range.
        """
        rows, time = self._timeless[port].sift(batch), self._times[port]
        ticks = ticks_of(time, rows)
        if rows.height:
            time.check_room(int(ticks.min()), int(ticks.max()), self._room, self._step)
        if first is None or not (late := ticks < first).any():
            return rows, ticks
        return self._late[port].sift(rows, pl.lit(pl.Series(late))), ticks[~late]

    def take_late(self) -> Batch | None:
        """Return the late rows of both sides since the last call, or None if there were none."""
        held = [rows for late in self._late for rows in late.held]
        for late in self._late:
            late.held.clear()
        return Batch(pl.concat(held)) if held else None
