"""Reading a query by ranges of a column, each on a connection and thread of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import date, timedelta
from itertools import islice, pairwise

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.position import Position
from arrowstream.io.database.identifiers import quoted
from arrowstream.io.database.query import DatabaseQuery
from arrowstream.io.database.reading.query import OpenQuery
from arrowstream.io.source import BlockingReader


class _Range:
    """The rows of one range."""

    def __init__(
        self,
        query: DatabaseQuery,
        number: int,
        snapshot: str | None,
        condition: str,
        bounds: Sequence[object],
    ) -> None:
        self._query = query
        self._number = number
        self._snapshot = snapshot
        self._condition = condition
        self._bounds = bounds
        self._open: OpenQuery | None = None
        self._frames: Iterator[pl.DataFrame] = iter(())
        self._row = 0

    def read(self) -> Batch | None:
        """Return the next batch; None at the end, when the connection is closed."""
        if self._open is None:
            self._open = OpenQuery(self._query)
            with self._open.reading():
                self._open.database.snapshot(self._snapshot)
            self._frames = self._open.frames(self._condition, self._bounds)
        frame = next(self._frames, None)
        if frame is None:
            self.close()
            return None
        start, self._row = self._row, self._row + frame.height
        origin = f"range {self._number} of {self._query.label}"
        return Batch(frame, Position(origin, start, self._row))

    def close(self) -> None:
        """End the connection."""
        if self._open is not None:
            self._frames = iter(())
            self._open.close()
            self._open = None


class RangesReader(BlockingReader):
    """Reads ranges at the same time, as many as the database says; their batches come in any order.

    Parameters
    ----------
    query
        The query.
    column
        The column.

    Raises
    ------
    SourceError
        The database cannot be reached, or the query is wrong.
    """

    def __init__(self, query: DatabaseQuery, column: str) -> None:
        # Stays open until the end: its transaction keeps the snapshot that all ranges read.
        self._open = OpenQuery(query)
        try:
            with self._open.reading():
                snapshot = self._open.database.snapshot(None)
            self._ranges = [
                _Range(query, number, snapshot, condition, bounds)
                for number, (condition, bounds) in enumerate(
                    _conditions(self._open, column, query.partitions)
                )
            ]
        except BaseException:
            self._open.close()
            raise
        self._waiting = iter(self._ranges)
        self._most = min(len(self._ranges), self._open.database.readers or len(self._ranges))
        self._executor = ThreadPoolExecutor(self._most, "arrowstream-database")
        self._ahead: dict[Future[Batch | None], _Range] = {}

    def read(self) -> Batch | None:
        while True:
            for part in islice(self._waiting, self._most - len(self._ahead)):
                self._ahead[self._executor.submit(part.read)] = part
            if not self._ahead:
                return None
            future = next(iter(wait(self._ahead, return_when=FIRST_COMPLETED).done))
            part = self._ahead.pop(future)
            batch = future.result()
            if batch is not None:
                self._ahead[self._executor.submit(part.read)] = part
                return batch

    def close(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)
        for part in self._ranges:
            part.close()
        self._open.close()


def _conditions(query: OpenQuery, column: str, count: int) -> Iterator[tuple[str, list[object]]]:
    """Yield the condition of each range, and its parameters. Every row is in one of them."""
    name = quoted(column)
    least, greatest = query.scalars(f"MIN({name}), MAX({name})")
    bounds = list(_bounds(least, greatest, count))
    first, second = query.bound(column, 1), query.bound(column, 2)
    if not bounds:
        yield "", []
        return
    yield f"WHERE {name} < {first} OR {name} IS NULL", bounds[:1]
    for low, high in pairwise(bounds):
        yield f"WHERE {name} >= {first} AND {name} < {second}", [low, high]
    yield f"WHERE {name} >= {first}", bounds[-1:]


def _bounds(least: object, greatest: object, count: int) -> Iterator[object]:
    """Yield the values at which ranges of about the same length begin, but for the first."""
    if isinstance(least, int) and isinstance(greatest, int):
        yield from _cut(least, greatest, count)
    elif least is not None and greatest is not None:
        days = [date.fromisoformat(str(value)) for value in (least, greatest)]
        for day in _cut(0, (days[1] - days[0]).days, count):
            yield (days[0] + timedelta(day)).isoformat()


def _cut(least: int, greatest: int, count: int) -> Iterator[int]:
    span = greatest - least + 1
    parts = min(count, span)
    yield from (least + span * number // parts for number in range(1, parts))
