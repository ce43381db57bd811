"""Scans of Parquet and Arrow IPC files: their schemas, and pieces of their rows."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from arrowstream.errors import ArrowstreamError, SourceError
from arrowstream.io.files.columnar.damage import checked_types, damaged_rows, failed_steps, unreadable_schema
from arrowstream.io.files.columnar.footer_bytes import ParquetEnds, parquet_footer
from arrowstream.io.files.columnar.given_types import Adapt
from arrowstream.io.files.columnar.ipc_file import BatchCopy, IpcFile
from arrowstream.io.files.columnar.open_file import FileStat, OpenFile
from arrowstream.io.files.formats import Format
from arrowstream.io.files.read_ahead import Piece, gathered
from arrowstream.io.files.remote.urls import RemotePath

PIECE_BYTES = 16 << 20
"""Decoded size of a piece, about, in bytes; two are read at a time while a third is processed."""

_KNOWN_SCHEMAS: Final = 4096
_known: dict[tuple[Path | RemotePath, FileStat], pl.Schema] = {}

_END_BYTES: Final = 65_536
"""Bytes at the end of a Parquet file that hold most footers whole."""

_KNOWN_ENDS: Final = 64
_known_ends: dict[ParquetEnds, pl.Schema] = {}


def schema_of(file: OpenFile, format: Format) -> pl.Schema:
    """Return the names and types of a file's columns, read again only if the file changed.

    Raises
    ------
    SourceError
        The footer cannot be read.
    SchemaError
        Polars lacks the type of a column; the error names it.
    """
    known = _known.get((file.path, file.stamp))
    if known is None:
        known = _read_schema(file, format)
        if len(_known) >= _KNOWN_SCHEMAS:
            _known.clear()
        _known[file.path, file.stamp] = known
    return known


def _read_schema(file: OpenFile, format: Format) -> pl.Schema:
    parquet = format == "parquet"
    footer = b""
    if parquet:
        footer = parquet_footer(file.read(max(0, file.size - _END_BYTES), _END_BYTES))
        # A footer that has its schema between the same bytes as another one has the same schema.
        known = [schema for ends, schema in [*_known_ends.items()] if ends.rows(footer) is not None]
        if known:
            return known[-1]
    try:
        rows = scan_parquet(file) if parquet else scan_ipc(IpcFile(file).copy([]))
        schema = checked_types(file, rows.collect_schema())
        _remember(footer, schema)
        return schema
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        if parquet:
            raise unreadable_schema(file, error, "Parquet", pq.read_schema) from error
        raise unreadable_schema(file, error, "Arrow IPC", _read_ipc_schema) from error


def _remember(footer: bytes, schema: pl.Schema) -> None:
    ends = ParquetEnds.of(footer)
    if ends is not None:
        if len(_known_ends) >= _KNOWN_ENDS:
            _known_ends.clear()
        _known_ends[ends] = schema


def _read_ipc_schema(source: str | pa.NativeFile) -> pa.Schema:
    with pa.OSFile(source) if isinstance(source, str) else source as file, pa.ipc.open_file(file) as opened:
        return opened.schema


def scan_parquet(file: OpenFile) -> pl.LazyFrame:
    """Scan a Parquet file: exactly this file, without columns from its path."""
    if (content := file.content) is not None:
        return pl.scan_parquet(io.BytesIO(content), glob=False, hive_partitioning=False)
    return pl.scan_parquet(
        file.place, glob=False, hive_partitioning=False, storage_options=file.storage_options
    )


def scan_ipc(content: io.BytesIO) -> pl.LazyFrame:
    """Scan an Arrow IPC file in memory."""
    return pl.scan_ipc(content, glob=False, hive_partitioning=False)


@dataclass(frozen=True, slots=True)
class Table:
    """Parquet or IPC file to read.

    Parameters
    ----------
    file
        The open file.
    schema
        Schema of the file.
    columns
        Names of the columns that are needed.
    adapt
        Query on the file's rows; its input has all columns.
    """

    file: OpenFile
    schema: pl.Schema
    columns: tuple[str, ...]
    adapt: Adapt


def ipc_pieces(table: Table) -> Iterator[Piece]:
    """Yield the record batches of an IPC file: small ones together, large ones in slices that share one copy."""
    ipc = IpcFile(table.file)
    for batches in gathered(ipc.batches(table.columns), PIECE_BYTES, lambda batch: batch.decoded):
        yield from _copied(table, ipc, batches)


def _copied(table: Table, ipc: IpcFile, batches: list[BatchCopy]) -> Iterator[Piece]:
    content = ipc.copy(batches)
    table.file.check()
    total = sum(batch.rows for batch in batches)
    nbytes = sum(batch.nbytes for batch in batches)

    slices = max(1, min(total, round(nbytes / PIECE_BYTES)))
    scan: Callable[[], pl.LazyFrame] = partial(scan_ipc, content)
    if slices > 1 and any(batch.is_compressed for batch in batches):
        scan = _Decoded(scan).rows

    def rows() -> pl.LazyFrame:
        # If no column is needed, Polars would read all of them, but the copy has none.
        found = scan() if table.columns else pl.LazyFrame().select(pl.repeat(None, total).alias(""))
        unread = [(name, dtype) for name, dtype in table.schema.items() if name not in table.columns]
        return found.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in unread)

    for number in range(slices):
        start, stop = total * number // slices, total * (number + 1) // slices
        share = nbytes * (number + 1) // slices - nbytes * number // slices
        yield _piece(table, rows, start, stop - start, share, lambda: None)


class _Decoded:
    """Rows of a compressed record batch, decoded once for all slices: each would decode all of it again."""

    def __init__(self, scan: Callable[[], pl.LazyFrame]) -> None:
        self._scan: Callable[[], pl.LazyFrame] | None = scan
        self._rows = pl.LazyFrame()
        self._lock = Lock()  # slices are read on several threads

    def rows(self) -> pl.LazyFrame:
        """Return the rows; the first call decodes them."""
        with self._lock:
            if self._scan is not None:
                self._rows = self._scan().collect().lazy()
                self._scan = None
            return self._rows


def slice_piece(table: Table, start: int, rows: int, nbytes: int) -> Piece:
    """Return rows `start` to `start + rows` of a Parquet file as a piece, read with the query inside the read."""
    return _piece(table, lambda: scan_parquet(table.file), start, rows, nbytes, table.file.check)


def _piece(
    table: Table,
    scan: Callable[[], pl.LazyFrame],
    start: int,
    rows: int,
    nbytes: int,
    check: Callable[[], None],
) -> Piece:
    file = table.file

    def part() -> pl.LazyFrame:
        return scan().slice(start, rows)

    def read() -> pl.DataFrame:
        check()
        frame = table.adapt(part()).collect(engine="streaming")
        check()
        return frame

    def explain(error: BaseException, first_row: int) -> ArrowstreamError:
        try:
            check()
            found = part().select(table.columns).collect(engine="streaming")
        except SourceError as changed:
            return changed
        except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as damage:
            return file.unreachable(damage) or damaged_rows(file, damage, first_row, rows)
        return table.adapt.misfit(found, first_row) or failed_steps(file, error, first_row, rows)

    return Piece(file.path, rows, nbytes, read, explain)
