"""SQLite: a database in one file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import polars as pl
import pyarrow as pa

from arrowstream.errors import SourceError
from arrowstream.io.database.address import DatabaseAddress
from arrowstream.io.database.identifiers import TableName, quoted
from arrowstream.io.database.systems.adbc_database import AdbcDatabase
from arrowstream.io.database.systems.database import STAGE
from arrowstream.io.database.systems.read_columns import ReadColumn, check_declared, each_once
from arrowstream.io.database.systems.sqlite_connection import SqliteConnection
from arrowstream.io.database.systems.sqlite_reading import read_columns, typed
from arrowstream.io.database.systems.sqlite_types import SqliteTypes

_QUERY = "arrowstream_query"
BUSY_MS = 10_000
"""How long a statement waits for the lock of another connection, in milliseconds."""
READ_OPTIONS = {"adbc.sqlite.query.batch_rows": "65536"}
"""Options of statements that read."""


class SqliteDatabase(AdbcDatabase):
    """Connection to a SQLite file, which a process of the connection has open.

    Parameters
    ----------
    address
        The database.
    connection
        The connection.
    """

    types = SqliteTypes()
    # Takes the lock for writing at once: a transaction that has read cannot wait for it.
    begins = "BEGIN IMMEDIATE"
    stage = f"temp.{quoted(STAGE)}"
    readers = 4  # each has a process of its own

    def __init__(self, address: DatabaseAddress, connection: SqliteConnection) -> None:
        super().__init__(address)
        self._connection = connection
        self._read: list[ReadColumn] = []
        self._label = ""

    @classmethod
    def connect(
        cls, address: DatabaseAddress, secret: str | None, *, read_only: bool = False
    ) -> SqliteDatabase:
        """Open the file, which is made if it is missing and may be written."""
        uri = f"file:{quote(str(address.file.absolute()))}?mode={'ro' if read_only else 'rwc'}"
        found = cls(address, SqliteConnection(uri))
        try:
            found.rows(f"PRAGMA busy_timeout = {BUSY_MS}")
            found.rows("PRAGMA schema_version")  # reads the file, which may be something else
        except BaseException:
            found.close()
            raise
        return found

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> None:
        self._connection.execute(sql, parameters)

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        batches = self._connection.records(sql, parameters)
        columns = ([column.to_pylist() for column in batch.columns] for batch in batches)
        return [row for batch in columns for row in zip(*batch, strict=True)]

    def ingest(self, table: TableName, rows: pa.RecordBatchReader, *, temporary: bool = False) -> None:
        self._connection.append(table.name, rows, temporary=temporary)

    def close(self) -> None:
        self._connection.close()

    def columns(self, table: TableName) -> tuple[TableName, Mapping[str, str]] | None:
        # xinfo would name generated columns, which cannot be written.
        found = self.rows("SELECT name, type FROM pragma_table_info(?, 'main')", (table.name,))
        return (table, dict(found)) if found else None

    def read_columns(self, label: str, query: str, given: pl.Schema) -> list[ReadColumn]:
        # Only a view says which columns of tables a query gives.
        self.execute(f"CREATE TEMP VIEW {quoted(_QUERY)} AS {query}")
        found = self.rows("SELECT name, type FROM pragma_table_info(?, 'temp')", (_QUERY,))
        self.execute(f"DROP VIEW temp.{quoted(_QUERY)}")
        check_declared(label, (name for name, _ in found), given)
        each_once(name for name, _ in found)
        self._read, self._label = read_columns(label, found, given), label
        return self._read

    def records(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[pa.RecordBatch]:
        first = 1
        for batch in self._connection.records(typed(sql, self._read), parameters, READ_OPTIONS):
            if batch.num_rows > first:
                yield self._utf8(batch.slice(first))
            first = 0

    def parameter(self, dtype: pl.DataType, place: int) -> str:
        return f"${place}"

    def _utf8(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return a batch whose texts are UTF-8: SQLite takes any bytes for a text, and Polars checks none."""
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if pa.types.is_string(column.type):
                try:
                    column.validate(full=True)
                except pa.ArrowInvalid as error:
                    raise SourceError(
                        f"{self._label} has a text in {name!r} that is not UTF-8",
                        found=str(error),
                        hint=f"read its bytes: CAST({quoted(name)} AS BLOB) AS {quoted(name)} in the query, "
                        f"and schema={{{name!r}: bytes}}",
                    ) from error
        return batch
