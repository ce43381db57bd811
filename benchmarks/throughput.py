"""Rows a second through map and filter, from memory to a function that counts them."""

from __future__ import annotations

import statistics

import polars as pl

from arrowstream import Pipeline, Sink, Source
from benchmarks.data import by_polars, record, steps
from benchmarks.harness import ROUNDS, Figure, Scale, Section, in_turn, ratio, timed

_ROWS = {"full": 40_000_000, "quick": 5_000_000, "tiny": 10_000}


def run(scale: Scale) -> Section:
    """The engine's rate, with Polars on the whole frame at once beside it."""
    frame = pl.DataFrame(record(_ROWS[scale]))
    counted: list[int] = []
    pipeline = (
        steps(Pipeline.builder().source(Source.from_frame(frame)))
        .sink(Sink.to_fn(lambda batch: counted.append(batch.num_rows)))
        .build()
    )
    report = pipeline.run_sync()
    assert report.rows_out == sum(counted) == by_polars(frame).height
    measured = in_turn(
        {"engine": timed(pipeline.run_sync), "polars": timed(lambda: by_polars(frame))}, ROUNDS[scale]
    )
    million_rows = frame.height / 1e6
    share = ratio(measured["polars"], measured["engine"])
    return Section(
        "Throughput, in memory",
        (
            Figure(
                "map + filter",
                million_rows / statistics.median(measured["engine"]),
                "M rows/s",
                at_least=150,
                note=f"{share:.2f}x Polars on the whole frame at once",
            ),
        ),
    )
