"""DuckDB: a database in one file, which takes Arrow tables as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa

from arrowstream.io.database.address import DatabaseAddress
from arrowstream.io.database.identifiers import TableName, quoted, quoted_list
from arrowstream.io.database.systems.arrow_reading import read_columns
from arrowstream.io.database.systems.database import STAGE, Database
from arrowstream.io.database.systems.duckdb_types import DuckdbTypes
from arrowstream.io.database.systems.read_columns import ReadColumn, check_declared, each_once


class DuckdbDatabase(Database):
    """Connection to a DuckDB file.

    Parameters
    ----------
    address
        The database.
    connection
        The connection.
    """

    types = DuckdbTypes()
    failures = (duckdb.Error,)
    savepoints = False
    exclusive = True

    def __init__(self, address: DatabaseAddress, connection: duckdb.DuckDBPyConnection) -> None:
        super().__init__(address)
        self._connection = connection

    @classmethod
    def connect(
        cls, address: DatabaseAddress, secret: str | None, *, read_only: bool = False
    ) -> DuckdbDatabase:
        """Open the file, which is made if it is missing and may be written."""
        found = cls(address, duckdb.connect(str(address.file.absolute()), read_only=read_only))
        found.execute("SET TimeZone = 'UTC'")  # in which times come
        system = found.rows("SELECT type FROM duckdb_databases() WHERE database_name = current_database()")
        if system != [("duckdb",)]:  # it opens files of other systems, too, if it has their extensions
            found.close()
            raise duckdb.IOException(f"a database of {system[0][0]}")
        return found

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> None:
        self._connection.execute(sql, list(parameters))

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, list(parameters)).fetchall()

    def records(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[pa.RecordBatch]:
        yield from self._reader(sql, parameters)

    def _reader(self, sql: str, parameters: Sequence[object] = ()) -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_stream(self._connection.sql(sql, params=list(parameters) or None))

    def read_columns(self, label: str, query: str, given: pl.Schema) -> list[ReadColumn]:
        self._connection.execute(f"EXPLAIN SELECT * FROM ({query}\n)")  # nothing but a SELECT can be in there
        found = self._connection.sql(query)
        each_once(found.columns)
        schema = pa.RecordBatchReader.from_stream(found.limit(0)).schema
        check_declared(label, schema.names, given)
        return read_columns(label, schema, given)

    def columns(self, table: TableName) -> tuple[TableName, Mapping[str, str]] | None:
        sql = (
            "SELECT schema_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal "
            "AND database_name = current_database() AND lower(table_name) = lower($1) "
            "AND lower(schema_name) = lower(coalesce($2, current_schema())) ORDER BY column_index"
        )
        found = self.rows(sql, (table.name, table.schema))
        if not found:
            return None
        return TableName(table.name, found[0][0]), {name: type for _, name, type in found}

    def has_constraints(self, table: TableName) -> bool:
        sql = "SELECT 1 FROM duckdb_constraints() WHERE lower(table_name) = lower($1) LIMIT 1"
        return bool(self.rows(sql, (table.name,)))

    def append(self, table: TableName, rows: pa.Table) -> None:
        names = quoted_list(rows.column_names)
        self.through_stage(rows, f"INSERT INTO {table.sql} ({names}) SELECT {names} FROM {quoted(STAGE)}")

    def make_stage(self, columns: Mapping[str, str]) -> str:
        self._connection.register(STAGE, pa.table({name: pa.nulls(0) for name in columns}))
        return quoted(STAGE)

    def through_stage(self, rows: pa.Table, statement: str) -> None:
        self._connection.register(STAGE, rows)
        self._connection.execute(statement)
        self._connection.unregister(STAGE)

    def close(self) -> None:
        self._connection.close()
