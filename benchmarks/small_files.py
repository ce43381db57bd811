"""Thousands of small files, next to Polars on the same rows.

Files of one row each are read, filtered and written with one more column; and rows are written into a folder for each
of thousands of partitions.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from polars.testing import assert_frame_equal

from arrowstream import Pipeline, Sink, Source
from benchmarks.etl import check_same
from benchmarks.harness import ROUNDS, Figure, Scale, Section, checked_in_turn, ratio, timed
from benchmarks.machine import DATA

_FILES = {"full": 5_000, "quick": 1_000, "tiny": 3}
_PARTITIONS = {"full": 20_000, "quick": 2_000, "tiny": 3}
_ROWS = 10
"""Rows of a partition."""

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
    """Ratios of time, format by format, and seconds for the partitions, with the pipeline built in each round."""
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
        figures.append(_partitions(Path(folder), scale))
    return Section(f"Small files, {_FILES[scale]:,} of one row", tuple(figures))


def _partitions(folder: Path, scale: Scale) -> Figure:
    partitions = _PARTITIONS[scale]
    rows = pl.select(row=pl.int_range(partitions * _ROWS)).with_columns(
        # Multiplied by a prime, so that the rows of a partition are far from each other.
        key=pl.col("row") * 999_983 % partitions,
        name="name " + pl.col("row").cast(pl.String),
        value=pl.col("row") / 3,
    )
    # A folder that exists once: ext4 looks for a place of a new file among those that were removed lately.
    targets = (folder / f"partitions {number}" for number in count())
    written: dict[str, Path] = {}

    def own() -> None:
        written["own"] = next(targets)
        sink = Sink.to_file(written["own"], format="parquet", partition_by="key")
        Pipeline.builder().source(Source.from_frame(rows)).sink(sink).build().run_sync()

    def polars() -> None:
        written["polars"] = next(targets)
        rows.write_parquet(written["polars"], partition_by="key")

    def check() -> None:
        found = (
            pl.scan_parquet(target / "**/*.parquet", hive_partitioning=True).select(rows.columns)
            for target in written.values()
        )
        one, other = (frame.sort("row").collect() for frame in found)
        assert_frame_equal(one, rows)
        assert_frame_equal(other, rows)

    measured = checked_in_turn({"own": timed(own), "polars": timed(polars)}, min(3, ROUNDS[scale]), check)
    seconds = {engine: statistics.median(times) for engine, times in measured.items()}
    return Figure(
        f"seconds for {partitions:,} partitions of {_ROWS} rows",
        seconds["own"],
        "s",
        at_most=5,
        note=f"Polars {seconds['polars']:.2f} s, without waiting for the disk",
    )


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
