"""Pieces of a Parquet file, of bounded size: row groups together, one by one, or page by page."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from arrowstream.core.batch import to_frame
from arrowstream.io.files.columnar.damage import DAMAGE, damaged_rows, failed_steps
from arrowstream.io.files.columnar.parquet_footer import RowGroup, row_groups
from arrowstream.io.files.columnar.scan import PIECE_BYTES, Table, slice_piece
from arrowstream.io.files.read_ahead import Piece

HUGE_BYTES = 24 << 20
"""Stored bytes above which pyarrow reads a row group page by page.

Polars loads all stored bytes of a row group even for a slice of it; pyarrow does not, but is slower.
"""

WHOLE = 4
"""Largest row group that is read at once, in units of `PIECE_BYTES`; a larger one is read in slices of that size.

A slice decodes the dictionaries and the pages at its ends again: row groups of 45 MB took 1.6 times the processor
time in halves, and as much as in Polars' streaming engine when read at once. Larger ones at once would take
more memory than that engine does.
"""

_FIRST = 4
"""Divisor of the size of the first piece of plain columns: later steps get rows while the others are read."""


def parquet_pieces(table: Table) -> Iterator[Piece]:
    """Yield small row groups several at a time, larger ones in slices, huge ones page by page."""
    start = rows = decoded = stored = 0
    # Where the read computes, no later step may have much to do, and each piece costs 1.5 ms.
    most = PIECE_BYTES if table.adapt.choice is None else PIECE_BYTES // _FIRST
    for number, group in enumerate(row_groups(table.file, table.columns)):
        large = group.decoded > WHOLE * PIECE_BYTES
        if rows and (large or decoded + group.decoded > most):
            yield slice_piece(table, start, rows, stored)
            start, rows, decoded, stored = start + rows, 0, 0, 0
            most = PIECE_BYTES
        if not large:
            rows, decoded, stored = rows + group.rows, decoded + group.decoded, stored + group.stored
            continue
        if group.stored > HUGE_BYTES:
            yield from _pages(table, number, group, start)
        else:
            yield from _slices(table, group, start)
        start += group.rows
    if rows:
        yield slice_piece(table, start, rows, stored)


def _slices(table: Table, group: RowGroup, start: int) -> Iterator[Piece]:
    """Yield equal parts of one row group; decoding a part skips the pages of the others."""
    parts = min(group.rows, -(-group.decoded // (WHOLE * PIECE_BYTES)))
    cuts = [group.rows * part // parts for part in range(parts + 1)]
    for low, high in pairwise(cuts):
        share = group.stored * high // group.rows - group.stored * low // group.rows
        yield slice_piece(table, start + low, high - low, share)


def _pages(table: Table, number: int, group: RowGroup, start: int) -> Iterator[Piece]:
    """Yield row group `number`, which begins with row `start` of the file, in slices read by pyarrow.

    Polars decodes whole row groups; pyarrow streams the pages of each column when given a buffer size.
    """
    size = max(1, group.rows * PIECE_BYTES // (2 * group.decoded))
    try:
        with pq.ParquetFile(table.file.source, buffer_size=1 << 20, pre_buffer=False) as opened:
            for record in opened.iter_batches(size, row_groups=[number], columns=list(table.columns)):
                yield _piece(table, record, group.stored * record.num_rows // group.rows)
                start += record.num_rows
    except DAMAGE as error:
        raise table.file.unreachable(error) or damaged_rows(table.file, error, start, size) from error


def _piece(table: Table, record: pa.RecordBatch, nbytes: int) -> Piece:
    def read() -> pl.DataFrame:
        # Columns that are not needed exist by name only: the optimiser drops them again.
        rows = (
            to_frame(record)
            .lazy()
            .select(
                pl.col(name).cast(dtype) if name in table.columns else pl.lit(None, dtype).alias(name)
                for name, dtype in table.schema.items()
            )
        )
        return table.adapt(rows).collect()

    return Piece(
        table.file.path,
        record.num_rows,
        nbytes,
        read,
        lambda error, first: failed_steps(table.file, error, first, record.num_rows),
    )
