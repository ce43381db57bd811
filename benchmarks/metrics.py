"""What metrics cost: the engine as it is, and with counters that only count rows, as a report needs them.

Processor time, because what else runs on the machine moves the wall clock by more than metrics do; and many
short runs in pairs, which of a pair comes first in turn, because a percent of a run is less than what two runs
minutes apart, or the first and second of a pair, differ by. Of the pairs' own shares the median counts, and the
spread of the middle half of them is told. The calls for one batch are also timed alone, in a tight loop, where
they find everything in the caches.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from unittest.mock import patch

from arrowstream import Pipeline, Sink, Source
from arrowstream.core.batch import Batch
from arrowstream.metrics.counters import StageCounters
from benchmarks.data import record, steps
from benchmarks.harness import ROUNDS, Figure, Scale, Section, in_turn

_BATCHES = {"full": 4_000, "quick": 1_000, "tiny": 3}
_PAIRS = {"full": 24, "quick": 10, "tiny": 2}
_CALLS = {"full": 50_000, "quick": 20_000, "tiny": 100}
_ROWS = 1_000


def run(scale: Scale) -> Section:
    """The share of a batch's time that metrics take."""
    batches, calls = _BATCHES[scale], _CALLS[scale]
    pipeline = _pipeline(batches)
    pipeline.run_sync()

    calls_of = _cpu(lambda: _calls_of_batches(calls)), _without_metrics(lambda: _calls_of_batches(calls))
    micros = [
        statistics.median(seconds) / calls * 1e6
        for seconds in in_turn(dict(zip(("all", "rows"), calls_of, strict=True)), ROUNDS[scale]).values()
    ]
    engine, shares = _pairs(_cpu(pipeline.run_sync), _without_metrics(pipeline.run_sync), _PAIRS[scale])
    low, share, high = statistics.quantiles(shares)
    added, whole = micros[0] - micros[1], engine / batches * 1e6
    return Section(
        "Metrics, at batches of 1,000 rows (map + filter, in memory)",
        (
            Figure(
                "calls for metrics, of the engine's time for a batch",
                added / whole * 100,
                "%",
                note=f"{added:.2f} of {whole:.1f} us; with those for rows {micros[0]:.2f} us",
            ),
            Figure(
                "the whole engine against one that only counts rows",
                share,
                "%",
                at_most=2,
                note=f"half of {len(shares)} pairs between {low:.1f} and {high:.1f} %",
            ),
        ),
    )


def _pairs(
    with_metrics: Callable[[], float], without: Callable[[], float], count: int
) -> tuple[float, list[float]]:
    """The median seconds with metrics, and for each pair of runs the percent of it that metrics took."""
    seconds, shares = [], []
    for number in range(count):
        if number % 2:
            base, full = without(), with_metrics()
        else:
            full, base = with_metrics(), without()
        seconds.append(full)
        shares.append((1 - base / full) * 100)
    return statistics.median(seconds), shares


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
        source.record_output(batch)
        source.record_call("read")
        stage.record_batch("arrow", _ROWS, 30_000 + number, 30_000 + number)
        stage.rows_in += _ROWS
        stage.record_output(batch)
        sink.record_output(batch)
        sink.record_batch("write", _ROWS, 1_000, 60_000 + number)
        sink.rows_in += _ROWS


def _without_metrics(work: Callable[[], object]) -> Callable[[], float]:
    """`_cpu` of `work` with counters that only count rows and batches."""

    def record_batch(self: StageCounters, kind: str, rows: int, busy_ns: int, latency_ns: int) -> None:
        self.busy_ns += busy_ns
        self.batches[kind] = self.batches.get(kind, 0) + 1

    def record_output(self: StageCounters, batch: Batch) -> None:
        self.rows_out += batch.num_rows

    def measure() -> float:
        with (
            patch.object(StageCounters, "record_batch", record_batch),
            patch.object(StageCounters, "record_output", record_output),
        ):
            return _cpu(work)()

    return measure
