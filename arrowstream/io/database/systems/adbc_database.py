"""`AdbcDatabase`: a database behind an ADBC driver."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import adbc_driver_manager
import pyarrow as pa

from arrowstream.io.database.identifiers import TableName, quoted, quoted_list
from arrowstream.io.database.systems.database import STAGE, Database

PIECE_BYTES = 1 << 18
"""Bytes of memory of the rows that a driver takes at once."""


class AdbcDatabase(Database):
    """Connection of an ADBC driver, which commits each statement."""

    failures = (adbc_driver_manager.Error,)
    stage: str
    """The temporary table `STAGE` as SQL."""
    empties = "DELETE FROM"
    """The statement that takes all rows out of the stage."""

    @abstractmethod
    def ingest(self, table: TableName, rows: pa.RecordBatchReader, *, temporary: bool = False) -> None:
        """Add rows to a table, which is temporary or not."""

    def append(self, table: TableName, rows: pa.Table) -> None:
        self.ingest(table, _in_pieces(rows))

    def make_stage(self, columns: Mapping[str, str]) -> str:
        self.execute(f"DROP TABLE IF EXISTS {self.stage}")
        parts = ", ".join(f"{quoted_list([name])} {type}" for name, type in columns.items())
        self.execute(f"CREATE TEMPORARY TABLE {quoted(STAGE)} ({parts})")
        return self.stage

    def through_stage(self, rows: pa.Table, statement: str) -> None:
        self.ingest(TableName(STAGE), _in_pieces(rows), temporary=True)
        self.execute(statement)
        self.execute(f"{self.empties} {self.stage}")


def _in_pieces(rows: pa.Table) -> pa.RecordBatchReader:
    """Return rows as batches of about `PIECE_BYTES`: a server stores one while the driver encodes the next."""
    return rows.to_reader(max(1, rows.num_rows * PIECE_BYTES // max(1, rows.nbytes)))
