"""Reading the rows that are new by an increasing column, once or again and again."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.position import Position
from arrowstream.core.snapshot_store import JsonValue, SourcePosition, position_number
from arrowstream.core.step_context import StepContext
from arrowstream.io.database.identifiers import quoted
from arrowstream.io.database.query import DatabaseQuery
from arrowstream.io.database.reading.query import OpenQuery
from arrowstream.io.source import Reader

_VERSION = 1


class IncreasingReader(Reader):
    """Reads rows in the order of a column whose values only grow.

    The rows of one value come together. Those of the latest value wait until the next poll finds as many of them,
    because a transaction that is not committed yet may add some.

    Parameters
    ----------
    query
        The query.
    column
        The column.
    context
        Clock and threads of the run.
    resume
        Position from which reading continues; None for all rows.
    """

    def __init__(
        self, query: DatabaseQuery, column: str, context: StepContext, resume: SourcePosition | None
    ) -> None:
        self._query = query
        self._column = column
        self._context = context
        self._last: JsonValue = None if resume is None else resume["last"]
        self._row = 0 if resume is None else position_number(resume, "rows", _VERSION)
        self._open: OpenQuery | None = None
        self._batches: Iterator[Batch] | None = None
        self._waiting: tuple[JsonValue, int] | None = None

    def position(self) -> SourcePosition:
        return {"version": _VERSION, "last": self._last, "rows": self._row}

    async def read(self) -> Batch | None:
        while True:
            batch: Batch | None = await self._context.threads.call(self._next)
            if batch is not None or self._query.poll is None:
                return batch
            await self._context.clock.sleep(self._query.poll)

    def _next(self) -> Batch | None:
        """Return the next batch of this poll; None at its end."""
        if self._open is None:
            self._open = OpenQuery(self._query)
        if self._batches is None:
            self._batches = self._poll(self._open)
        batch = next(self._batches, None)
        if batch is None:
            self._batches = None
            if self._open.database.exclusive:
                self._open.close()
                self._open = None
        return batch

    def _poll(self, query: OpenQuery) -> Iterator[Batch]:
        name = quoted(self._column)
        condition, parameters = f"WHERE {name} IS NOT NULL ORDER BY {name}", []
        if self._last is not None:
            condition = f"WHERE {name} > {query.bound(self._column, 1)} ORDER BY {name}"
            parameters = [self._last]
        held = pl.DataFrame(schema=query.schema)
        value: pl.Series | None = None
        for frame, values in query.with_raw(condition, parameters, self._column):
            assert values is not None
            if value is not None:
                frame, values = pl.concat([held, frame]), _repeated(value, held.height).append(values)
            value = values[-1:]
            before = int((values != value[0]).sum())
            held = frame[before:]
            if before:
                yield self._batch(frame[:before], values[before - 1 : before])
        if value is None:
            return
        latest = _json(value), held.height
        if self._query.poll is None or latest == self._waiting:
            self._waiting = None
            yield self._batch(held, value)
        else:
            self._waiting = latest

    def _batch(self, frame: pl.DataFrame, last: pl.Series) -> Batch:
        self._last = _json(last)
        start, self._row = self._row, self._row + frame.height
        return Batch(frame, Position(self._query.label, start, self._row))

    async def close(self) -> None:
        if self._open is not None:
            await self._context.threads.call(self._close, self._open)

    def _close(self, query: OpenQuery) -> None:
        self._batches = None
        query.close()


def _repeated(value: pl.Series, count: int) -> pl.Series:
    return value.new_from_index(0, count)


def _json(value: pl.Series) -> JsonValue:
    """Return the only value of a series, as the database reads it in a parameter."""
    dtype = value.dtype
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        text = value.dt.convert_time_zone("UTC").dt.replace_time_zone(None).cast(pl.String)
        return f"{text[0]}+00"
    found: JsonValue = (value.cast(pl.String) if dtype.is_temporal() else value)[0]
    return found
