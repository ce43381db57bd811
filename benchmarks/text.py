"""Text files: CSV and NDJSON -> filter -> Parquet, against Polars' streaming engine on the same files.

All outputs are compared, value by value, before anything is measured.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

from arrowstream import Pipeline, Sink, Source
from benchmarks.harness import ROUNDS, Figure, Scale, Section, in_turn, ratio, timed
from benchmarks.machine import DATA

_ROWS = {"full": 2_000_000, "quick": 500_000, "tiny": 1_000}


def run(scale: Scale) -> Section:
    """Ratios of time, of the whole run and of the read alone."""
    DATA.mkdir(exist_ok=True)
    figures = []
    with TemporaryDirectory(dir=DATA) as folder:
        frame = _frame(_ROWS[scale])
        for format, write, scan in (
            ("csv", frame.write_csv, pl.scan_csv),
            ("ndjson", frame.write_ndjson, pl.scan_ndjson),
        ):
            file = Path(folder) / f"input.{format}"
            write(file)
            for what, jobs in (
                (f"{format} to Parquet", _to_parquet(file, scan)),
                (f"{format} read, few rows kept", _read(file, scan)),
            ):
                figures.append(_figure(what, jobs, ROUNDS[scale]))
    return Section(
        f"Text files, {_ROWS[scale]:,} rows of 6 columns, against Polars' streaming engine",
        tuple(figures),
        ("The loop for plain NDJSON is loaded by the runs before; until then, Polars parses NDJSON.",),
    )


def _frame(rows: int) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    number = np.arange(rows)
    return pl.DataFrame(
        {
            "id": number,
            "time": (number * 1_000 + 1_700_000_000_000_000).astype("datetime64[us]"),
            "level": np.array(["INFO", "WARN", "ERROR"])[rng.integers(0, 3, rows)],
            "price": rng.integers(1, 10_000, rows) / 100,
            "status": rng.integers(200, 600, rows),
            "message": rng.integers(0, 1_000_000, rows),
        }
    ).with_columns(
        pl.col("time").dt.to_string("iso:strict"),
        pl.format("GET /item/{}?page=1 [cached]", "message").alias("message"),
    )


def _to_parquet(file: Path, scan: Callable[..., pl.LazyFrame]) -> dict[str, Callable[[], object]]:
    """Both engines' runs from the file to a Parquet file, after a comparison of these."""
    targets = {
        engine: file.with_name(f"{file.name}-{engine}.parquet") for engine in ("arrowstream", "polars")
    }
    pipeline = (
        Pipeline.builder()
        .source(Source.from_file(file))
        .filter(pl.col("price") > 50)
        .sink(Sink.to_file(targets["arrowstream"], compression="zstd"))
        .build()
    )
    jobs: dict[str, Callable[[], object]] = {
        "arrowstream": pipeline.run_sync,
        "polars": lambda: (
            scan(file)
            .filter(pl.col("price") > 50)
            .sink_parquet(targets["polars"], compression="zstd", compression_level=1)
        ),
    }
    for job in jobs.values():
        job()
    assert_frame_equal(*(pl.read_parquet(target) for target in targets.values()), check_exact=True)
    return jobs


def _read(file: Path, scan: Callable[..., pl.LazyFrame]) -> dict[str, Callable[[], object]]:
    """Both engines' runs that read all rows and keep a hundredth of them in memory."""
    pipeline = Pipeline.builder().source(Source.from_file(file)).filter(pl.col("price") > 99)
    jobs: dict[str, Callable[[], pl.DataFrame]] = {
        "arrowstream": pipeline.collect_sync,
        "polars": lambda: scan(file).filter(pl.col("price") > 99).collect(engine="streaming"),
    }
    assert_frame_equal(*(job() for job in jobs.values()), check_exact=True)
    return dict(jobs)


def _figure(what: str, jobs: dict[str, Callable[[], object]], rounds: int) -> Figure:
    cpu: list[float] = []

    def own() -> None:
        begin = time.process_time()
        jobs["arrowstream"]()
        cpu.append(time.process_time() - begin)

    measured = in_turn({"arrowstream": timed(own), "polars": timed(jobs["polars"])}, rounds)
    seconds = {engine: statistics.median(times) for engine, times in measured.items()}
    return Figure(
        f"{what}: speed",
        ratio(measured["polars"], measured["arrowstream"]),
        "x",
        at_least=0.95,
        note=f"{seconds['arrowstream']:.2f} s ({statistics.median(cpu):.2f} s of processor time), "
        f"Polars {seconds['polars']:.2f} s",
    )
