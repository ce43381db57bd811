"""Thousands of files of one row each: read, filter, one computed column, write; next to Polars on the same files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from arrowstream import Pipeline, Sink, Source
from benchmarks.etl import check_same
from benchmarks.harness import ROUNDS, Figure, Scale, Section, checked_in_turn, ratio, timed
from benchmarks.machine import DATA

_FILES = {"full": 5_000, "quick": 1_000, "tiny": 3}

_WRITE: dict[str, Callable[[pl.DataFrame, Path], None]] = {
    "csv": pl.DataFrame.write_csv,
    "ndjson": pl.DataFrame.write_ndjson,
    "parquet": pl.DataFrame.write_parquet,
    "arrow": pl.DataFrame.write_ipc,
}
_SCAN: dict[str, Callable[[str], pl.LazyFrame]] = {
    "csv": pl.scan_csv,
    "ndjson": pl.scan_ndjson,
    "parquet": pl.scan_parquet,
    "arrow": pl.scan_ipc,
}


def run(scale: Scale) -> Section:
    """Ratios of time, format by format, with the pipeline built in each round."""
    figures = []
    DATA.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=DATA) as folder:
        for suffix in _WRITE:
            files, targets = Path(folder) / suffix, [Path(folder) / f"{n}.parquet" for n in range(2)]
            files.mkdir()
            for number in range(_FILES[scale]):
                row = pl.DataFrame({"id": [number], "name": [f"name {number}"], "value": [number / 3]})
                _WRITE[suffix](row, files / f"{number:05}.{suffix}")
            rivals = {
                "own": timed(_own(files, targets[0])),
                "polars": timed(_polars(files, targets[1], suffix)),
            }
            measured = checked_in_turn(rivals, ROUNDS[scale], partial(check_same, *targets))
            figures.append(
                Figure(
                    f"time of {suffix} against Polars",
                    ratio(measured["own"], measured["polars"]),
                    "x",
                    at_most=1.5,
                )
            )
    return Section(f"Small files, {_FILES[scale]:,} of one row", tuple(figures))


def _own(files: Path, target: Path) -> Callable[[], object]:
    return lambda: (
        Pipeline.builder()
        .source(Source.from_file(files))
        .filter(pl.col("id") >= 0)
        .with_columns(double=pl.col("value") * 2)
        .sink(Sink.to_file(target))
        .build()
        .run_sync()
    )


def _polars(files: Path, target: Path, suffix: str) -> Callable[[], object]:
    return lambda: (
        _SCAN[suffix](f"{files}/*.{suffix}")
        .filter(pl.col("id") >= 0)
        .with_columns(double=pl.col("value") * 2)
        .sink_parquet(target)
    )
