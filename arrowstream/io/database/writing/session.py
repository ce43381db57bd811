"""`Session`: the connection of a sink, with its table and its row of epochs."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import polars as pl

from arrowstream.core.checkpoints.context import CheckpointContext
from arrowstream.errors import SinkError
from arrowstream.io.database.address import DatabaseAddress
from arrowstream.io.database.identifiers import TableName
from arrowstream.io.database.systems.connect import connect
from arrowstream.io.database.systems.database import Database
from arrowstream.io.database.writing.epochs import Epochs
from arrowstream.io.database.writing.target import Mode, TargetTable


@dataclass(frozen=True, slots=True)
class Session:
    """An open connection.

    Parameters
    ----------
    database
        The connection.
    target
        The table.
    epochs
        The sink's row of epochs; None in a run without checkpoints.
    lacks_table
        True if an earlier run has made the table, or found it, and it is missing.
    """

    database: Database
    target: TargetTable
    epochs: Epochs | None
    lacks_table: bool = False

    @classmethod
    def open(
        cls,
        address: DatabaseAddress,
        table: TableName,
        mode: Mode,
        key: tuple[str, ...],
        schema: pl.Schema,
        sink: str,
        checkpoint: CheckpointContext | None,
    ) -> Session:
        """Connect, and check the table. With checkpoints, claim the sink; the first run of a job makes the table."""
        database = connect(address, SinkError)
        try:
            with database.writing(table):
                if checkpoint is None:
                    return cls(database, TargetTable(database, table, mode, key, schema), None)
                database.begin()
                epochs = Epochs(database, table, sink, checkpoint)
                own = epochs.claim()
                target = TargetTable(database, table, mode, key, schema, own=own)
                lacks_table = own and target.missing
                if not lacks_table:
                    target.create()
                database.commit()
                target.kept()
                return cls(database, target, epochs, lacks_table)
        except BaseException:
            with suppress(*database.failures):
                database.close()
            raise

    def close(self) -> None:
        """End the connection, in whatever state it is; rows that are not committed are undone."""
        with suppress(*self.database.failures):
            self.database.close()
