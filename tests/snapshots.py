"""Snapshots of processes, as tests look at them and change them."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import to_record
from arrowstream.operators.base import AsyncProcess, Process


def held_rows(process: Process | AsyncProcess) -> pl.DataFrame:
    """The rows of a snapshot."""
    batches = [batch for batch in process.snapshot() if batch.num_columns]
    return pl.DataFrame(pa.Table.from_batches(batches)) if batches else pl.DataFrame()


def with_rows(process: Process | AsyncProcess, rows: pl.DataFrame) -> Iterator[pa.RecordBatch]:
    """The snapshot of a process with other rows in it."""
    metadata = next(iter(process.snapshot())).schema.metadata
    return iter([to_record(rows).replace_schema_metadata(metadata)])
