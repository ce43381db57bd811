"""Traits of small Parquet and Arrow IPC files that one scan reads.

Files of one schema and writer have the same bytes in the footer, which is seen in 10 us. Other footers are read by
pyarrow, in 50 to 100 us.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from arrowstream.io.files.columnar.damage import DAMAGE
from arrowstream.io.files.columnar.footer_bytes import IpcEnds, ParquetEnds, parquet_footer
from arrowstream.io.files.together.alike import Alike, SmallFile

_VALUE_BYTES: Final = 16
"""Bytes in memory of a value: those of a text's view, which is the widest."""

_UNPACKED: Final = 4
"""Bytes in memory of a stored byte, about, that belongs to a text."""


@dataclass(frozen=True, slots=True)
class AlikeParquet(Alike):
    """Parquet files of one schema.

    Parameters
    ----------
    ends
        Begin and end of the footer of one of them.
    schema
        Its Arrow schema, without the metadata of the whole, such as the number of rows that pandas keeps there.
    columns
        Number of columns that are read.
    """

    ends: ParquetEnds
    schema: pa.Schema
    columns: int

    @classmethod
    def of(cls, content: bytes, columns: int) -> AlikeParquet | None:
        """Return the traits of the file with this content, or None if its footer cannot be taken apart."""
        ends, found = ParquetEnds.of(parquet_footer(content)), _read_parquet(content)
        return None if ends is None or found is None else cls(ends, found[0], columns)

    def take(self, number: int, content: bytes) -> SmallFile | None:
        rows = self.ends.rows(parquet_footer(content))
        if rows is None:
            found = _read_parquet(content)
            if found is None or not found[0].equals(self.schema, check_metadata=True):
                return None
            rows = found[1]
        return _small_file(number, content, rows, self.columns)

    def read(
        self, files: Sequence[SmallFile], schema: pl.Schema, columns: Sequence[str]
    ) -> tuple[pl.DataFrame, Sequence[int]]:
        scan = pl.scan_parquet([file.content for file in files], glob=False, hive_partitioning=False)
        return scan.select(columns).collect(), [file.rows or 0 for file in files]


@dataclass(frozen=True, slots=True)
class AlikeIpc(Alike):
    """Arrow IPC files of one schema.

    Parameters
    ----------
    ends
        Footer of one of them.
    schema
        Its schema.
    columns
        Number of columns that are read.
    """

    ends: IpcEnds
    schema: pa.Schema
    columns: int

    @classmethod
    def of(cls, content: bytes, columns: int) -> AlikeIpc | None:
        """Return the traits of the file with this content, or None if its footer cannot be taken apart."""
        found, schema = IpcEnds.of(content), _read_ipc(content)
        return None if found is None or schema is None else cls(found[0], schema, columns)

    def take(self, number: int, content: bytes) -> SmallFile | None:
        found = IpcEnds.of(content)
        if found is None:
            return None
        if found[0] != self.ends:
            schema = _read_ipc(content)
            if schema is None or not schema.equals(self.schema, check_metadata=True):
                return None
        return _small_file(number, content, found[1], self.columns)

    def read(
        self, files: Sequence[SmallFile], schema: pl.Schema, columns: Sequence[str]
    ) -> tuple[pl.DataFrame, Sequence[int]]:
        scan = pl.scan_ipc([file.content for file in files], glob=False, hive_partitioning=False)
        return scan.select(columns).collect(), [file.rows or 0 for file in files]


def _small_file(number: int, content: bytes, rows: int, columns: int) -> SmallFile:
    return SmallFile(number, content, max(_UNPACKED * len(content), _VALUE_BYTES * rows * columns), rows)


def _read_parquet(content: bytes) -> tuple[pa.Schema, int] | None:
    """Return the schema and the number of rows; None if pyarrow cannot read the footer."""
    try:
        footer = pq.read_metadata(pa.BufferReader(content))
        return footer.schema.to_arrow_schema().remove_metadata(), footer.num_rows
    except DAMAGE:
        return None


def _read_ipc(content: bytes) -> pa.Schema | None:
    """Return the schema; None if pyarrow does not know a type, such as Polars' Int128."""
    try:
        return pa.ipc.open_file(pa.py_buffer(content)).schema
    except (OSError, ValueError, pa.ArrowException):
        return None
