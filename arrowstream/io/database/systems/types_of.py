"""The types of each database system."""

from __future__ import annotations

from arrowstream.io.database.address import Kind
from arrowstream.io.database.systems.column_types import ColumnTypes
from arrowstream.io.database.systems.duckdb_types import DuckdbTypes
from arrowstream.io.database.systems.postgresql_types import PostgresqlTypes
from arrowstream.io.database.systems.sqlite_types import SqliteTypes

_TYPES: dict[Kind, ColumnTypes] = {
    "sqlite": SqliteTypes(),
    "postgresql": PostgresqlTypes(),
    "duckdb": DuckdbTypes(),
}


def types_of(kind: Kind) -> ColumnTypes:
    """Return the types of a database system."""
    return _TYPES[kind]
