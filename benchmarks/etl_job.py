"""One ETL run in a process of its own: ``python -m benchmarks.etl_job ENGINE INPUT OUTPUT``.

Prints the seconds it took, imports left out, the seconds of all cores, and the peak of the process's memory in bytes.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROW_GROUP = 262_144
"""Rows of a row group in every output: what arrowstream and Polars' streaming engine write by default."""


def prepare_arrowstream(source: str, target: str) -> Callable[[], object]:
    import polars as pl

    # Both are imported by the first source and sink of files.
    import arrowstream.io.files.sink
    import arrowstream.io.files.source  # noqa: F401
    from arrowstream import Pipeline, Sink, Source

    return lambda: (
        Pipeline.builder()
        .source(Source.from_file(source))
        .filter(pl.col("price") > 50)
        .with_columns(eur=pl.col("price") * 0.908, total=pl.col("price") * pl.col("quantity"))
        .sink(Sink.to_file(target, format="parquet", compression="zstd"))
        .build()
        .run_sync()
    )


def prepare_polars(source: str, target: str) -> Callable[[], object]:
    import polars as pl

    return lambda: (
        pl.scan_parquet(source)
        .filter(pl.col("price") > 50)
        .with_columns(eur=pl.col("price") * 0.908, total=pl.col("price") * pl.col("quantity"))
        .sink_parquet(target, compression="zstd", compression_level=1, row_group_size=ROW_GROUP)
    )


def prepare_duckdb(source: str, target: str) -> Callable[[], object]:
    import duckdb

    connection = duckdb.connect()
    query = (
        # DuckDB would take 0.908 for a decimal.
        "SELECT *, price * 0.908::DOUBLE AS eur, price * quantity AS total "
        f"FROM read_parquet('{source}') WHERE price > 50"
    )
    options = f"FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE {ROW_GROUP}"
    return lambda: connection.execute(f"COPY ({query}) TO '{target}' ({options})")


ENGINES = {"arrowstream": prepare_arrowstream, "polars": prepare_polars, "duckdb": prepare_duckdb}


def peak_bytes() -> int:
    """The most memory this process has held at once."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: a process started by another takes over that one's peak there.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    engine, source, target = sys.argv[1:]
    work = ENGINES[engine](source, target)
    begin, used = time.perf_counter(), time.process_time()
    work()
    print(time.perf_counter() - begin, time.process_time() - used, peak_bytes())
