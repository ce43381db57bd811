"""Metrics of pipelines: before, while, and after they run."""

import asyncio
import logging
import threading
import urllib.error
import urllib.request
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from scripted import BlockingSource, LedgerSink, ScriptedOperator, ScriptedProcess

from arrowstream import ArrowstreamError, Builder, Pipeline, Processor, RunReport, Sink, Source, channel
from arrowstream.core.batch import Batch
from arrowstream.io.sink import SinkSpec
from arrowstream.metrics.snapshot import Metrics
from arrowstream.policies.handlers import ErrorHandler
from arrowstream.testing import ManualClock, Pause, TestSink, TestSource, Watermark

pytestmark = pytest.mark.once

FRAME = pl.DataFrame({"x": [1, 2, 3, 4]})


def frames(count: int) -> list[pl.DataFrame]:
    return [FRAME] * count


def test_before_the_first_run() -> None:
    pipeline = Pipeline.builder(name="new").source(TestSource.from_frames(frames(1))).sink(TestSink()).build()
    metrics = pipeline.metrics()
    assert (metrics.name, metrics.running, metrics.rows_in, metrics.throughput) == ("new", False, 0, 0.0)


def test_after_a_run_they_are_what_the_report_says() -> None:
    async def main() -> tuple[Pipeline, RunReport]:
        clock = ManualClock()
        source = TestSource.from_frames([FRAME, Pause(2), *frames(2)], clock=clock)
        builder = Pipeline.builder().source(source).filter(pl.col("x") > 1).batch(rows=5)
        pipeline = builder.sink(TestSink()).build(clock=clock)
        running = asyncio.create_task(pipeline.run())
        await clock.advance(2)
        return pipeline, await running

    pipeline, report = asyncio.run(main())
    metrics = pipeline.metrics()
    assert (metrics.rows_in, metrics.rows_out, metrics.running) == (12, 9, False)
    assert (report.seconds, metrics.seconds, metrics.throughput) == (2, 2, 6)
    assert list(metrics.stages) == [stage.name for stage in report.stages]
    for stage in report.stages:
        found = metrics.stages[stage.name]
        assert (found.rows_in, found.rows_out) == (stage.rows_in, stage.rows_out)
        assert (found.batches, found.busy_seconds) == (stage.batches, stage.busy_seconds)
        assert found.nbytes == found.rows_out * 8
    # The five rows of the first batch are as old as its first one; the others came out at once.
    assert metrics.latency.count == 9
    assert metrics.latency.sum_seconds == pytest.approx(10, rel=0.01)
    assert metrics.latency_p50_ms == metrics.latency_p99_ms == pytest.approx(2_000, rel=0.01)
    assert pipeline.metrics() is metrics


def test_each_run_counts_anew() -> None:
    pipeline = Pipeline.builder().source(TestSource.from_frames(frames(2))).sink(TestSink()).build()
    pipeline.run_sync()
    pipeline.run_sync()
    assert pipeline.metrics().rows_in == 8


class SlowSink:
    """Takes what it gets only when told."""

    def __init__(self) -> None:
        self.may_go_on = asyncio.Event()

    async def __call__(self, batch: Any) -> None:
        await self.may_go_on.wait()


async def settled() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def test_while_running_from_another_thread() -> None:
    async def main() -> tuple[Metrics, Metrics]:
        clock, sink = ManualClock(), SlowSink()
        builder = Pipeline.builder().source(TestSource.from_frames(frames(20))).batch(rows=4).buffer(10)
        pipeline = builder.sink(Sink.to_fn(sink)).build(clock=clock)
        running = asyncio.create_task(pipeline.run())
        await settled()
        clock.set_ns(2_000_000_000)
        found: list[Metrics] = []
        thread = threading.Thread(target=lambda: found.append(pipeline.metrics()))
        thread.start()
        thread.join()
        sink.may_go_on.set()
        await running
        return found[0], pipeline.metrics()

    during, after = asyncio.run(main())
    assert during.running
    assert not after.running
    assert (during.queue_depth, after.queue_depth) == (10, 0)
    buffer = during.stages["buffer"]
    assert (buffer.queue_depth, buffer.queue_bytes, buffer.queue_capacity) == (10, 10 * 32, 10)
    # One batch is in the sink, and one in the hands of the stage that waits for room.
    assert (during.rows_in, during.rows_out) == (4 * 12, 0)
    assert (during.seconds, during.throughput) == (2.0, 24.0)
    assert after.rows_out == 80
    assert after.latency_p99_ms == pytest.approx(2_000, rel=0.01)


def test_latency_is_from_the_source_to_the_sink() -> None:
    async def main() -> Metrics:
        clock = ManualClock()

        async def slow(batch: Any) -> None:
            await clock.sleep(0.25)

        source = TestSource.from_frames([FRAME, Pause(1), FRAME], clock=clock)
        pipeline = Pipeline.builder().source(source).sink(Sink.to_fn(slow)).build(clock=clock)
        running = asyncio.create_task(pipeline.run())
        await clock.advance(2)
        await running
        return pipeline.metrics()

    metrics = asyncio.run(main())
    assert metrics.latency_p50_ms == metrics.latency_p99_ms == pytest.approx(250, rel=0.01)
    sink, read = metrics.stages["sink"], metrics.stages["source"]
    assert (sink.busy_seconds, sink.waiting_seconds) == (0, 0.5)
    assert (read.busy_seconds, read.waiting_seconds) == (0, 1)


def test_rows_that_no_batch_let_out_have_no_age() -> None:
    class Parting(Processor):
        async def process(self, batch: Any) -> Any:
            return None

        async def finish(self) -> Any:
            return FRAME

    source = Source.from_frame([], schema=FRAME.schema)
    pipeline = (
        Pipeline.builder().source(source).process(Parting()).sink(Sink.to_fn(lambda batch: None)).build()
    )
    pipeline.run_sync()
    sink = pipeline.metrics().stages["sink"]
    assert (sink.rows_in, dict(sink.batches), sink.latency.count) == (FRAME.height, {"write": 1}, 0)


def test_a_queue_before_a_blocking_sink_is_the_sinks() -> None:
    held, go_on = threading.Event(), threading.Event()

    class Holding(LedgerSink):
        def note(self, call: str) -> None:
            super().note(call)
            if call == "write":
                held.set()
                assert go_on.wait(60)

    pipeline = (
        Pipeline.builder().source(TestSource.from_frames(frames(9))).filter(pl.col("x") > 0)
        .sink(Holding(blocking=True)).build()
    )  # fmt: skip
    thread = threading.Thread(target=pipeline.run_sync)
    thread.start()
    assert held.wait(60)
    for _ in range(12_000):
        metrics = pipeline.metrics()
        if metrics.stages["sink"].queue_depth == 2:
            break
        threading.Event().wait(0.005)
    go_on.set()
    thread.join()
    assert (metrics.queue_depth, metrics.stages["sink"].queue_depth) == (2, 2)
    assert metrics.stages["sink"].queue_capacity == 2


def test_branches_unions_and_sinks_beside() -> None:
    late = TestSink()
    other = Pipeline.builder().source(TestSource.from_frames(frames(1)))
    way = pl.when(pl.col("x") > 2).then(pl.lit("high")).otherwise(pl.lit("low"))
    pipeline = (
        Pipeline.builder()
        .source(TestSource.from_frames(frames(2)))
        .merge(other)
        .split(way)
        .branch("high", lambda rows: rows.map(y=pl.lit(1)).sink(late))
        .branch("low", lambda rows: rows.buffer(7))
        .merge()
        .sink(Sink.fanout([TestSink(), TestSink().best_effort(5)]))
        .build()
    )
    pipeline.run_sync()
    metrics = pipeline.metrics()
    assert metrics.rows_in == 12
    assert metrics.queue_depth == 0
    capacities = {name: stage.queue_capacity for name, stage in metrics.stages.items()}
    assert 7 + 2 in capacities.values(), capacities
    # A row has a latency at each sink that it reaches, and six of them reach both sinks of the fan-out.
    assert (metrics.rows_out, metrics.latency.count) == (12, 18)


@pytest.mark.parametrize("blocking", [True, False])
def test_failures_are_counted_where_they_happen(blocking: bool) -> None:
    def pipeline(source: Any, sink: SinkSpec) -> Pipeline:
        step = pl.col("x").cast(pl.Int8)
        return Pipeline.builder().source(source).map(y=step).sink(sink).build()

    good, bad = pl.DataFrame({"x": [1]}), pl.DataFrame({"x": [1_000]})
    gone = OSError("gone")
    cases: dict[str, tuple[Any, SinkSpec]] = {
        "source": (
            BlockingSource(good.schema, [Batch(good), gone])
            if blocking
            else TestSource.from_frames([good, gone]),
            TestSink(),
        ),
        "with_columns": (TestSource.from_frames([good, bad]), TestSink()),
        "sink": (TestSource.from_frames([good]), LedgerSink(blocking, "write")),
    }
    for place, (source, sink) in cases.items():
        failing = pipeline(source, sink)
        with pytest.raises(ArrowstreamError):
            failing.run_sync()
        errors = {name: stage.errors for name, stage in failing.metrics().stages.items()}
        assert errors == {name: int(name == place) for name in errors}
        assert not failing.metrics().running


def test_rows_that_a_handler_left_out() -> None:
    frame = pl.DataFrame({"x": [1, 1_000, 2, 3]})
    pipeline = (
        Pipeline.builder().source(TestSource.from_frames([frame])).map(y=pl.col("x").cast(pl.Int8))
        .on_error(ErrorHandler.skip()).sink(TestSink()).build()
    )  # fmt: skip
    pipeline.run_sync()
    stage = pipeline.metrics().stages["with_columns"]
    assert (stage.rows_in, stage.rows_out, stage.failed_rows) == (4, 3, 1)
    assert stage.errors == 3  # the whole, its half, and the row
    assert stage.latency.count == 3


def test_watermarks() -> None:
    hour_ago = datetime.now() - timedelta(hours=1)
    mark = Watermark(int(hour_ago.timestamp() * 1e6))
    script = [FRAME, mark, FRAME]
    pipeline = (
        Pipeline.builder().source(TestSource.from_frames(script)).filter(pl.col("x") > 1).batch(rows=2)
        .sink(TestSink()).build()
    )  # fmt: skip
    pipeline.run_sync()
    for stage in pipeline.metrics().stages.values():
        assert stage.watermark_us == mark.time_us
        assert stage.watermark_lag_seconds == pytest.approx(3_600, abs=60)


def test_rows_made_anew_are_as_old_as_the_batch_that_let_them_out() -> None:
    async def main() -> Metrics:
        clock = ManualClock()

        def anew() -> ScriptedProcess:
            class Anew(ScriptedProcess):
                def process(self, batch: Batch) -> list[Batch]:
                    clock.set_ns(clock.now_ns() + 1_000_000)
                    return [Batch(batch.polars())]

                def finish(self) -> list[Batch]:
                    clock.set_ns(clock.now_ns() + 1_000_000)
                    return [Batch(FRAME)]

            return Anew()

        builder = Pipeline.builder().source(TestSource.from_frames(frames(1)))
        made = Builder(builder.graph.with_step(ScriptedOperator("anew", anew)))
        pipeline = made.sink(TestSink()).build(clock=clock)
        await pipeline.run()
        return pipeline.metrics()

    metrics = asyncio.run(main())
    assert metrics.latency.count == 8
    assert metrics.latency_p50_ms == pytest.approx(1, rel=0.01)
    assert metrics.latency_p99_ms == pytest.approx(2, rel=0.01)


def test_a_line_in_the_log_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        clock = ManualClock()
        source = TestSource.from_frames([FRAME, Pause(25), FRAME], clock=clock)
        pipeline = Pipeline.builder(name="p").source(source).sink(TestSink()).build(clock=clock)
        running = asyncio.create_task(pipeline.run())
        await clock.advance(30)
        await running

    with caplog.at_level(logging.INFO, logger="arrowstream.metrics"):
        asyncio.run(main())
    assert [record.getMessage().partition(", p50")[0] for record in caplog.records] == [
        "p: 4 rows in, 4 out in 10.00 s, 0 rows/s",
        "p: 4 rows in, 4 out in 20.00 s, 0 rows/s",
    ]


def test_a_pipeline_serves_its_metrics() -> None:
    pipeline = Pipeline.builder(name="p").source(TestSource.from_frames(frames(1))).sink(TestSink()).build()
    with pipeline.serve_metrics(port=0) as server:
        address = f"http://127.0.0.1:{server.port}/metrics"

        def scraped() -> str:
            with urllib.request.urlopen(address) as answer:
                return answer.read().decode()

        before = scraped()
        pipeline.run_sync()
        after = scraped()
    line = 'arrowstream_rows_out_total{pipeline="p",stage="sink"} 4.0'
    assert line not in before
    assert line in after


def test_a_pipeline_is_healthy_while_it_runs() -> None:
    async def main() -> list[int]:
        tx, rx = channel()
        out_tx, out_rx = channel()
        source = Source.from_channel(rx, schema=FRAME.schema)
        pipeline = Pipeline.builder().source(source).sink(Sink.to_channel(out_tx)).build()
        with pipeline.serve_metrics(port=0) as server:

            def health() -> int:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/healthz") as answer:
                        return int(answer.status)
                except urllib.error.HTTPError as refused:
                    with refused:
                        return refused.code

            found = [await asyncio.to_thread(health)]
            running = asyncio.create_task(pipeline.run())
            await tx.send(FRAME)
            await anext(out_rx)
            found.append(await asyncio.to_thread(health))
            tx.close()
            await running
            return [*found, await asyncio.to_thread(health)]

    assert asyncio.run(main()) == [503, 200, 503]
