"""PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl
import pyarrow as pa
from adbc_driver_postgresql import dbapi

from arrowstream.io.database.address import DatabaseAddress
from arrowstream.io.database.identifiers import TableName, quoted
from arrowstream.io.database.systems.adbc_database import AdbcDatabase
from arrowstream.io.database.systems.arrow_reading import read_columns
from arrowstream.io.database.systems.database import STAGE
from arrowstream.io.database.systems.postgresql_types import PostgresqlTypes
from arrowstream.io.database.systems.read_columns import ReadColumn, check_declared

_COLUMNS = """
SELECT n.nspname, a.attname, format_type(a.atttypid, a.atttypmod)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY a.attnum
"""
_ONE_CREATES = 7_236_482_310
"""Key of the advisory lock under which tables are made: two that make one at the same time would fail."""


class PostgresqlDatabase(AdbcDatabase):
    """Connection to a PostgreSQL server.

    Parameters
    ----------
    address
        The server and the database.
    connection
        The connection, which commits each statement.
    secret
        The password, which errors must not show.
    """

    types = PostgresqlTypes()
    stage = f"pg_temp.{quoted(STAGE)}"
    empties = "TRUNCATE"

    def __init__(
        self, address: DatabaseAddress, connection: dbapi.Connection, secret: str | None = None
    ) -> None:
        super().__init__(address, secret)
        self._connection = connection

    @classmethod
    def connect(
        cls, address: DatabaseAddress, secret: str | None, *, read_only: bool = False
    ) -> PostgresqlDatabase:
        """Connect to the server."""
        found = cls(address, dbapi.connect(address.server_uri(secret), autocommit=True), secret)
        if read_only:
            found.execute("SET default_transaction_read_only = on")
        return found

    # Each statement has a cursor: one keeps the options of its last statement, also of one that failed.

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return list(cursor.fetchall())

    def records(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[pa.RecordBatch]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            yield from cursor.fetch_record_batch()

    def ingest(self, table: TableName, rows: pa.RecordBatchReader, *, temporary: bool = False) -> None:
        with self._connection.cursor() as cursor:
            cursor.adbc_ingest(
                table.name, rows, mode="append", db_schema_name=table.schema, temporary=temporary
            )

    def close(self) -> None:
        self._connection.close()

    def columns(self, table: TableName) -> tuple[TableName, Mapping[str, str]] | None:
        found = self.rows(_COLUMNS, (table.sql,))
        if not found:
            return None
        return TableName(table.name, found[0][0]), {name: type for _, name, type in found}

    def create(self, table: TableName, columns: Mapping[str, str], key: Sequence[str]) -> None:
        self.execute(f"SELECT pg_advisory_xact_lock({_ONE_CREATES})")
        super().create(table, columns, key)

    def check_statement(self, sql: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.adbc_statement.set_options(**{"adbc.postgresql.use_copy": "false"})  # only SELECT has one
            cursor.execute(f"EXPLAIN {sql}")

    def check_constraints(self) -> None:
        self.execute("SET CONSTRAINTS ALL IMMEDIATE")

    def read_columns(self, label: str, query: str, given: pl.Schema) -> list[ReadColumn]:
        with self._connection.cursor() as cursor:
            schema = cursor.adbc_execute_schema(query)
        check_declared(label, schema.names, given)
        return read_columns(label, schema, given)

    def snapshot(self, name: str | None) -> str | None:
        self.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        if name is None:
            return str(self.rows("SELECT pg_export_snapshot()")[0][0])
        # Not a parameter: the statement takes none. The name is PostgreSQL's own, of digits and dashes.
        self.execute(f"SET TRANSACTION SNAPSHOT '{name}'")
        return name
