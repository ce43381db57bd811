"""Rows of one data file, in the columns of its table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
from pyarrow import parquet

from arrowstream.core.batch import Batch, to_frame
from arrowstream.core.position import Position
from arrowstream.io.lake.row_groups import BATCH_ROWS, groups_from

if TYPE_CHECKING:
    from pyiceberg.schema import Schema
    from pyiceberg.table import FileScanTask, Table


def rows_of(
    table: Table,
    task: FileScanTask,
    schema: Schema,
    columns: Mapping[str, pl.DataType],
    start: int,
) -> Iterator[Batch]:
    """Yield the rows of a file after the first `start`, without those that are deleted.

    Parameters
    ----------
    table
        The table.
    task
        The file.
    schema
        All columns of the table.
    columns
        Those that the rows have, with their types.
    start
        Number of rows that are left out.
    """
    for row, record in _records(table, task, schema.select(*columns), start):
        end = row + record.num_rows
        if end > start:
            rows = to_frame(record)[max(0, start - row) :]
            yield Batch(
                rows.select(pl.col(name).cast(dtype) for name, dtype in columns.items()),
                Position(task.file.file_path, max(start, row), end),
            )


def _records(
    table: Table, task: FileScanTask, wanted: Schema, start: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield parts of a file, with the number of their first row; those before `start` may be left out."""
    from pyiceberg.expressions import AlwaysTrue
    from pyiceberg.io.pyarrow import ArrowScan
    from pyiceberg.manifest import FileFormat

    if task.file.file_format == FileFormat.PARQUET and not task.delete_files:
        with (
            table.io.new_input(task.file.file_path).open() as opened,
            parquet.ParquetFile(opened, coerce_int96_timestamp_unit="us") as content,
        ):
            names = _names(table, content.schema_arrow, wanted)
            if names is not None:
                groups, row = groups_from(content.metadata, start)
                for record in content.iter_batches(BATCH_ROWS, row_groups=groups, columns=list(names)):
                    record = record.rename_columns([names[name] for name in record.schema.names])
                    yield row, record
                    row += record.num_rows
                return
    # Rows that are deleted, columns that have come or changed since, and formats other than Parquet.
    scan = ArrowScan(table.metadata, table.io, wanted, AlwaysTrue())
    row = 0
    for record in scan.to_record_batches([task]):
        yield row, record
        row += record.num_rows


def _names(table: Table, schema: pa.Schema, wanted: Schema) -> dict[str, str] | None:
    """Return the names of columns by those that they have in a file; None if they are not there as they are."""
    from pyiceberg.io.pyarrow import pyarrow_to_schema

    downcast = table.format_version <= 2
    with suppress(ValueError):  # A column has no id.
        there = pyarrow_to_schema(schema, table.name_mapping(), downcast, table.format_version)
        found = {field.field_id: field for field in there.fields}
        if all(
            field.field_id in found and found[field.field_id].field_type == field.field_type
            for field in wanted.fields
        ):
            return {found[field.field_id].name: field.name for field in wanted.fields}
    return None
