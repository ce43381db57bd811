"""Snapshots of processes, as tests look at them and change them."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import to_record
from arrowstream.operators.base import AsyncProcess, Process
from arrowstream.state.snapshot import SnapshotFormat


def held_rows(process: Process | AsyncProcess) -> pl.DataFrame:
    """The rows of a snapshot, in order."""
    batches = list(process.snapshot())
    if not batches:
        return pl.DataFrame()
    kind, version = (
        batches[0].schema.metadata[b"arrowstream." + key].decode() for key in (b"kind", b"version")
    )
    _, rows = SnapshotFormat(kind, int(version)).read(iter(batches))
    frames = [batch.polars() for batch in rows]
    return pl.concat(frames) if frames else pl.DataFrame()


def with_rows(process: Process | AsyncProcess, rows: pl.DataFrame) -> Iterator[pa.RecordBatch]:
    """The snapshot of a process with other rows in it."""
    metadata = next(iter(process.snapshot())).schema.metadata
    if b"arrowstream.ordered" in metadata:
        rows = rows.with_columns(pl.int_range(pl.len(), dtype=pl.UInt32).alias("row number"))
    return iter([to_record(rows).replace_schema_metadata(metadata)])
