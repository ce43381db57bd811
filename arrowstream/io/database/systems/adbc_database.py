"""`AdbcDatabase`: a database behind an ADBC driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import adbc_driver_manager
import pyarrow as pa
from adbc_driver_manager import dbapi

from arrowstream.io.database.address import DatabaseAddress
from arrowstream.io.database.identifiers import TableName, quoted, quoted_list
from arrowstream.io.database.systems.database import STAGE, Database

PIECE_BYTES = 1 << 18
"""Bytes of memory of the rows that a driver takes at once."""


class AdbcDatabase(Database):
    """Connection of an ADBC driver.

    Parameters
    ----------
    address
        The database.
    connection
        The connection, which commits each statement.
    secret
        The password, which errors must not show.
    """

    failures = (adbc_driver_manager.Error,)
    stage: str
    """The temporary table `STAGE` as SQL."""
    reads: ClassVar[Mapping[str, str]] = {}
    """Options of statements that read."""
    empties = "DELETE FROM"
    """The statement that takes all rows out of the stage."""

    def __init__(
        self, address: DatabaseAddress, connection: dbapi.Connection, secret: str | None = None
    ) -> None:
        super().__init__(address, secret)
        self._connection = connection

    @contextmanager
    def _cursor(self) -> Iterator[dbapi.Cursor]:
        # One for each statement: a cursor keeps the options of its last one, also of one that failed.
        with self._connection.cursor() as cursor:
            yield cursor

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> None:
        with self._cursor() as cursor:
            cursor.execute(sql, parameters or None)

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return list(cursor.fetchall())

    def records(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[pa.RecordBatch]:
        with self._cursor() as cursor:
            cursor.adbc_statement.set_options(**self.reads)
            cursor.execute(sql, parameters or None)
            yield from cursor.fetch_record_batch()

    def append(self, table: TableName, rows: pa.Table) -> None:
        with self._cursor() as cursor:
            cursor.adbc_ingest(table.name, _in_pieces(rows), mode="append", db_schema_name=table.schema)

    def make_stage(self, columns: Mapping[str, str]) -> str:
        self.execute(f"DROP TABLE IF EXISTS {self.stage}")
        parts = ", ".join(f"{quoted_list([name])} {type}" for name, type in columns.items())
        self.execute(f"CREATE TEMPORARY TABLE {quoted(STAGE)} ({parts})")
        return self.stage

    def through_stage(self, rows: pa.Table, statement: str) -> None:
        with self._cursor() as cursor:
            cursor.adbc_ingest(STAGE, _in_pieces(rows), mode="append", temporary=True)
        self.execute(statement)
        self.execute(f"{self.empties} {self.stage}")

    def close(self) -> None:
        self._connection.close()


def _in_pieces(rows: pa.Table) -> pa.RecordBatchReader:
    """Return rows as batches of about `PIECE_BYTES`: a server stores one while the driver encodes the next."""
    return rows.to_reader(max(1, rows.num_rows * PIECE_BYTES // max(1, rows.nbytes)))
