"""What the ancestor, a Rust crate, could do: a short test for every row of docs/seed.md, through the public API."""

import asyncio
import logging
import re
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from servers.embedded_kafka import EmbeddedKafka
from servers.processes import free_ports
from servers.topics import new_topic

from arrowstream import (
    Builder,
    ErrorHandler,
    Pipeline,
    Processor,
    Settings,
    Sink,
    Source,
    ZeroCopyBuffer,
    channel,
)
from arrowstream.errors import PlanError, SchemaError, StageError, StageTimeout
from arrowstream.gpu import GpuProcessor
from arrowstream.gpu.backend import GpuBackend
from arrowstream.gpu.presence import missing
from arrowstream.plan.lowering.lower import lower
from arrowstream.plan.segment import Segment
from arrowstream.testing import ManualClock, Pause, TestSink, TestSource

T = TypeVar("T")
NUMBERS = pl.DataFrame({"x": [1, 60, 3, 70]})
KEYED = NUMBERS.with_columns(k=pl.Series(["a", "b", "a", "b"]))


def begin(data: Any = NUMBERS, batch_rows: int = 2) -> Builder:
    return Pipeline.builder().source(Source.from_frame(data, batch_rows=batch_rows))


def played(
    builder: Builder, clock: ManualClock, *moves: Callable[[], Coroutine[Any, Any, T]], **options: Any
) -> tuple[Pipeline, list[T]]:
    """Run against a clock that only moves when told; gives what was seen after each move."""

    async def main() -> tuple[Pipeline, list[T]]:
        pipeline = builder.build(clock=clock, **options)
        running = asyncio.create_task(pipeline.run())
        seen = [await move() for move in moves]
        await running
        return pipeline, seen

    return asyncio.run(main())


async def turns(number: int = 200) -> None:
    """Let everything go as far as it can."""
    for _ in range(number):
        await asyncio.sleep(0)


# Features.


def test_zero_copy_operations() -> None:
    record = pa.RecordBatch.from_pydict({"x": pa.array(range(6), pa.int64())})
    sink = TestSink()
    begin(record, 6).batch(rows=2).sink(sink).build().run_sync()
    start = record["x"].buffers()[1].address
    addresses = [batch["x"].buffers()[1].address + batch["x"].offset * 8 for batch in sink.records()]
    assert addresses == [start, start + 16, start + 32]


def test_offloading_to_the_gpu() -> None:
    """Where a GPU is, the cost model knows it; elsewhere a pin says what is missing."""
    if (reason := missing()) is None:
        assert "gpu" in begin().filter(pl.col("x") > 50).explain()
    else:
        with pytest.raises(PlanError, match="the backend 'gpu' is not ready here") as raised:
            begin().filter(pl.col("x") > 50).backend("gpu").sink(TestSink()).build()
        assert raised.value.hint == reason


def test_back_pressure() -> None:
    read = 0

    async def endless() -> AsyncIterator[pl.DataFrame]:
        nonlocal read
        while True:
            read += 1
            yield NUMBERS

    async def main() -> None:
        go_on = asyncio.Event()

        async def slow(batch: pa.RecordBatch) -> None:
            await go_on.wait()

        builder = Pipeline.builder().source(Source.from_fn(endless, schema=NUMBERS.schema)).buffer(5)
        pipeline = builder.sink(Sink.to_fn(slow)).build()
        running = asyncio.create_task(pipeline.run())
        await turns()
        held = read
        await turns()
        assert held == read <= 10
        go_on.set()
        pipeline.stop()
        await running

    asyncio.run(main())


def test_composable_pipelines() -> None:
    def cleaned(builder: Builder) -> Builder:
        return builder.filter(pl.col("x") > 1)

    common = cleaned(begin())
    assert common.map(x=pl.col("x") + 1).collect_sync()["x"].to_list() == [61, 4, 71]
    assert sorted(common.merge(begin().filter(pl.col("x") == 1)).collect_sync()["x"]) == [1, 3, 60, 70]


def test_async_native() -> None:
    async def main() -> list[int]:
        tx, rx = channel(capacity=1)
        sink = TestSink()
        first = begin().sink(Sink.to_channel(tx)).build()
        second = Pipeline.builder().source(Source.from_channel(rx)).sink(sink).build()
        await asyncio.gather(second.run(), first.run())
        return sink.received()

    assert asyncio.run(main()) == [1, 60, 3, 70]


def test_types_are_checked_at_build() -> None:
    with pytest.raises(SchemaError, match=r"\by\b"):
        begin().filter(pl.col("y") > 1).sink(TestSink()).build()
    with pytest.raises((SchemaError, PlanError)):
        begin().map(y=pl.col("x").str.len_chars()).sink(TestSink()).build()


def test_fault_tolerance() -> None:
    failures = iter([True, False])

    def flaky(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows and next(failures, False):
            raise OSError("busy")
        return batch

    again = begin().map(flaky, schema=NUMBERS.schema).on_error(ErrorHandler.retry(1, delay=0))
    assert again.collect_sync().equals(NUMBERS)
    failures = iter([True])
    with pytest.raises(StageError, match="busy"):
        begin().map(flaky, schema=NUMBERS.schema).collect_sync()


def test_built_in_metrics() -> None:
    pipeline = begin().filter(pl.col("x") > 50).sink(TestSink()).build()
    pipeline.run_sync()
    metrics = pipeline.metrics()
    assert (metrics.rows_in, metrics.rows_out, metrics.errors) == (4, 2, 0)
    assert [stage.rows_in for stage in metrics.stages.values()] == [4, 4, 2]


# Pipelines, graphs, processors.


def test_basic_pipeline() -> None:
    async def main() -> list[int]:
        tx, rx = channel()
        out_tx, out_rx = channel()
        pipeline = (
            Pipeline.builder()
            .source(Source.from_channel(rx))
            .map(x=pl.col("x") * 2)
            .filter(pl.col("x") > 100)
            .sink(Sink.to_channel(out_tx))
            .build()
        )
        running = asyncio.create_task(pipeline.run())
        await tx.send(NUMBERS)
        tx.close()
        out = [batch["x"].to_pylist() async for batch in out_rx]
        await running
        return out[0]

    assert asyncio.run(main()) == [120, 140]


def test_splitter_and_merger() -> None:
    out = (
        begin()
        .split(pl.when(pl.col("x") > 50).then(pl.lit("high")).otherwise(pl.lit("low")))
        .branch("high", lambda rows: rows.map(x=-pl.col("x")).buffer(100))
        .branch("low", lambda rows: rows.map(x=pl.col("x") * 10).buffer(1000))
        .merge()
        .collect_sync()
    )
    assert sorted(out["x"]) == [-70, -60, 10, 30]


def test_custom_processor() -> None:
    class Labelled(Processor):
        def __init__(self, threshold: float) -> None:
            self.threshold = threshold

        def output_schema(self, schema: pl.Schema) -> pl.Schema:
            return pl.Schema({"label": pl.String})

        async def process(self, batch: pa.RecordBatch) -> Any:
            label = pl.when(pl.col("x") > self.threshold).then(pl.lit("High: ")).otherwise(pl.lit("Low: "))
            return pl.DataFrame(batch).select(label=label + pl.col("x").cast(pl.String))

    labels = begin().process(lambda: Labelled(50.0)).collect_sync()["label"].to_list()
    assert labels == ["Low: 1", "High: 60", "Low: 3", "High: 70"]


SCALE = """
extern "C" __global__ void process_kernel(const long long* x, double* half, long long n) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < n) half[i] = x[i] / 2.0;
}
"""


def gpu_processor() -> GpuProcessor:
    """A kernel, and the same for the CPU, which computes where no GPU is."""
    kernel = GpuProcessor(device=0).kernel(
        SCALE, "process_kernel", inputs=["x"], outputs={"half": pl.Float64}
    )
    return kernel.block_size(256).on_cpu(lambda frame: frame.select(half=pl.col("x") / 2))


def test_gpu_processor() -> None:
    found = begin().process_gpu(gpu_processor()).collect_sync()
    assert found.rows() == [(1, 0.5), (60, 30.0), (3, 1.5), (70, 35.0)]
    with pytest.raises(PlanError, match="32 threads in step"):
        gpu_processor().block_size(100)


def test_batching_for_the_gpu() -> None:
    rows = pl.DataFrame({"x": range(5_000)})
    sink = TestSink()
    begin(rows, batch_rows=10).batch(rows=2048).process_gpu(gpu_processor()).sink(sink).build().run_sync()
    assert [batch.num_rows for batch in sink.batches] == [2048, 2048, 904]
    assert sink.frame().equals(rows.with_columns(half=pl.col("x") / 2))


# Sources.


def test_source_channel() -> None:
    async def main() -> pl.DataFrame:
        tx, rx = channel()
        await tx.send(NUMBERS)
        tx.close()
        return await Pipeline.builder().source(Source.from_channel(rx)).collect()

    assert asyncio.run(main()).equals(NUMBERS)


def test_source_file_with_delimiter(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a;b\n1;2\n")
    source = Source.from_file(tmp_path / "data.csv").with_delimiter(";")
    assert Pipeline.builder().source(source).collect_sync().rows() == [(1, 2)]


def test_source_and_sink_tcp() -> None:
    async def main() -> pl.DataFrame:
        address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        source = Source.from_tcp("127.0.0.1:0", schema=NUMBERS.schema, clients=1)
        rows = Pipeline.builder().source(source.on_listening(address.set_result)).collect()
        arriving = asyncio.ensure_future(rows)
        await begin().sink(Sink.to_tcp(await address)).build().run()
        return await arriving

    assert asyncio.run(main()).equals(NUMBERS)


def test_source_and_sink_kafka(embedded_kafka: EmbeddedKafka) -> None:
    topic = new_topic(embedded_kafka.address)
    begin().sink(Sink.to_kafka(embedded_kafka.address, topic, idempotent=False)).build().run_sync()
    source = Source.from_kafka(
        embedded_kafka.address, topic, schema=NUMBERS.schema, start="earliest", stop_at_end=True
    )
    assert Pipeline.builder().source(source).collect_sync().equals(NUMBERS)


def test_source_function() -> None:
    frames = iter([NUMBERS, NUMBERS])

    async def fetch() -> pl.DataFrame | None:
        return next(frames, None)

    assert Pipeline.builder().source(Source.from_fn(fetch)).collect_sync().height == 8


# Sinks.


def test_sink_channel() -> None:
    async def main() -> list[int]:
        tx, rx = channel(capacity=4)
        await begin().sink(Sink.to_channel(tx)).build().run()
        return [batch.num_rows async for batch in rx]

    assert asyncio.run(main()) == [2, 2]


def test_sink_file_with_format(tmp_path: Path) -> None:
    begin().sink(Sink.to_file(tmp_path / "output.txt").with_format("json")).build().run_sync()
    assert pl.read_json(tmp_path / "output.txt").equals(NUMBERS)


def test_sink_database_with_batch_size(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    sink = Sink.to_database(f"sqlite:///{path}", "numbers").with_batch_size(3)
    begin().sink(sink).build().run_sync()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT x FROM numbers ORDER BY rowid").fetchall() == NUMBERS.rows()


def test_sink_fanout(tmp_path: Path) -> None:
    sinks = [TestSink(), TestSink(), Sink.to_file(tmp_path / "x.parquet")]
    begin().sink(Sink.fanout(sinks)).build().run_sync()
    for frame in (sinks[0].frame(), sinks[1].frame(), pl.read_parquet(tmp_path / "x.parquet")):
        assert frame.equals(NUMBERS)


# Operators: transformation.


def test_map() -> None:
    assert begin().map(x=pl.col("x") * 2).collect_sync()["x"].to_list() == [2, 120, 6, 140]

    def halved(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(pl.col("x") // 2)

    assert begin().map(halved, frame="polars").collect_sync()["x"].to_list() == [0, 30, 1, 35]


def test_flat_map() -> None:
    def twice(frame: pl.DataFrame) -> list[pl.DataFrame]:
        return [frame, frame]

    assert begin().flat_map(twice, frame="polars").collect_sync()["x"].to_list() == [
        1,
        60,
        1,
        60,
        3,
        70,
        3,
        70,
    ]
    lists = pl.DataFrame({"items": [[1, 2], [3]]})
    assert begin(lists).flat_map("items").collect_sync()["items"].to_list() == [1, 2, 3]


def test_filter() -> None:
    assert begin().filter(pl.col("x") > 50).collect_sync()["x"].to_list() == [60, 70]


def test_filter_map() -> None:
    out = begin().filter_map(pl.col("x") > 50, half=pl.col("x") / 2).collect_sync()
    assert out.rows() == [(60, 30.0), (70, 35.0)]


# Operators: aggregation.


def test_batch() -> None:
    sink = TestSink()
    begin(pl.DataFrame({"x": range(5000)}), 700).batch(rows=2048).sink(sink).build().run_sync()
    assert [record.num_rows for record in sink.records()] == [2048, 2048, 904]


def test_window_of_time() -> None:
    times = [datetime(2026, 1, 1, 0, 0, second) for second in (1, 4, 11, 12)]
    out = (
        begin(NUMBERS.with_columns(ts=pl.Series(times))).window(size="10s", on="ts").agg(n=pl.col("x").sum())
    )
    assert out.collect_sync()["n"].to_list() == [61, 73]


def test_window_of_rows() -> None:
    assert begin().window(rows=3).agg(n=pl.col("x").sum()).collect_sync()["n"].to_list() == [64, 70]


def test_reduce() -> None:
    totals = begin(KEYED).reduce(by="k", total=pl.col("x").sum())
    assert totals.collect_sync().rows() == [("a", 4), ("b", 130)]
    updates = begin(KEYED).reduce(by="k", total=pl.col("x").sum(), emit="updates")
    assert updates.collect_sync().rows() == [("a", 1), ("b", 60), ("a", 4), ("b", 130)]


def test_scan() -> None:
    out = begin(KEYED).scan(by="k", running=pl.col("x").cum_sum()).collect_sync()
    assert out["running"].to_list() == [1, 60, 4, 130]


# Operators: flow control.


def test_buffer() -> None:
    async def main() -> int:
        go_on = asyncio.Event()

        async def slow(batch: pa.RecordBatch) -> None:
            await go_on.wait()

        source = TestSource.from_list(list(range(300)), batch_rows=1)
        pipeline = Pipeline.builder().source(source).buffer(100).sink(Sink.to_fn(slow)).build()
        running = asyncio.create_task(pipeline.run())
        await turns(1_000)
        waiting = pipeline.metrics().queue_depth
        go_on.set()
        await running
        return waiting

    assert asyncio.run(main()) == 100


def test_throttle() -> None:
    clock, sink = ManualClock(), TestSink()

    async def after(seconds: float) -> int:
        await clock.advance(seconds)
        return len(sink.received())

    builder = begin(pl.DataFrame({"x": range(30)}), 30).throttle(rows=10, per="1s").sink(sink)
    _, seen = played(builder, clock, lambda: after(0), lambda: after(1), lambda: after(1))
    assert seen == [10, 20, 30]


def test_debounce() -> None:
    clock, sink = ManualClock(), TestSink()
    frames = [pl.DataFrame({"x": [number]}) for number in range(4)]
    # Three in a rapid run, then one alone.
    script = [frames[0], Pause(0.1), frames[1], Pause(0.1), frames[2], Pause(1), frames[3], Pause(1)]
    source = TestSource.from_frames(script, clock=clock)

    async def pass_time() -> None:
        for _ in range(30):
            await clock.advance(0.1)

    played(Pipeline.builder().source(source).debounce("200ms").sink(sink), clock, pass_time)
    assert sink.received() == [2, 3]


def test_timeout() -> None:
    clock = ManualClock()

    async def slow(batch: pa.RecordBatch) -> pa.RecordBatch:
        await clock.sleep(10)
        return batch

    builder = begin().map(slow, schema=NUMBERS.schema).timeout("5s").sink(TestSink())
    with pytest.raises(StageTimeout, match="took too long"):
        played(builder, clock, lambda: clock.advance(4), lambda: clock.advance(2))


# Memory and cores.


def test_zero_copy_buffer() -> None:
    buffer = ZeroCopyBuffer(32)
    values = buffer.array("int64", 4)
    values[:] = NUMBERS["x"].to_numpy()
    column = pa.Array.from_buffers(pa.int64(), 4, [None, buffer.arrow(0, 32)])
    assert column.buffers()[1].address == buffer.address

    def transform_in_place(columns: Any) -> None:
        np.multiply(columns["x"], 2, out=columns["x"])

    record = pa.RecordBatch.from_arrays([column], ["x"])
    out = begin(record, 4).map_zero_copy(transform_in_place).collect_sync()
    assert out["x"].to_list() == [2, 120, 6, 140]
    assert values.tolist() == [1, 60, 3, 70]


def test_parallel_map() -> None:
    together = threading.Barrier(2, timeout=60)

    def expensive(batch: pa.RecordBatch) -> pa.RecordBatch:
        together.wait()  # passes only if two are here at a time
        return batch

    out = begin().parallel_map(expensive, workers=2, schema=NUMBERS.schema).collect_sync()
    assert out.equals(NUMBERS)


# Metrics.


def test_metric_throughput() -> None:
    clock = ManualClock()
    source = TestSource.from_frames([NUMBERS, Pause(2), NUMBERS], clock=clock)
    pipeline, _ = played(Pipeline.builder().source(source).sink(TestSink()), clock, lambda: clock.advance(2))
    assert pipeline.metrics().throughput == 4.0


def test_metric_latency_p99() -> None:
    clock = ManualClock()

    async def slow(batch: pa.RecordBatch) -> None:
        await clock.sleep(0.25)

    pipeline, _ = played(begin(NUMBERS, 4).sink(Sink.to_fn(slow)), clock, lambda: clock.advance(0.25))
    assert pipeline.metrics().latency_p99_ms == pytest.approx(250, rel=0.01)


def test_metric_queue_depth() -> None:
    async def main() -> tuple[int, int]:
        go_on = asyncio.Event()

        async def slow(batch: pa.RecordBatch) -> None:
            await go_on.wait()

        source = TestSource.from_list(list(range(20)), batch_rows=1)
        pipeline = Pipeline.builder().source(source).buffer(7).sink(Sink.to_fn(slow)).build()
        running = asyncio.create_task(pipeline.run())
        await turns()
        before = pipeline.metrics().queue_depth
        go_on.set()
        await running
        return before, pipeline.metrics().queue_depth

    assert asyncio.run(main()) == (7, 0)


def test_metric_export_to_prometheus() -> None:
    pipeline = begin().sink(TestSink()).build()
    pipeline.run_sync()
    text = pipeline.metrics().export_prometheus()
    assert 'arrowstream_rows_in_total{pipeline="pipeline",stage="source"} 4.0' in text


# Errors.


def odd_fails(batch: pa.RecordBatch) -> pa.RecordBatch:
    if any(value % 2 for value in batch["x"].to_pylist()):
        raise ValueError("odd")
    return batch


def test_retry_log_skip(caplog: pytest.LogCaptureFixture) -> None:
    tries: list[int] = []

    def counted(batch: pa.RecordBatch) -> pa.RecordBatch:
        tries.append(batch.num_rows)
        return odd_fails(batch)

    builder = (
        begin(NUMBERS, 4)
        .map(counted, schema=NUMBERS.schema)
        .on_error(ErrorHandler.retry(3, delay=0))
        .on_error(ErrorHandler.log())
        .on_error(ErrorHandler.skip())
    )
    with caplog.at_level(logging.WARNING, logger="arrowstream"):
        assert builder.collect_sync()["x"].to_list() == [60, 70]
    assert tries[:4] == [4, 4, 4, 4]
    (message,) = [record.getMessage() for record in caplog.records]
    assert "2 of 4 rows failed and are left out" in message


def test_error_retry() -> None:
    waits: list[float] = []
    clock = ManualClock()

    def busy(batch: pa.RecordBatch) -> pa.RecordBatch:
        waits.append(clock.now_ns() / 1e9)
        if len(waits) < 3:
            raise OSError("busy")
        return batch

    handler = ErrorHandler.retry(3, delay="100ms", jitter=0)
    builder = begin(NUMBERS, 4).map(busy, schema=NUMBERS.schema).on_error(handler).sink(sink := TestSink())
    played(builder, clock, lambda: clock.advance(1))
    assert waits == pytest.approx([0, 0.1, 0.3])
    assert sink.received() == [1, 60, 3, 70]


def test_error_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, logger="arrowstream"), pytest.raises(StageError, match="odd"):
        begin().map(odd_fails, schema=NUMBERS.schema).on_error(ErrorHandler.log()).collect_sync()
    assert "map" in caplog.records[0].getMessage()


def test_error_skip() -> None:
    builder = begin().map(odd_fails, schema=NUMBERS.schema).on_error(ErrorHandler.skip())
    assert builder.collect_sync()["x"].to_list() == [60, 70]


# The test kit.


def test_test_source_and_sink() -> None:
    async def main() -> list[int]:
        source, sink = TestSource.from_list([1, 2, 3, 4, 5]), TestSink()
        await Pipeline.builder().source(source).map(value=pl.col("value") * 2).sink(sink).build().run()
        return sink.received()

    assert asyncio.run(main()) == [2, 4, 6, 8, 10]


# Settings.

FILE = """
[streaming]
default_buffer_size = 1000
max_buffer_size = 10000
gpu_batch_size = 2048
gpu_memory_pool_mb = 1024
max_retries = 3
retry_delay_ms = 100
metrics_interval_secs = 10
export_prometheus = true
"""


def loaded(tmp_path: Path, line: str, **arguments: Any) -> Settings:
    """Settings of a file in which this line takes the place of its key's; arguments win over the file."""
    key = line.partition(" ")[0]
    path = tmp_path / "arrowstream.toml"
    path.write_text(re.sub(rf"^{key} = .*$", line, FILE, flags=re.MULTILINE))
    return Settings.load(path, environ={}, **arguments)


def quiet(tmp_path: Path, line: str) -> Settings:
    """The same, but for the metrics, which are not served: tests beside this one would want the same port."""
    return loaded(tmp_path, line, export_prometheus=False)


def test_settings_file(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "max_retries = 3")
    keys = re.findall(r"^(\w+) = ", FILE, re.MULTILINE)
    assert {key: getattr(settings, key) for key in keys} == {
        "default_buffer_size": 1000,
        "max_buffer_size": 10000,
        "gpu_batch_size": 2048,
        "gpu_memory_pool_mb": 1024,
        "max_retries": 3,
        "retry_delay_ms": 100,
        "metrics_interval_secs": 10.0,
        "export_prometheus": True,
    }


def test_setting_default_buffer_size(tmp_path: Path) -> None:
    async def main() -> int:
        go_on = asyncio.Event()

        async def slow(batch: pa.RecordBatch) -> None:
            await go_on.wait()

        source = TestSource.from_list(list(range(50)), batch_rows=1)
        rows = Pipeline.builder().source(source).batch(rows=1).batch(rows=1)
        settings = quiet(tmp_path, "default_buffer_size = 9")
        pipeline = rows.sink(Sink.to_fn(slow)).build(clock=ManualClock(), settings=settings)
        running = asyncio.create_task(pipeline.run())
        await turns()
        waiting = pipeline.metrics().queue_depth
        go_on.set()
        await running
        return waiting

    assert asyncio.run(main()) == 9


def test_setting_max_buffer_size(tmp_path: Path) -> None:
    settings = quiet(tmp_path, "max_buffer_size = 1500")
    begin().buffer(1500).sink(TestSink()).build(settings=settings)
    with pytest.raises(PlanError, match="at most 1500 batches"):
        begin().buffer(1501).sink(TestSink()).build(settings=settings)


def gpu(settings: Settings) -> GpuBackend:
    """The GPU backend of a pipeline with these settings, whose device is never opened."""
    return GpuBackend(lambda: pytest.fail("it was opened")).with_settings(settings)


def test_setting_gpu_batch_size(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "gpu_batch_size = 4096")
    assert settings.gpu_batch_size == gpu(settings).least_rows == 4096


def test_setting_gpu_memory_pool_mb(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "gpu_memory_pool_mb = 0")
    assert settings.gpu_memory_pool_mb == 0
    step = begin().filter(pl.col("x") > 50).graph.steps[0].operator
    segment = Segment((step,), NUMBERS.schema, NUMBERS.schema)
    assert "gpu_memory_pool_mb is 0" in str(gpu(settings).prepare(segment, lower(segment)))


def tries_of(settings: Settings) -> list[float]:
    """When a step that always fails is tried, with a bare `retry()`."""
    clock = ManualClock()
    tries: list[float] = []

    def fails(batch: pa.RecordBatch) -> pa.RecordBatch:
        tries.append(clock.now_ns() / 1e9)
        raise OSError("busy")

    builder = begin(NUMBERS, 4).map(fails, schema=NUMBERS.schema).on_error(ErrorHandler.retry(jitter=0))
    with pytest.raises(StageError):
        played(builder.sink(TestSink()), clock, lambda: clock.advance(10), settings=settings)
    return tries


def test_setting_max_retries(tmp_path: Path) -> None:
    assert len(tries_of(quiet(tmp_path, "max_retries = 2"))) == 3


def test_setting_retry_delay_ms(tmp_path: Path) -> None:
    assert tries_of(quiet(tmp_path, "retry_delay_ms = 500"))[:2] == [0, 0.5]


def test_setting_metrics_interval_secs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    settings = quiet(tmp_path, "metrics_interval_secs = 6")
    source = TestSource.from_frames([NUMBERS, Pause(25), NUMBERS], clock=clock)
    with caplog.at_level(logging.INFO, logger="arrowstream.metrics"):
        played(
            Pipeline.builder().source(source).sink(TestSink()),
            clock,
            lambda: clock.advance(30),
            settings=settings,
        )
    assert len(caplog.records) == 4


def test_setting_export_prometheus(tmp_path: Path) -> None:
    from urllib.request import urlopen

    [port] = free_ports(1)
    settings = loaded(tmp_path, "export_prometheus = true", prometheus_port=port)
    seen: list[str] = []

    def look(batch: pa.RecordBatch) -> None:
        with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            seen.append(answer.read().decode())

    begin(NUMBERS, 4).sink(Sink.to_fn(look)).build(settings=settings).run_sync()
    assert "arrowstream_rows_in_total" in seen[0]
