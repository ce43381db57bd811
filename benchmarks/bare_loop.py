"""The engine against the same kernels called in a bare loop: what pipelines, channels and counting cost.

Both get Arrow records and hand Arrow records over. The bare loop of ``auto`` is the faster of the two.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import polars as pl
import pyarrow as pa

from arrowstream import Pipeline, Sink, Source
from benchmarks.data import DOUBLED, LARGE, by_arrow, by_polars, record, steps
from benchmarks.harness import ROUNDS, Figure, Scale, Section, checked_in_turn, ratio, timed

_BATCHES = {
    "full": {1: 4_000, 1_000: 4_000, 65_536: 200, 1_000_000: 16},
    "quick": {1: 1_000, 1_000: 1_000, 65_536: 50, 1_000_000: 4},
    "tiny": {1: 3, 1_000: 3},
}
_NEW = {"full": (65_536, 100), "quick": (65_536, 50), "tiny": (1_000, 3)}
"""Rows and number of batches of a pipeline that is built for one run, as a newcomer does."""
_BUDGETS = {1_000: 0.6, 65_536: 0.9}
_DISTINCT = 4
_OLDEST = pl.CompatLevel.oldest()


def run(scale: Scale) -> Section:
    """The ratio at each batch size, for each backend; 1 is as fast as the bare loop."""
    figures = []
    for rows, batches in _BATCHES[scale].items():
        figures += _at(rows, batches, ROUNDS[scale])
    figures.append(_first_run(*_NEW[scale], ROUNDS[scale]))
    return Section(
        "Engine against the same kernels in a bare loop (map + filter, two numeric columns)", tuple(figures)
    )


def _at(rows: int, batches: int, rounds: int) -> list[Figure]:
    distinct = [record(rows, seed) for seed in range(_DISTINCT)]
    data = [distinct[number % _DISTINCT] for number in range(batches)]
    seen: list[int] = []
    rivals: dict[str, Callable[[], object]] = {
        "bare arrow": lambda: seen.extend([by_arrow(batch).num_rows for batch in data]),
        "bare polars": lambda: seen.extend([_through_polars(batch).num_rows for batch in data]),
        **{backend: _engine(data, backend, seen).run_sync for backend in ("arrow", "polars", "auto")},
    }

    def check() -> None:
        assert seen == seen[:batches] * len(rivals), "the rivals do not give the same rows"

    measured = checked_in_turn({name: timed(work) for name, work in rivals.items()}, rounds, check)
    micros = {name: statistics.median(seconds) / batches * 1e6 for name, seconds in measured.items()}
    faster = min("arrow", "polars", key=lambda name: micros[f"bare {name}"])
    figures = []
    for backend in ("arrow", "polars", "auto"):
        bare = f"bare {faster if backend == 'auto' else backend}"
        figures.append(
            Figure(
                f"{backend}, batches of {rows:,} row{'s' if rows > 1 else ''}",
                ratio(measured[bare], measured[backend]),
                "x",
                at_least=_BUDGETS.get(rows),
                note=f"{micros[backend]:,.0f} us a batch, {bare} loop {micros[bare]:,.0f} us",
            )
        )
    return figures


def _first_run(rows: int, batches: int, rounds: int) -> Figure:
    """The first and only run of a pipeline: with its checks, its build, and choices that no batch has shown yet."""
    data = [record(rows)] * batches
    seen: list[int] = []
    rivals: dict[str, Callable[[], object]] = {
        "bare arrow": lambda: seen.extend([by_arrow(batch).num_rows for batch in data]),
        "bare polars": lambda: seen.extend([_through_polars(batch).num_rows for batch in data]),
        "new": lambda: (
            steps(Pipeline.builder().source(Source.from_frame(data)))
            .sink(Sink.to_fn(lambda batch: seen.append(batch.num_rows)))
            .build()
            .run_sync()
        ),
    }

    def check() -> None:
        assert seen == seen[:batches] * len(rivals), "the rivals do not give the same rows"

    measured = checked_in_turn({name: timed(work) for name, work in rivals.items()}, rounds, check)
    faster = min("bare arrow", "bare polars", key=lambda name: statistics.median(measured[name]))
    micros = {name: statistics.median(seconds) / batches * 1e6 for name, seconds in measured.items()}
    return Figure(
        f"auto, built for one run of {batches} batches of {rows:,} rows",
        ratio(measured[faster], measured["new"]),
        "x",
        note=f"{micros['new']:,.0f} us a batch with build(), {faster} loop {micros[faster]:,.0f} us",
    )


def _engine(data: list[pa.RecordBatch], backend: str, seen: list[int]) -> Pipeline:
    source = Source.from_frame(data, batch_rows=1_000_000)
    pinned = Pipeline.builder().source(source).map(x=DOUBLED).backend(backend).filter(LARGE).backend(backend)
    return pinned.sink(Sink.to_fn(lambda batch: seen.append(batch.num_rows))).build()


def _through_polars(batch: pa.RecordBatch) -> pa.Table:
    frame = pl.from_arrow(batch)
    assert isinstance(frame, pl.DataFrame)
    return by_polars(frame).to_arrow(compat_level=_OLDEST)
