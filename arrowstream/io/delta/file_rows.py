"""Rows of one data file, in the columns of its table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl
from pyarrow import parquet

from arrowstream.core.batch import Batch, to_frame
from arrowstream.core.position import Position
from arrowstream.io.delta.location import DeltaLocation
from arrowstream.io.delta.log import AddedFile
from arrowstream.io.lake.row_groups import BATCH_ROWS, groups_from


def rows_of(
    location: DeltaLocation, file: AddedFile, schema: pl.Schema, columns: Sequence[str], start: int
) -> Iterator[Batch]:
    """Yield the rows of a file after the first `start`.

    Parameters
    ----------
    location
        Place of the table.
    file
        The file.
    schema
        All columns of the table.
    columns
        Those that the rows have.
    start
        Number of rows that are left out.
    """
    files, root = location.file_system()
    with (
        files.open_input_file(f"{root}/{file.path}") as opened,
        parquet.ParquetFile(opened, coerce_int96_timestamp_unit="us") as content,
    ):
        there = content.schema_arrow.names
        read = [name for name in columns if name in there and name not in file.partition]
        expressions = [_column(name, schema[name], file, name in there) for name in columns]
        groups, row = groups_from(content.metadata, start)
        origin = f"{location}/{file.path}"
        # A file of which no column is wanted is read by one, for the number of its rows.
        for record in content.iter_batches(BATCH_ROWS, row_groups=groups, columns=read or there[:1]):
            end = row + record.num_rows
            if end > start:
                rows = to_frame(record)[max(0, start - row) :].select(expressions)
                yield Batch(rows, Position(origin, max(start, row), end))
            row = end


def _column(name: str, dtype: pl.DataType, file: AddedFile, there: bool) -> pl.Expr:
    if name in file.partition:
        value = partition_value(file.partition[name], dtype)
        return pl.repeat(value, pl.len(), dtype=dtype).alias(name)
    return pl.col(name).cast(dtype) if there else pl.repeat(None, pl.len(), dtype=dtype).alias(name)


def partition_value(text: str | None, dtype: pl.DataType) -> Any:
    """Return the value of a partition from the text of the log, where an empty one is null."""
    if not text:
        return None
    series = pl.Series([text])
    if isinstance(dtype, pl.Boolean):
        return text == "true"
    if isinstance(dtype, pl.Date):
        series = series.str.to_date("%Y-%m-%d")
    elif isinstance(dtype, pl.Datetime):
        plain = text.replace("T", " ").removesuffix("Z")
        times = pl.Series([plain]).str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us")
        series = times.dt.replace_time_zone(dtype.time_zone)
    else:
        series = series.cast(dtype)
    return series[0]
