"""`DatabaseSink`: rows into a table of a database."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import get_args

import polars as pl

from arrowstream.core.checks import check_whole, column_names
from arrowstream.core.hints import did_you_mean
from arrowstream.core.mistakes.explain import explain_call, explain_names
from arrowstream.core.mistakes.other_names import SINK
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError
from arrowstream.io.database.address import DatabaseAddress
from arrowstream.io.database.extra import demand_extra
from arrowstream.io.database.identifiers import TableName, check_identifier
from arrowstream.io.database.systems.types_of import types_of
from arrowstream.io.database.writing.target import Mode, check_columns, stored_schema
from arrowstream.io.sink import SinkSpec
from arrowstream.io.writer import BlockingWriter

MODES = get_args(Mode)


@explain_names("a sink", SINK)
@dataclass(frozen=True, slots=True)
class DatabaseSink(SinkSpec):
    """Rows into a table. See `Sink.to_database`.

    Parameters
    ----------
    address
        The database.
    table
        The table.
    mode
        What is done with rows that it holds.
    key
        Columns of which the table has one row for each value.
    batch_size
        Number of rows that are gathered before they are written; None to write each batch as it comes.
    """

    address: DatabaseAddress
    table: TableName
    mode: Mode = "append"
    key: tuple[str, ...] = ()
    batch_size: int | None = None

    @classmethod
    def of(
        cls, uri: object, table: object, mode: object, key: object, batch_size: int | None, db_schema: object
    ) -> DatabaseSink:
        """Return the sink that `Sink.to_database` describes; the arguments are those of that method.

        Raises
        ------
        PlanError
            An argument does not fit.
        """
        address = DatabaseAddress.of("to_database", uri)
        if mode not in MODES:
            expected = " or ".join(map(repr, MODES))
            raise PlanError(f"unknown mode {mode!r}", expected=expected, hint=did_you_mean(str(mode), MODES))
        names = column_names("key", key)
        if bool(names) != (mode == "upsert") and mode != "create":
            raise PlanError(
                "upsert needs a key" if mode == "upsert" else "a key is for the modes upsert and create",
                expected='mode="upsert" with key="id", or the names of several columns',
                found=f"mode={mode!r} and key={list(names)!r}",
            )
        name = TableName.of(address.kind, table, db_schema)
        sink = cls(address, name, mode, names)  # type: ignore[arg-type]
        return sink if batch_size is None else sink.with_batch_size(batch_size)

    @explain_call
    def with_batch_size(self, rows: int) -> DatabaseSink:
        """Return the sink with another number of rows that are written at a time.

        Batches of fewer rows are gathered, and larger ones are written in pieces. If the database refuses a row
        among gathered batches, the run fails: handlers of errors cannot find it.

        Parameters
        ----------
        rows
            The number of rows.

        Raises
        ------
        PlanError
            `rows` is not a whole number of at least 1.
        """
        check_whole("with_batch_size", rows)
        return replace(self, batch_size=rows)

    @property
    def label(self) -> str:
        key = f" by {', '.join(self.key)}" if self.key else ""
        return f"database {self.address.label}, table {self.table.label} ({self.mode}{key})"

    @property
    def identity(self) -> str:
        return self._known_as(self.address.identity)

    @property
    def identity_in_full(self) -> str:
        return self._known_as(self.address.identity_in_full)

    def _known_as(self, database: str) -> str:
        how = f"upsert by {', '.join(sorted(self.key))}" if self.mode == "upsert" else "append"
        return f"database {database}, table {self.table.label} ({how})"

    @property
    def guarantee(self) -> str:
        return "exactly once: all rows of a run, or of a checkpoint, are in one transaction"

    @property
    def exactly_once(self) -> bool:
        return True

    @property
    def replaced_by(self) -> tuple[str, ...]:
        return self.key if self.mode == "upsert" else ()

    @property
    def unique_by(self) -> tuple[str, ...]:
        return self.key if self.mode == "create" else ()

    @property
    def needs_schema(self) -> bool:
        return True

    @property
    def place(self) -> str | None:
        return str(self.address.file.absolute()) if self.address.is_file else None

    def check(self, schema: pl.Schema) -> None:
        demand_extra(self.address.kind)
        schema = stored_schema(schema, self.mode)
        for name in schema:
            check_identifier(self.address.kind, "a column of a table", name)
        check_columns(types_of(self.address.kind), schema, self.key)

    def open(self, schema: pl.Schema, context: StepContext) -> BlockingWriter:
        from arrowstream.io.database.writing.session import Session
        from arrowstream.io.database.writing.writer import DatabaseWriter

        checkpoint = context.checkpoint
        open_session = partial(
            Session.open, self.address, self.table, self.mode, self.key, schema, context.id, checkpoint
        )
        key = self.key if self.mode == "upsert" else ()
        return DatabaseWriter(open_session, key, self.batch_size, checkpoint)
