"""`Database`: an open connection to a database, whichever system it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from arrowstream.errors import ArrowstreamError, SinkError
from arrowstream.io.database.address import DatabaseAddress
from arrowstream.io.database.identifiers import TableName, quoted_list
from arrowstream.io.database.systems.column_types import ColumnTypes
from arrowstream.io.database.systems.failures import sink_failure
from arrowstream.io.database.systems.read_columns import ReadColumn

STAGE = "arrowstream_rows"
"""Name of the temporary table, or view, with rows on their way into a table."""


class Database(ABC):
    """Open connection. Statements are committed at once, unless `begin` has opened a transaction.

    Parameters
    ----------
    address
        The database.
    secret
        Its password, which errors must not show.
    """

    types: ClassVar[ColumnTypes]
    """How Polars' types are stored."""
    begins: ClassVar[str] = "BEGIN"
    """The statement that opens a transaction."""
    failures: ClassVar[tuple[type[Exception], ...]]
    """Exceptions of the driver."""
    savepoints: ClassVar[bool] = True
    """True if a statement that fails leaves the transaction usable, after a rollback to a savepoint."""
    readers: ClassVar[int | None] = None
    """How many connections read ranges at the same time; None for one for each range."""

    exclusive: ClassVar[bool] = False
    """True if nothing else may write to the database while a connection reads it."""

    def __init__(self, address: DatabaseAddress, secret: str | None = None) -> None:
        self.address = address
        self.secret = secret
        self.in_transaction = False
        """True between `begin` and the end of the transaction."""

    @classmethod
    @abstractmethod
    def connect(cls, address: DatabaseAddress, secret: str | None, *, read_only: bool = False) -> Database:
        """Connect; the driver's exception comes out as it is."""

    @abstractmethod
    def execute(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """Run a statement; the driver's exception comes out as it is."""

    @abstractmethod
    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return the few rows of a query."""

    @abstractmethod
    def records(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[pa.RecordBatch]:
        """Run a query whose columns `read_columns` has learnt, and yield its rows; only one runs at a time."""

    @abstractmethod
    def read_columns(self, label: str, query: str, given: pl.Schema) -> list[ReadColumn]:
        """Return the columns of a query, whose rows are not read.

        Parameters
        ----------
        label
            The query, for errors.
        query
            Its text.
        given
            Types that the user declares.

        Raises
        ------
        SchemaError
            A column has no type that can be read, or `given` names one that is not there.
        """

    def parameter(self, dtype: pl.DataType, place: int) -> str:
        """Return the SQL of a parameter that is compared with a column of this type; times are given as text."""
        if dtype.is_integer():
            return f"CAST(${place} AS bigint)"
        text = f"CAST(${place} AS text)"
        if not isinstance(dtype, pl.Date | pl.Datetime):
            return text
        return f"CAST({text} AS {self.types.created(dtype).sql})"

    def snapshot(self, name: str | None) -> str | None:
        """Read one state of the database from now on, if it has names for states.

        Parameters
        ----------
        name
            The state that another connection reads; None for the present one.

        Returns
        -------
        str or None
            The name of the state, for other connections; None if it has none.
        """
        return None

    @abstractmethod
    def columns(self, table: TableName) -> tuple[TableName, Mapping[str, str]] | None:
        """Return the table with the schema that it is in, and the type of each of its columns; None without it."""

    @abstractmethod
    def append(self, table: TableName, rows: pa.Table) -> None:
        """Add rows to a table that has their columns, in types that fit exactly."""

    @abstractmethod
    def make_stage(self, columns: Mapping[str, str]) -> str:
        """Make room for rows that `insert_from_stage` moves into a table; return its name as SQL.

        Parameters
        ----------
        columns
            Name and type of each column.
        """

    @abstractmethod
    def through_stage(self, rows: pa.Table, statement: str) -> None:
        """Run a statement that reads `rows` as the table `STAGE`."""

    def check_statement(self, sql: str) -> None:
        """Let the database check a statement, without running it."""
        self.rows(f"EXPLAIN {sql}")

    def has_constraints(self, table: TableName) -> bool:
        """Return whether a table may refuse rows of the right types."""
        return True

    def check_constraints(self) -> None:
        """Check the constraints that wait for the end of the transaction."""
        return

    def create(self, table: TableName, columns: Mapping[str, str], key: Sequence[str]) -> None:
        """Create a table in the open transaction; `key` is its primary key, if it is not empty.

        Raises
        ------
        SinkError
            Another run has made the table since this one looked for it.
        """
        parts = [f"{quoted_list([name])} {type}" for name, type in columns.items()]
        if key:
            parts.append(f"PRIMARY KEY ({quoted_list(key)})")
        try:
            with self.savepoint():
                self.execute(f"CREATE TABLE {table.sql} ({', '.join(parts)})")
        except self.failures as error:
            if self.columns(table) is None:
                raise
            raise SinkError(
                f"another run has made the table {table.label} meanwhile",
                expected="no table of this name, as when this run began",
                found=str(error),
                hint="run again: the table is there now, and rows are added to those of the other run",
            ) from error

    def begin(self) -> None:
        """Open a transaction."""
        self.execute(self.begins)
        self.in_transaction = True

    def commit(self) -> None:
        """Make the rows of the transaction visible and durable."""
        self.execute("COMMIT")
        self.in_transaction = False

    def rollback(self) -> None:
        """Undo the transaction, if there is one."""
        if self.in_transaction:
            self.in_transaction = False
            self.execute("ROLLBACK")

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what is done in here if it fails, and keep what the transaction did before.

        Where that cannot be, the whole transaction is undone: `in_transaction` is False then.
        """
        if not self.savepoints:
            with self._all_or_nothing():
                yield
            return
        self.execute("SAVEPOINT arrowstream")
        with self._all_or_nothing("ROLLBACK TO SAVEPOINT arrowstream", "RELEASE SAVEPOINT arrowstream"):
            yield
        self.execute("RELEASE SAVEPOINT arrowstream")

    @contextmanager
    def _all_or_nothing(self, *undo: str) -> Iterator[None]:
        try:
            yield
        except BaseException:
            try:
                for sql in undo:
                    self.execute(sql)
            except self.failures:
                undo = ()  # the database has ended the transaction itself, as SQLite does when the disk is full
            if not undo:
                self.end()
            raise

    def end(self) -> None:
        """Undo the transaction, whatever state the connection is in."""
        with suppress(*self.failures):
            self.rollback()

    @contextmanager
    def writing(self, table: TableName) -> Iterator[None]:
        """Turn the driver's exceptions into errors that name the table."""
        try:
            yield
        except ArrowstreamError:
            raise
        except self.failures as error:
            raise sink_failure(error, table.label, self.secret) from error

    @abstractmethod
    def close(self) -> None:
        """End the connection; what is not committed is lost."""
