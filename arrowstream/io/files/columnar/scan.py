"""Parquet and Arrow IPC files: their schemas, and their rows in pieces of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from arrowstream.errors import StageError
from arrowstream.io.files.columnar.damage import (
    checked_types,
    damaged_file,
    damaged_rows,
    failed_steps,
    unreadable_schema,
)
from arrowstream.io.files.read_ahead import Piece

PIECE_BYTES = 8 << 20
"""Bytes of a piece once decoded, about; two are read at a time while a third is worked on."""


Adapt = Callable[[pl.LazyFrame], pl.LazyFrame]


def parquet_schema(path: Path) -> pl.Schema:
    """Names and types of a Parquet file's columns.

    Raises
    ------
    SourceError
        Its footer cannot be read.
    SchemaError
        Polars lacks the type of a column; the error names it.
    """
    try:
        return checked_types(path, scan_parquet(path).collect_schema())
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise unreadable_schema(path, error, "Parquet", pq.read_schema) from error


def ipc_schema(path: Path) -> pl.Schema:
    """Names and types of an Arrow IPC file's columns. Raises as `parquet_schema`."""
    try:
        return checked_types(path, scan_ipc(path).collect_schema())
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise unreadable_schema(path, error, "Arrow IPC", _read_ipc_schema) from error


def _read_ipc_schema(path: Path) -> pa.Schema:
    with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as opened:
        return opened.schema


@dataclass(frozen=True, slots=True)
class Table:
    """A Parquet or IPC file to read.

    Parameters
    ----------
    path
        The file.
    scan
        Opens it lazily.
    schema
        All its columns.
    columns
        Those that are needed.
    adapt
        What is to be made of its rows, given all columns.
    """

    path: Path
    scan: Callable[[Path], pl.LazyFrame]
    schema: pl.Schema
    columns: tuple[str, ...]
    adapt: Adapt


def ipc_pieces(file: Table) -> Iterator[Piece]:
    """Slices of an IPC file, which Polars maps into memory: only the pages of needed columns are read."""
    total = ipc_rows(file.path)
    size = file.path.stat().st_size
    rows = max(1, min(total, total * PIECE_BYTES // size))
    for start in range(0, total, rows):
        part = min(rows, total - start)
        yield slice_piece(file, start, part, size * part // total)


def ipc_rows(path: Path) -> int:
    """Rows of an IPC file, told by the headers of its batches."""
    try:
        rows: int = scan_ipc(path).select(pl.len()).collect().item()
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise damaged_file(path, error, "Arrow IPC") from error
    return rows


def scan_parquet(path: Path) -> pl.LazyFrame:
    """Exactly this file, without columns from its path."""
    return pl.scan_parquet(path, glob=False, hive_partitioning=False)


def scan_ipc(path: Path) -> pl.LazyFrame:
    """Exactly this file, without columns from its path."""
    return pl.scan_ipc(path, glob=False, hive_partitioning=False)


def slice_piece(file: Table, start: int, rows: int, nbytes: int) -> Piece:
    """Some rows of a file, read by Polars with the query inside the read."""

    def part() -> pl.LazyFrame:
        return file.scan(file.path).slice(start, rows)

    def read() -> pl.DataFrame:
        return file.adapt(part()).collect(engine="streaming")

    def explain(error: BaseException, first_row: int) -> StageError:
        try:
            part().select(file.columns).collect(engine="streaming")
        except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as damage:
            return damaged_rows(file.path, damage, first_row, rows)
        return failed_steps(file.path, error, first_row, rows)

    return Piece(file.path, rows, nbytes, read, explain)
