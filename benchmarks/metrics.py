"""What metrics cost: the engine as it is, and with counters that only count rows, as a report needs them.

Processor time, because what else runs on the machine moves the wall clock by more than metrics do. The
calls for one batch are also timed alone, in a tight loop, where they find everything in the caches.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from unittest.mock import patch

from arrowstream import Pipeline, Sink, Source
from arrowstream.batch import Batch
from arrowstream.stage_metrics import StageCounters
from benchmarks.data import record, steps
from benchmarks.harness import ROUNDS, Figure, Scale, Section, in_turn, ratio

_BATCHES = {"full": 4_000, "quick": 1_000, "tiny": 3}
_CALLS = {"full": 50_000, "quick": 20_000, "tiny": 100}
_ROWS = 1_000


def run(scale: Scale) -> Section:
    """The share of a batch's time that metrics take."""
    batches, calls = _BATCHES[scale], _CALLS[scale]
    pipeline = _pipeline(batches)
    pipeline.run_sync()

    rivals: dict[str, Callable[[], object]] = {
        "engine": pipeline.run_sync,
        "engine, rows only": lambda: _without_metrics(pipeline.run_sync),
        "calls": lambda: _calls_of_batches(calls),
        "calls, rows only": lambda: _without_metrics(lambda: _calls_of_batches(calls)),
    }
    measured = in_turn({name: _cpu(work) for name, work in rivals.items()}, ROUNDS[scale])
    micros = {
        name: statistics.median(seconds) / (batches if "engine" in name else calls) * 1e6
        for name, seconds in measured.items()
    }
    added = micros["calls"] - micros["calls, rows only"]
    whole = 1 - ratio(measured["engine, rows only"], measured["engine"])
    return Section(
        "Metrics, at batches of 1,000 rows (map + filter, in memory)",
        (
            Figure(
                "calls for metrics, of the engine's time for a batch",
                added / micros["engine"] * 100,
                "%",
                note=f"{added:.2f} of {micros['engine']:.1f} us; with those for rows {micros['calls']:.2f} us",
            ),
            Figure("the whole engine against one that only counts rows", whole * 100, "%", at_most=2),
        ),
    )


def _cpu(work: Callable[[], object]) -> Callable[[], float]:
    """`work` as something that gives the seconds of processor time it took."""

    def measure() -> float:
        begin = time.process_time()
        work()
        return time.process_time() - begin

    return measure


def _pipeline(batches: int) -> Pipeline:
    data = [record(_ROWS, seed) for seed in range(4)] * (batches // 4 + 1)
    source = Source.from_frame(data[:batches], batch_rows=_ROWS)
    return steps(Pipeline.builder().source(source)).sink(Sink.to_fn(lambda batch: None)).build()


def _calls_of_batches(count: int) -> None:
    """What source, stage and sink count for each of so many batches."""
    batch = Batch(record(_ROWS))
    source, stage, sink = StageCounters("source"), StageCounters("stage"), StageCounters("sink")
    for number in range(count):
        source.came_out(batch)
        source.count("read")
        stage.ran("arrow", _ROWS, 30_000 + number, 30_000 + number)
        stage.rows_in += _ROWS
        stage.came_out(batch)
        sink.came_out(batch)
        sink.ran("write", _ROWS, 1_000, 60_000 + number)
        sink.rows_in += _ROWS


def _without_metrics(work: Callable[[], object]) -> None:
    """Do `work` with counters that only count rows and batches."""

    def ran(self: StageCounters, kind: str, rows: int, taken_ns: int, latency_ns: int | None) -> None:
        self.busy_ns += taken_ns
        self.batches[kind] = self.batches.get(kind, 0) + 1

    def came_out(self: StageCounters, batch: Batch) -> None:
        self.rows_out += batch.num_rows

    with (
        patch.object(StageCounters, "ran", ran),
        patch.object(StageCounters, "came_out", came_out),
    ):
        work()
