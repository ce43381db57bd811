"""Databases for tests: each system behind one surface."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
from contexts import context

from arrowstream.core.batch import Batch
from arrowstream.core.checkpoints.context import CheckpointContext
from arrowstream.core.step_context import StepContext
from arrowstream.io.database.sink import DatabaseSink
from arrowstream.io.database.source import DatabaseSource
from arrowstream.io.database.writing.writer import DatabaseWriter

ROWS = pl.DataFrame({"id": [1, 2, 3], "name": ["a", None, "c"], "price": [1.5, 2.5, None]})


@dataclass(frozen=True)
class Database:
    """A database that a test has for itself."""

    kind: str
    uri: str
    path: Path | None = None
    connection: Any = None
    """A connection to PostgreSQL that all tests share: a new one takes 30 ms."""

    def execute(self, *statements: str) -> None:
        """Run statements, and commit."""
        for sql in statements:
            self.rows(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows, as Python objects of the system's own library."""
        if self.kind == "sqlite":
            with closing(sqlite3.connect(self.path, timeout=0.1)) as connection, connection:
                return connection.execute(sql).fetchall()
        if self.kind == "duckdb":
            with duckdb.connect(str(self.path)) as connection:
                return connection.execute(sql).fetchall()
        with self.connection.cursor() as cursor:
            cursor.execute(f"SET search_path TO {self.uri.rpartition('%3D')[2]}")
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def sink(self, table: str = "t", mode: str = "append", key: Any = (), **options: Any) -> DatabaseSink:
        """A sink of this database."""
        from arrowstream import Sink

        return Sink.to_database(self.uri, table, mode=mode, key=key, **options)  # type: ignore[arg-type]

    def source(self, query: str = "SELECT * FROM t", **options: Any) -> DatabaseSource:
        """A source of this database."""
        from arrowstream import Source

        return Source.from_database(self.uri, query, **options)


def new_database(
    kind: str, folder: Path, schema: Iterator[str] | None = None, server: Any = None
) -> Database:
    """A database without tables."""
    if kind == "postgresql":
        uri, connection = server
        name = next(schema)
        database = Database(kind, uri(name), connection=connection)
        database.execute(f"CREATE SCHEMA {name}")
        return database
    path = folder / f"out.{kind}"
    return Database(kind, f"{kind}:///{path}", path)


def checkpointed(folder: Path, attempt: int = 1, job: str = "job") -> StepContext:
    """The context of a sink whose run has checkpoints in this folder."""
    found = context("sink")
    (folder / "log").mkdir(parents=True, exist_ok=True)
    checkpoint = CheckpointContext(job, attempt, folder / "log", 0)
    return StepContext(found.id, found.clock, found.memory, found.logger, found.threads, checkpoint)


def opened(
    sink: DatabaseSink, schema: pl.Schema = ROWS.schema, at: StepContext | None = None
) -> DatabaseWriter:
    """A writer of a sink, outside of a pipeline."""
    writer = sink.open(schema, at or context("sink"))
    assert isinstance(writer, DatabaseWriter)
    return writer


def batch(*numbers: int) -> Batch:
    """Rows with these ids."""
    ids = pl.Series("id", numbers, dtype=pl.Int64)
    return Batch(pl.DataFrame({"id": ids, "name": ids.cast(pl.String), "price": ids / 2}))
