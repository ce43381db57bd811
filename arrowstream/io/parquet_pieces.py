"""A Parquet file in pieces of bounded size: row groups together, one by one, or page by page."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from arrowstream.io.parquet_footer import RowGroup, row_groups
from arrowstream.io.read_ahead import Piece
from arrowstream.io.table_error import damaged_rows, failed_steps
from arrowstream.io.table_file import PIECE_BYTES, Table, slice_piece

HUGE_BYTES = 3 * PIECE_BYTES
"""A row group that is larger once decoded is read by pyarrow in slices; Polars only reads whole ones."""


def parquet_pieces(file: Table) -> Iterator[Piece]:
    """Row groups, several small ones at a time, each piece read by Polars with the query inside the read."""
    start = rows = decoded = stored = 0
    for number, group in enumerate(row_groups(file.path, file.columns)):
        huge = group.decoded > HUGE_BYTES
        if rows and (huge or decoded + group.decoded > PIECE_BYTES):
            yield slice_piece(file, start, rows, stored)
            start, rows, decoded, stored = start + rows, 0, 0, 0
        if huge:
            yield from _pages(file, number, group, start)
            start += group.rows
        else:
            rows, decoded, stored = rows + group.rows, decoded + group.decoded, stored + group.stored
    if rows:
        yield slice_piece(file, start, rows, stored)


def _pages(file: Table, number: int, group: RowGroup, start: int) -> Iterator[Piece]:
    """Row group `number`, which begins with row `start` of the file, by pyarrow in slices.

    Polars decodes whole row groups; pyarrow streams the pages of each column when given a buffer size.
    """
    size = max(1, group.rows * PIECE_BYTES // group.decoded)
    try:
        with pq.ParquetFile(file.path, buffer_size=1 << 20, pre_buffer=False) as opened:
            for record in opened.iter_batches(size, row_groups=[number], columns=list(file.columns)):
                yield _piece(file, record, group.stored * record.num_rows // group.rows)
                start += record.num_rows
    except (OSError, pa.ArrowException) as error:
        raise damaged_rows(file.path, error, start, size) from error


def _piece(file: Table, record: pa.RecordBatch, nbytes: int) -> Piece:
    def read() -> pl.DataFrame:
        # Columns that nobody needs are there by name only: the optimiser drops them again.
        rows = (
            pl.DataFrame(record)
            .lazy()
            .select(
                pl.col(name).cast(dtype) if name in file.columns else pl.lit(None, dtype).alias(name)
                for name, dtype in file.schema.items()
            )
        )
        return file.adapt(rows).collect()

    return Piece(
        file.path,
        record.num_rows,
        nbytes,
        read,
        lambda error, first: failed_steps(file.path, error, first, record.num_rows),
    )
