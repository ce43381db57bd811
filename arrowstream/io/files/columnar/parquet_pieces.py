"""A Parquet file in pieces of bounded size: row groups together, one by one, or page by page."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from arrowstream.core.batch import to_frame
from arrowstream.io.files.columnar.damage import damaged_rows, failed_steps
from arrowstream.io.files.columnar.parquet_footer import RowGroup, row_groups
from arrowstream.io.files.columnar.scan import PIECE_BYTES, Table, slice_piece
from arrowstream.io.files.read_ahead import Piece

HUGE_BYTES = 24 << 20
"""Polars loads all stored bytes of a row group even for a slice of it; pyarrow does not, but is slower."""

WHOLE = 4
"""A row group of up to so many pieces' bytes is read at once, a larger one in slices of as many.

In slices of one piece each, row groups of 28 MB took half as long again: a slice decodes the dictionaries
and the pages at its ends anew.
"""


def parquet_pieces(file: Table) -> Iterator[Piece]:
    """Small row groups several at a time, larger ones in slices, huge ones page by page."""
    start = rows = decoded = stored = 0
    for number, group in enumerate(row_groups(file.path, file.columns)):
        large = group.decoded > WHOLE * PIECE_BYTES
        if rows and (large or decoded + group.decoded > PIECE_BYTES):
            yield slice_piece(file, start, rows, stored)
            start, rows, decoded, stored = start + rows, 0, 0, 0
        if not large:
            rows, decoded, stored = rows + group.rows, decoded + group.decoded, stored + group.stored
            continue
        if group.stored > HUGE_BYTES:
            yield from _pages(file, number, group, start)
        else:
            yield from _slices(file, group, start)
        start += group.rows
    if rows:
        yield slice_piece(file, start, rows, stored)


def _slices(file: Table, group: RowGroup, start: int) -> Iterator[Piece]:
    """Equal parts of one row group; decoding a part skips the pages of the others."""
    parts = min(group.rows, -(-group.decoded // (WHOLE * PIECE_BYTES)))
    cuts = [group.rows * part // parts for part in range(parts + 1)]
    for low, high in pairwise(cuts):
        share = group.stored * high // group.rows - group.stored * low // group.rows
        yield slice_piece(file, start + low, high - low, share)


def _pages(file: Table, number: int, group: RowGroup, start: int) -> Iterator[Piece]:
    """Row group `number`, which begins with row `start` of the file, by pyarrow in slices.

    Polars decodes whole row groups; pyarrow streams the pages of each column when given a buffer size.
    """
    size = max(1, group.rows * PIECE_BYTES // (2 * group.decoded))
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
            to_frame(record)
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
