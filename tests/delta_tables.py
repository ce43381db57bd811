"""Delta tables for tests: rows as other readers see them, and writers outside of a pipeline."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
from contexts import context
from deltalake import DeltaTable

from arrowstream import Pipeline, Sink, Source
from arrowstream.core.batch import Batch
from arrowstream.core.checkpoints.context import CheckpointContext
from arrowstream.io.delta.writer import DeltaWriter


def rows_of(table: Path | str, version: int | None = None) -> pl.DataFrame:
    """The rows of a table as Polars reads them."""
    return pl.read_delta(str(table), version=version)


def log_of(table: Path) -> list[list[dict[str, Any]]]:
    """The entries of each commit."""
    files = sorted((table / "_delta_log").glob("*.json"))
    return [[json.loads(line) for line in file.read_text().splitlines()] for file in files]


def orphans(table: Path) -> list[str]:
    """Data files in the folder that are not part of the table."""
    found = {str(path) for path in table.rglob("*.parquet") if "_delta_log" not in path.parts}
    there = DeltaTable(table).file_uris() if (table / "_delta_log").exists() else []
    return sorted(found - {str(Path(uri)) for uri in there})


def write(sink: Any, *frames: pl.DataFrame) -> None:
    """Run a pipeline of these rows into a sink."""
    Pipeline.builder().source(Source.from_frame(list(frames))).sink(sink).build().run_sync()


def opened(table: Path, state: Path, attempt: int = 1, job: str = "job", **options: Any) -> DeltaWriter:
    """A writer of a run with checkpoints."""
    state.mkdir(parents=True, exist_ok=True)
    at = replace(context("sink"), checkpoint=CheckpointContext(job, attempt, state, 0))
    writer = Sink.to_delta(table, **options).open(numbers().polars().schema, at)
    assert isinstance(writer, DeltaWriter)
    return writer


def numbers(*values: int) -> Batch:
    """Rows with these numbers, in partitions by the remainder of 3."""
    x = pl.Series("x", values, dtype=pl.Int64)
    return Batch(pl.DataFrame({"x": x, "k": (x % 3).cast(pl.String)}))
