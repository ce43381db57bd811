"""`OpenQuery`: a query with the connection that it runs on; and the reader of one query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.position import Position
from arrowstream.errors import ArrowstreamError, SourceError
from arrowstream.io.database.query import DatabaseQuery
from arrowstream.io.database.systems.connect import connect
from arrowstream.io.database.systems.failures import source_failure
from arrowstream.io.database.systems.read_columns import QueryDecoding
from arrowstream.io.source import BlockingReader

ROWS = 65_536
"""Most rows of a batch."""


class OpenQuery:
    """A connection, and the query whose columns are known.

    Parameters
    ----------
    query
        The query.

    Raises
    ------
    SourceError, SchemaError
        The database cannot be reached, or the query is wrong.
    """

    def __init__(self, query: DatabaseQuery) -> None:
        self.query = query
        self.database = connect(query.address, SourceError)
        try:
            with self.reading():
                columns = self.database.read_columns(query.label, query.text, query.declared)
            self._decoding = QueryDecoding(query.label, columns)
            self.schema = self._decoding.schema
            query.check(self.schema)
        except BaseException:
            self.close()
            raise

    def frames(self, condition: str = "", parameters: Sequence[object] = ()) -> Iterator[pl.DataFrame]:
        """Yield the rows of the query, after a condition in SQL if there is one."""
        for frame, _ in self.with_raw(condition, parameters):
            yield frame

    def with_raw(
        self, condition: str, parameters: Sequence[object], raw: str | None = None
    ) -> Iterator[tuple[pl.DataFrame, pl.Series | None]]:
        """Yield the rows of the query, each batch with a column as the database gives it."""
        sql = f"{self.query.text}\n"  # which ends a comment: the driver adds to the query
        if condition:
            sql = f"SELECT * FROM ({sql}) AS arrowstream_query {condition}"
        with self.reading():
            for record in self.database.records(sql, parameters):
                for start in range(0, record.num_rows, ROWS):
                    piece = record.slice(start, ROWS)
                    values = None if raw is None else pl.Series(piece.column(raw))
                    yield self._decoding.decode(piece), values

    def scalars(self, values: str) -> tuple[object, ...]:
        """Return values that are computed from all rows of the query."""
        with self.reading():
            return self.database.rows(f"SELECT {values} FROM ({self.query.text}\n) AS arrowstream_query")[0]

    def bound(self, name: str, place: int) -> str:
        """Return the SQL of a parameter that is compared with a column."""
        return self.database.parameter(self.schema[name], place)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turn the driver's exceptions into errors that name the query."""
        try:
            yield
        except ArrowstreamError:
            raise
        except self.database.failures as error:
            raise source_failure(error, self.query.label, self.database.secret) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        with suppress(*self.database.failures):
            self.database.close()


class QueryReader(BlockingReader):
    """Reads a query once.

    Parameters
    ----------
    query
        The query.

    Raises
    ------
    SourceError, SchemaError
        The database cannot be reached, or the query is wrong.
    """

    def __init__(self, query: DatabaseQuery) -> None:
        self._query = OpenQuery(query)
        self._frames = self._query.frames()
        self._row = 0

    def read(self) -> Batch | None:
        frame = next(self._frames, None)
        if frame is None:
            return None
        start, self._row = self._row, self._row + frame.height
        return Batch(frame, Position(self._query.query.label, start, self._row))

    def close(self) -> None:
        self._frames = iter(())
        self._query.close()
