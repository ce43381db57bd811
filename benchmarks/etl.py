"""Parquet to Parquet: read, filter, two computed columns, write; beside Polars' streaming engine and DuckDB.

Every run has a process of its own, for its peak of memory. The outputs are compared equal, row by row and
in order, before anything is measured. Only arrowstream waits until its file is on the disk (fsync).
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from polars.testing import assert_frame_equal

from benchmarks.etl_job import ENGINES
from benchmarks.harness import ROUNDS, Figure, Scale, Section, checked_in_turn, ratio
from benchmarks.machine import DATA, ROOT, made_once

_ROWS = {"full": 20_000_000, "quick": 2_000_000, "tiny": 1_000}
_CHUNK = 1_000_000


def run(scale: Scale) -> Section:
    """Ratios of time and of peak memory."""
    source = _source(_ROWS[scale])
    peaks: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    cores: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    with TemporaryDirectory(dir=DATA) as folder:
        targets = {engine: Path(folder) / f"{engine}.parquet" for engine in ENGINES}

        def job(engine: str) -> Callable[[], float]:
            def measure() -> float:
                seconds, used, peak = _run(engine, source, targets[engine])
                peaks[engine].append(peak)
                cores[engine].append(used / seconds)
                return seconds

            return measure

        jobs = {engine: job(engine) for engine in ENGINES}

        def check() -> None:
            for engine in ("polars", "duckdb"):
                check_same(targets["arrowstream"], targets[engine])

        measured = checked_in_turn(jobs, ROUNDS[scale], check)
    seconds = {engine: statistics.median(times) for engine, times in measured.items()}
    memory = {engine: statistics.median(values) / 2**20 for engine, values in peaks.items()}
    own = f"{seconds['arrowstream']:.2f} s"
    return Section(
        f"Parquet ETL, {_ROWS[scale]:,} rows of 4 columns (filter, 2 computed columns, zstd level 1)",
        (
            Figure(
                "speed against Polars' streaming engine",
                ratio(measured["polars"], measured["arrowstream"]),
                "x",
                at_least=0.9,
                note=f"{own}, Polars {seconds['polars']:.2f} s",
            ),
            Figure(
                "speed against DuckDB",
                ratio(measured["duckdb"], measured["arrowstream"]),
                "x",
                at_least=1.0,
                note=f"{own}, DuckDB {seconds['duckdb']:.2f} s",
            ),
            Figure(
                "peak memory against Polars",
                memory["arrowstream"] / memory["polars"],
                "x",
                at_most=1.2,
                note=", ".join(f"{engine} {peak:,.0f} MB" for engine, peak in memory.items()),
            ),
            Figure(
                "cores busy",
                statistics.median(cores["arrowstream"]),
                "cores",
                note=", ".join(f"{engine} {statistics.median(used):.2f}" for engine, used in cores.items()),
            ),
        ),
    )


def _source(rows: int) -> Path:
    """Return the input, which is made once."""
    return made_once(DATA / f"benchmark-etl-{rows}.parquet", partial(_write_source, rows))


def _write_source(rows: int, path: Path) -> None:
    rng = np.random.default_rng(0)
    schema = pa.schema(
        {"id": pa.int64(), "customer": pa.int64(), "price": pa.float64(), "quantity": pa.int32()}
    )
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, rows, _CHUNK):
            count = min(_CHUNK, rows - start)
            columns = {
                "id": np.arange(start, start + count),
                "customer": rng.integers(0, 1_000_000, count),
                "price": rng.integers(1, 10_000, count) / 100,
                "quantity": rng.integers(1, 20, count, dtype=np.int32),
            }
            writer.write_table(pa.table(columns, schema=schema))


def _run(engine: str, source: Path, target: Path) -> tuple[float, float, float]:
    """Seconds, seconds of all cores, and peak bytes of one run in its own process."""
    target.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.etl_job", engine, str(source), str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    seconds, used, peak = done.stdout.split()
    return float(seconds), float(used), float(peak)


def check_same(one: Path, other: Path) -> None:
    """Compare two Parquet files, row by row and in order."""
    left, right = pl.scan_parquet(one), pl.scan_parquet(other)
    rows = left.select(pl.len()).collect().item()
    assert rows == right.select(pl.len()).collect().item()
    for start in range(0, rows, _CHUNK):
        assert_frame_equal(
            left.slice(start, _CHUNK).collect(), right.slice(start, _CHUNK).collect(), check_exact=True
        )
