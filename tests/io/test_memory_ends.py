"""Sources and sinks in memory: frames, channels, functions."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from epoch_rows import EpochRows
from pyarrow.dataset import dataset

from arrowstream import Builder, Pipeline, Sender, Sink, Source, channel
from arrowstream.errors import (
    ArrowstreamError,
    ChannelClosed,
    PeerGone,
    PlanError,
    SchemaError,
    SinkError,
    SourceError,
    StageError,
)
from arrowstream.io.memory.function_sink import CollectSink
from arrowstream.testing import TestSource

FRAME = pl.DataFrame({"x": [1, 2, 3], "s": ["a", None, "c"]})


def collect(source: Any) -> pl.DataFrame:
    return Pipeline.builder().source(source).collect_sync()


@pytest.mark.untraced
@pytest.mark.parametrize(
    "data",
    [
        FRAME,
        FRAME.to_arrow(),
        FRAME.to_arrow().to_batches()[0],
        FRAME.to_pandas(),
        [FRAME[:1], FRAME[1:].to_arrow()],
        (FRAME,),
        (frame for frame in (FRAME[:2], FRAME[2:])),
    ],
    ids=["polars", "table", "record", "pandas", "list", "tuple", "generator"],
)
@pytest.mark.parametrize("batch_rows", [1, 2, 100])
def test_frames(data: Any, batch_rows: int) -> None:
    if not isinstance(data, list | tuple | pl.DataFrame | pd.DataFrame | pa.Table | pa.RecordBatch):
        data = (frame for frame in (FRAME[:2], FRAME[2:]))  # a generator serves one test only
    assert collect(Source.from_frame(data, batch_rows=batch_rows)).equals(FRAME)


def test_large_frames_are_cut_without_copying() -> None:
    records: list[pa.RecordBatch] = []
    record = pa.RecordBatch.from_pydict({"x": pa.array(range(10))})
    source = Source.from_frame(record, batch_rows=4)
    Pipeline.builder().source(source).sink(Sink.to_fn(records.append)).build().run_sync()
    assert [part.num_rows for part in records] == [4, 4, 2]
    first = record["x"].buffers()[1].address
    assert {part["x"].buffers()[1].address for part in records} == {first}


@pytest.mark.parametrize(
    ("columns", "rows", "parts"),
    [
        (1, 600_000, [524_288, 75_712]),
        (4, 300_000, [262_144, 37_856]),
        (20, 150_000, [131_072, 18_928]),
        (20, 131_000, [131_000]),
    ],
)
@pytest.mark.parametrize("generated", [False, True])
def test_slices_of_large_frames_have_8_mib_and_at_least_131_072_rows(
    columns: int, rows: int, parts: list[int], generated: bool
) -> None:
    frame = pl.DataFrame({f"x{number}": np.zeros(rows) for number in range(columns)})
    found: list[int] = []
    source = Source.from_frame((part for part in [frame]) if generated else frame)
    Pipeline.builder().source(source).sink(
        Sink.to_fn(lambda part: found.append(part.num_rows))
    ).build().run_sync()
    assert found == parts


def test_a_generator_is_read_once_and_says_so() -> None:
    builder = Pipeline.builder().source(Source.from_frame(FRAME for _ in range(3)))
    assert builder.preview(1).height == 1
    with pytest.raises(PlanError, match="has been read already"):
        builder.collect_sync()

    class Again:
        def __iter__(self) -> Iterator[pl.DataFrame]:
            return iter([FRAME])

    again = Pipeline.builder().source(Source.from_frame(Again()))
    assert again.collect_sync().equals(again.collect_sync())


@pytest.mark.parametrize("dtype", ["int32", 32])
def test_declared_types_must_be_types(dtype: Any) -> None:
    for declare in (
        lambda schema: Source.from_file("x.csv", schema=schema),
        partial(Source.from_frame, FRAME),
    ):
        with pytest.raises(SchemaError, match="'t' has no type"):
            declare(schema={"t": dtype})


def test_a_declared_schema_widens_frames_at_once() -> None:
    widened = Source.from_frame(pl.DataFrame({"x": [1]}, schema={"x": pl.Int8}), schema={"x": pl.Int64})
    assert collect(widened).schema == {"x": pl.Int64}
    with pytest.raises(SchemaError, match="missing"):
        Source.from_frame(FRAME.select("s"), schema={"x": pl.Int64})


def test_declared_types_without_an_arrow_form_are_refused_at_once() -> None:
    with pytest.raises(SchemaError, match=r"(?s)no Arrow form.*x: Int128"):
        Source.from_frame(FRAME.select("x"), schema={"x": pl.Int128})


def test_frames_that_do_not_go_together_are_found_before_anything_runs() -> None:
    with pytest.raises(SchemaError, match="y: Int32 unexpected"):
        Source.from_frame([FRAME, FRAME.with_columns(y=1)])


def test_records_of_a_list_get_the_schema_of_the_first_also_where_only_metadata_differs() -> None:
    first = pa.RecordBatch.from_pydict({"x": [1], "s": pa.array(["a"], pa.large_string())})
    noted = pa.schema([pa.field("x", pa.int64(), metadata={"unit": "m"}), pa.field("s", pa.large_string())])
    others = [
        first,
        first.select(["s", "x"]),
        pa.RecordBatch.from_pydict({"x": pa.array([2], pa.int32()), "s": ["b"]}),
        pa.RecordBatch.from_arrays(first.columns, schema=noted),
        first.replace_schema_metadata({"by": "hand"}),
    ]
    records: list[pa.RecordBatch] = []
    sink = Sink.to_fn(lambda record: records.append(record))
    Pipeline.builder().source(Source.from_frame([first, *others])).sink(sink).build().run_sync()
    assert all(record.schema.equals(first.schema, check_metadata=True) for record in records)
    assert [record["x"].to_pylist() for record in records] == [[1], [1], [1], [2], [1], [1]]


@pytest.mark.parametrize("data", ["text", {"x": [1]}, 7, None])
def test_what_is_no_frame_is_refused(data: Any) -> None:
    with pytest.raises(SchemaError, match="not a frame"):
        Source.from_frame(data)


def test_no_frames_and_no_schema_is_an_empty_stream() -> None:
    assert collect(Source.from_frame([])).is_empty()
    declared = collect(Source.from_frame([], schema=FRAME.schema))
    assert declared.schema == FRAME.schema


def test_frames_without_columns_are_an_empty_stream() -> None:
    assert collect(Source.from_frame([pl.DataFrame(), pa.table({})])).shape == (0, 0)


def test_batch_rows_must_be_positive() -> None:
    with pytest.raises(PlanError, match="batch_rows"):
        Source.from_frame(FRAME, batch_rows=0)


@pytest.mark.parametrize("schema", [None, FRAME.schema])
def test_channels_in_and_out(schema: pl.Schema | None) -> None:
    async def main() -> list[pa.RecordBatch]:
        tx, rx = channel(capacity=1)
        out_tx, out_rx = channel(capacity=1)
        source = Source.from_channel(rx, schema=schema)
        pipeline = Pipeline.builder().source(source).sink(Sink.to_channel(out_tx)).build()
        async with asyncio.TaskGroup() as group:
            group.create_task(pipeline.run())

            async def feed() -> None:
                for frame in (FRAME[:1], FRAME[1:].to_arrow()):
                    await tx.send(frame)
                tx.close()

            group.create_task(feed())
            return [record async for record in out_rx]

    records = asyncio.run(main())
    assert pl.from_arrow(pa.Table.from_batches(records)).equals(FRAME)  # type: ignore[union-attr]


def test_any_async_iterable_is_a_channel() -> None:
    async def frames() -> AsyncIterator[pl.DataFrame]:
        yield FRAME[:1]
        yield FRAME[1:]

    assert collect(Source.from_channel(frames())).equals(FRAME)
    with pytest.raises(PlanError, match="not an async iterable"):
        Source.from_channel([FRAME])  # type: ignore[arg-type]


@pytest.mark.parametrize("fails", [False, True])
def test_a_run_that_ends_early_lets_go_of_the_producer(fails: bool) -> None:
    def refuse(batch: pa.RecordBatch) -> None:
        if fails:
            raise ValueError("no")

    async def main() -> None:
        tx, rx = channel(capacity=1)
        builder = Pipeline.builder().source(Source.from_channel(rx, schema=FRAME.schema))
        running = asyncio.create_task(builder.sink(Sink.to_fn(refuse)).build().run(limit=1))
        async with asyncio.timeout(60):
            with pytest.raises(PeerGone) as gone:
                while True:
                    await tx.send(FRAME)
        if fails:
            with pytest.raises(SinkError) as failed:
                await running
            assert gone.value.__cause__ is failed.value
            assert "ValueError: no" in str(gone.value)
        else:
            assert gone.value.__cause__ is None
            assert (await running).stopped == "limit"

    asyncio.run(main())


@pytest.mark.parametrize("how", ["the sink", "the first source", "an empty first source"])
def test_a_run_that_never_opens_a_source_lets_go_of_its_producer(how: str) -> None:
    async def first() -> AsyncIterator[pa.RecordBatch]:
        if how == "the first source":
            raise ValueError("broken")
        if how == "the sink":
            yield FRAME.to_arrow().to_batches()[0]

    async def main() -> None:
        tx, rx = channel(capacity=1)
        other = Pipeline.builder().source(Source.from_channel(rx, schema=FRAME.schema))
        builder = Pipeline.builder().source(Source.from_channel(first())).merge(other)
        sink = Sink.to_file("no/such/folder/out.parquet") if how == "the sink" else Sink.to_fn(print)
        expected = {"the sink": SinkError, "the first source": SourceError}.get(how, SchemaError)
        running = asyncio.create_task(builder.sink(sink).build().run())
        async with asyncio.timeout(60):
            with pytest.raises(PeerGone) as gone:
                while True:
                    await tx.send(FRAME)
        with pytest.raises(expected) as failed:
            await running
        assert gone.value.__cause__ is failed.value

    asyncio.run(main())


STARTS: dict[str, Callable[[Builder, Any], Coroutine[Any, Any, object]]] = {
    "collect": lambda steps, sink: steps.select("nothing").collect(),
    "build": lambda steps, sink: steps.select("nothing").sink(sink).build().run(),
    "build without a sink": lambda steps, sink: steps.build().run(),
    "build(settings)": lambda steps, sink: steps.sink(sink).build(settings="no").run(),  # type: ignore[arg-type]
    "run(limit)": lambda steps, sink: steps.sink(sink).build().run(limit=-1),
    "run(duration)": lambda steps, sink: steps.sink(sink).build().run(duration="soon"),
}


@pytest.mark.parametrize("how", STARTS)
def test_what_fails_before_a_run_begins_releases_both_neighbours(how: str) -> None:
    async def main() -> None:
        (tx, rx), (out, into) = channel(capacity=1), channel(capacity=1)
        steps = Pipeline.builder().source(Source.from_channel(rx, schema=FRAME.schema))
        sending = asyncio.create_task(_send_forever(tx))
        receiving = asyncio.ensure_future(anext(into))
        await asyncio.sleep(0)
        with pytest.raises(ArrowstreamError) as failed:
            await STARTS[how](steps, Sink.to_channel(out))
        async with asyncio.timeout(60):
            with pytest.raises(PeerGone) as gone:
                await sending
            assert gone.value.__cause__ is failed.value
            if how in ("build", "run(limit)", "run(duration)", "build(settings)"):
                with pytest.raises(PeerGone) as gone:
                    await receiving
                assert gone.value.__cause__ is failed.value
            else:
                receiving.cancel()

    asyncio.run(main())


async def _send_forever(tx: Sender[pl.DataFrame]) -> None:
    while True:
        await tx.send(FRAME)


def test_looking_at_a_wrong_pipeline_leaves_its_channels_open() -> None:
    tx, rx = channel(capacity=1)
    builder = Pipeline.builder().source(Source.from_channel(rx, schema=FRAME.schema)).select("nothing")
    for look in (builder.schema, builder.explain, builder.sink(Sink.to_fn(print)).explain):
        with pytest.raises(SchemaError):
            look()
    tx.send_nowait(FRAME)


def test_a_second_run_with_a_wrong_argument_leaves_the_first_one_alone() -> None:
    async def main() -> None:
        tx, rx = channel(capacity=1)
        source = Source.from_channel(rx, schema=FRAME.schema)
        pipeline = Pipeline.builder().source(source).sink(Sink.to_fn(lambda batch: None)).build()
        running = asyncio.create_task(pipeline.run())
        await tx.send(FRAME)
        await asyncio.sleep(0)
        with pytest.raises(PlanError):
            await pipeline.run(limit=-1)
        await tx.send(FRAME)
        tx.close()
        assert (await running).rows_in == 2 * FRAME.height

    asyncio.run(main())


@pytest.mark.parametrize("end", ["source", "sink"])
def test_a_second_run_over_a_used_channel_says_what_to_do(end: str) -> None:
    tx, rx = channel(capacity=4)
    steps = Pipeline.builder().source(
        Source.from_channel(rx) if end == "source" else Source.from_frame(FRAME)
    )
    pipeline = steps.sink(Sink.to_channel(tx) if end == "sink" else Sink.to_fn(lambda batch: None)).build()
    if end == "source":
        tx.send_nowait(FRAME)
        tx.close()
    pipeline.run_sync()
    with pytest.raises(ChannelClosed) as used:
        pipeline.run_sync()
    assert used.value.hint is not None and "make a channel() and a pipeline for each run" in used.value.hint
    assert used.value.stage == end


def test_a_run_that_ends_well_before_it_opens_a_source_lets_go_of_its_producer() -> None:
    async def main() -> None:
        tx, rx = channel(capacity=1)
        other = Pipeline.builder().source(Source.from_channel(rx, schema=FRAME.schema))

        async def undeclared() -> AsyncIterator[pl.DataFrame]:
            yield FRAME

        steps = Pipeline.builder().source(Source.from_fn(undeclared)).merge(other)
        await steps.sink(Sink.to_fn(lambda batch: None)).build().run(limit=0)
        with pytest.raises(PeerGone) as gone:
            await tx.send(FRAME)
        assert gone.value.__cause__ is None

    asyncio.run(main())


@pytest.mark.parametrize("how", ["a step", "another sink", "cancelled"])
def test_a_run_that_fails_gives_the_consumer_the_cause(how: str) -> None:
    def broken(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows and how == "a step":
            raise ValueError("broken")
        return batch

    def refuse(batch: pa.RecordBatch) -> None:
        if how == "another sink":
            raise ValueError("broken")

    async def main() -> None:
        tx, rx = channel(capacity=1)
        stream = asyncio.Event()

        async def source() -> AsyncIterator[pl.DataFrame]:
            yield FRAME
            await stream.wait()

        sink = Sink.fanout([Sink.to_channel(tx), Sink.to_fn(refuse)])
        steps = Pipeline.builder().source(Source.from_fn(source, FRAME.schema)).map(broken)
        running = asyncio.create_task(steps.sink(sink).build().run())
        if how == "cancelled":
            for _ in range(20):
                await asyncio.sleep(0)
            running.cancel()
        stream.set()
        async with asyncio.timeout(60):
            with pytest.raises(PeerGone) as gone:
                async for _ in rx:
                    pass
            with pytest.raises((StageError, asyncio.CancelledError)) as failed:
                await running
        assert type(gone.value.__cause__) is type(failed.value)

    asyncio.run(main())


def test_a_sink_that_is_lost_alone_gives_its_consumer_its_own_failure() -> None:
    async def main() -> None:
        tx, rx = channel(capacity=1)
        rx.close()
        sink = Sink.fanout([Sink.to_channel(tx).best_effort(), Sink.to_fn(lambda batch: None)])
        await Pipeline.builder().source(Source.from_frame(FRAME)).sink(sink).build().run()
        with pytest.raises(ChannelClosed):
            tx.send_nowait(FRAME)

    asyncio.run(main())


def test_a_channel_feeds_and_drains_a_run_on_another_thread() -> None:
    """Plain threads, an event loop of another thread, and the run's own: each waits for the others."""
    tx, rx = channel(capacity=1)
    out_tx, out_rx = channel(capacity=1)
    got: list[int] = []

    def produce() -> None:
        for number in range(50):
            tx.send_sync(pl.DataFrame({"x": [number]}), timeout=30)
        tx.close()

    async def consume() -> None:
        async for batch in out_rx:
            got.extend(batch["x"].to_pylist())

    threads = [threading.Thread(target=produce), threading.Thread(target=lambda: asyncio.run(consume()))]
    for thread in threads:
        thread.start()
    source = Source.from_channel(rx, schema={"x": pl.Int64})
    Pipeline.builder().source(source).sink(Sink.to_channel(out_tx)).build().run_sync()
    for thread in threads:
        thread.join(30)
    assert got == list(range(50))


def test_a_stream_of_the_users_own_that_was_never_opened_can_be_read_afterwards() -> None:
    async def rows() -> AsyncIterator[pl.DataFrame]:
        yield FRAME

    async def main() -> None:
        stream = rows()
        other = Pipeline.builder().source(Source.from_channel(stream, schema=FRAME.schema))
        failing = Pipeline.builder().source(
            TestSource.from_frames([ValueError("broken")], schema=FRAME.schema)
        )
        with pytest.raises((SinkError, SourceError)):
            await failing.merge(other).sink(Sink.to_file("no/such/folder/out.parquet")).build().run()
        assert [frame.height async for frame in stream] == [3]

    asyncio.run(main())


def test_the_users_own_stream_is_not_closed() -> None:
    closed: list[bool] = []

    class Stream:
        def __aiter__(self) -> "Stream":
            return self

        async def __anext__(self) -> pl.DataFrame:
            return FRAME

        async def aclose(self) -> None:
            closed.append(True)

    source = Source.from_channel(Stream(), schema=FRAME.schema)
    assert Pipeline.builder().source(source).collect_sync(limit=1).height == 1
    assert closed == []


def test_functions_give_batches_until_none() -> None:
    frames: list[Any] = [FRAME[:1], FRAME[1:], None]

    async def fetch() -> Any:
        return frames.pop(0)

    assert collect(Source.from_fn(fetch)).equals(FRAME)


def test_generator_functions_are_closed_when_the_run_stops_early() -> None:
    closed: list[bool] = []

    async def endless() -> AsyncIterator[pl.DataFrame]:
        try:
            while True:
                yield FRAME
        finally:
            closed.append(True)

    source = Source.from_fn(endless, schema=FRAME.schema)
    assert Pipeline.builder().source(source).collect_sync(limit=4).height == 4
    assert closed == [True]
    assert "endless" in source.label


@pytest.mark.parametrize("fn", [lambda: FRAME, FRAME])
def test_plain_functions_are_refused(fn: Any) -> None:
    with pytest.raises(PlanError, match="async function"):
        Source.from_fn(fn)


def test_a_function_that_gives_no_frame_is_named() -> None:
    async def fetch() -> Any:
        return {"x": 1}

    with pytest.raises(SchemaError, match=r"not a frame \(stage source\)"):
        collect(Source.from_fn(fetch))


def test_a_function_that_fails_is_named() -> None:
    async def fetch() -> Any:
        raise ConnectionError("gone")

    with pytest.raises(SourceError, match="ConnectionError: gone"):
        collect(Source.from_fn(fetch, schema=FRAME.schema))


def test_functions_as_sinks_may_be_plain_or_async() -> None:
    plain: list[int] = []
    waited: list[int] = []

    async def later(record: pa.RecordBatch) -> None:
        await asyncio.sleep(0)
        waited.append(record.num_rows)

    def now(record: pa.RecordBatch) -> int:
        plain.append(record.num_rows)
        return 0

    for fn in (now, later):
        Pipeline.builder().source(Source.from_frame(FRAME, batch_rows=2)).sink(
            Sink.to_fn(fn)
        ).build().run_sync()
    assert plain == waited == [2, 1]
    with pytest.raises(PlanError, match="to_fn needs a function"):
        Sink.to_fn("no function")  # type: ignore[arg-type]


def test_labels_and_guarantees_are_told() -> None:
    tx, rx = channel()
    sinks = [Sink.to_fn(print), Sink.to_channel(tx), CollectSink()]
    assert [sink.label for sink in sinks] == ["fn print", "channel", "memory"]
    assert all(sink.guarantee for sink in sinks)
    assert Source.from_channel(rx).label == "channel"
    assert Source.from_fn(partial(no_generator, None)).label == "fn no_generator"
    assert Sink.to_fn(partial(print, "rows:")).label == "fn print"
    assert Source.from_frame(FRAME).label == "frame"


def test_what_was_collected_before_a_failure_can_be_looked_at() -> None:
    sink = CollectSink()
    source = TestSource.from_frames([FRAME, ValueError("broken")])
    with pytest.raises(SourceError):
        Pipeline.builder().source(source).sink(sink).build().run_sync()
    assert sink.frame().equals(FRAME)


class Narwhal:
    """Stands for a frame of narwhals, which is not installed."""

    def __init__(self, native: Any) -> None:
        self._native = native

    def to_native(self) -> Any:
        return self._native


Narwhal.__module__ = "narwhals.dataframe"

NUMBERS = pl.DataFrame({"x": range(30_000), "s": [f"row {number}" for number in range(30_000)]})


def relation() -> Any:
    table = NUMBERS.to_arrow()
    return duckdb.connect().from_arrow(table)


LAZY: dict[str, Callable[[], Any]] = {
    "LazyFrame": lambda: NUMBERS.lazy().with_columns(pl.col("x") + 0),
    "Dataset": lambda: dataset(NUMBERS.to_arrow()),
    "Scanner": lambda: dataset(NUMBERS.to_arrow()).scanner(),
    "RecordBatchReader": lambda: NUMBERS.to_arrow().to_reader(),
    "relation": relation,
    "narwhals frame": lambda: Narwhal(NUMBERS),
    "narwhals LazyFrame": lambda: Narwhal(Narwhal(NUMBERS.lazy())),
}


@pytest.mark.parametrize("form", ["alone", "in a list", "in a generator", "in an iterable"])
@pytest.mark.parametrize("make", LAZY.values(), ids=LAZY)
def test_lazy_frames_are_read_while_the_pipeline_runs(make: Callable[[], Any], form: str) -> None:
    class Twice:
        def __iter__(self) -> Iterator[Any]:
            return iter([make(), NUMBERS, make()])

    data = {
        "alone": make,
        "in a list": lambda: [make(), NUMBERS, make()],
        "in a generator": lambda: (frame for frame in (make(), NUMBERS, make())),
        "in an iterable": Twice,
    }[form]()
    source = Source.from_frame(data, batch_rows=5_000)
    found = collect(source)
    expected = NUMBERS if form == "alone" else pl.concat([NUMBERS] * 3)
    assert found.sort("x").equals(expected.sort("x"))
    assert source.schema() == (NUMBERS.schema if form in ("alone", "in a list") else None)


@pytest.mark.parametrize("name", ["LazyFrame", "Dataset", "Scanner", "relation"])
def test_most_lazy_frames_can_be_read_again(name: str) -> None:
    steps = Pipeline.builder().source(Source.from_frame(LAZY[name]()))
    assert steps.preview(3).height == 3
    assert steps.collect_sync().height == NUMBERS.height


def test_a_reader_is_read_once_and_says_so() -> None:
    steps = Pipeline.builder().source(Source.from_frame(NUMBERS.to_arrow().to_reader()))
    assert steps.preview(3).height == 3
    with pytest.raises(PlanError, match="has been read already"):
        steps.collect_sync()


def test_a_lazy_frame_says_what_it_is_and_where_its_rows_are() -> None:
    source = Source.from_frame([NUMBERS.lazy(), NUMBERS, dataset(NUMBERS.to_arrow())])
    assert source.label == "frame (LazyFrame, InMemoryDataset)"

    def broken(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows and batch["x"][0].as_py() >= 20_000:
            raise ValueError("no")
        return batch

    lazy = Source.from_frame(NUMBERS.lazy(), batch_rows=10_000)
    with pytest.raises(StageError) as raised:
        Pipeline.builder().source(lazy).map(broken, schema=NUMBERS.schema).collect_sync()
    assert raised.value.position == "frame rows 20000-30000"


WRONG = pl.LazyFrame({"x": ["1"] * 200_000 + ["no number"]}).select(pl.col("x").str.to_integer())


@pytest.mark.parametrize(
    "form", [lambda frame: frame, lambda frame: iter([frame])], ids=["alone", "iterator"]
)
def test_a_lazy_frame_that_fails_fails_the_source(form: Callable[[Any], Any]) -> None:
    with pytest.raises(SourceError, match="no number") as raised:
        collect(Source.from_frame(form(WRONG), batch_rows=1_000))
    assert isinstance(raised.value.__cause__, pl.exceptions.PolarsError)


@pytest.mark.parametrize(
    "form", [lambda frame: frame, lambda frame: iter([frame])], ids=["alone", "iterator"]
)
def test_a_lazy_frame_is_not_computed_on_when_nobody_wants_the_rest(form: Callable[[Any], Any]) -> None:
    computed: list[int] = []

    def note(series: pl.Series) -> pl.Series:
        computed.append(len(series))
        return series

    lazy = NUMBERS.lazy().with_columns(
        pl.col("x").map_batches(note, return_dtype=pl.Int64, is_elementwise=True)
    )
    source = Source.from_frame(form(lazy), batch_rows=10_000)
    assert Pipeline.builder().source(source).preview(5)["x"].to_list() == [0, 1, 2, 3, 4]
    assert not [thread for thread in threading.enumerate() if thread.name == "arrowstream-lazy"]


def test_a_query_without_a_plan_is_refused_at_once() -> None:
    with pytest.raises(SchemaError, match="lazy frame cannot be named") as raised:
        Source.from_frame(NUMBERS.lazy().select("nowhere"))
    assert raised.value.found is not None and "nowhere" in raised.value.found


def test_frames_that_do_not_fit_together_are_refused_at_once() -> None:
    with pytest.raises(SchemaError, match="schema of its stream"):
        Source.from_frame([NUMBERS.lazy(), pl.LazyFrame({"x": ["text"], "s": ["a"]})])
    with pytest.raises(SchemaError, match="schema of its stream"):
        Source.from_frame(NUMBERS.lazy(), schema={"x": pl.String, "s": pl.String})
    wider = Source.from_frame(pl.LazyFrame({"x": pl.Series([1], dtype=pl.Int8)}), schema={"x": pl.Int64})
    assert collect(wider).schema == {"x": pl.Int64}


def test_none_in_an_iterable_is_no_frame_and_no_end() -> None:
    with pytest.raises(SchemaError, match="not a frame"):
        collect(Source.from_frame(iter([FRAME, None, FRAME])))


def test_a_function_that_gives_positions_goes_on_after_the_last_checkpoint(tmp_path: Path) -> None:
    calls: list[Any] = []
    upto = 4

    async def counted(resume: Any) -> AsyncIterator[Any]:
        calls.append(resume)
        for n in range(resume["next"] if resume else 0, upto):
            table = pa.concat_tables([pa.table({"n": [n]}), pa.table({"n": [-n]})])
            yield table, {"next": n + 1}
        yield pa.Table.from_batches([], pa.schema({"n": pa.int64()})), {"next": upto}

    def fail(written: int) -> None:
        if written >= 2 and upto == 8:
            raise OSError("the disk is full")

    sink = EpochRows(fail)
    source = Source.from_fn(counted, schema={"n": int}, resumable=True)
    pipeline = Pipeline.builder("counted").source(source).sink(sink).build()
    for size in (4, 8, 9):
        upto = size
        try:
            pipeline.run_sync(checkpoint=tmp_path / "state", every="1ms")
        except StageError as error:
            assert "the disk is full" in str(error)
    assert calls[:2] == [None, {"next": 4}]
    assert [n for (n,) in sink.rows] == [n for each in range(9) for n in (each, -each)]


async def no_generator(resume: Any) -> None: ...


async def no_position() -> AsyncIterator[Any]:
    yield FRAME


@pytest.mark.parametrize("fn", [no_generator, no_position])
def test_a_function_that_cannot_go_on_is_refused(fn: Any) -> None:
    with pytest.raises(PlanError, match=r"(?s)an async generator function that can continue.*found: no_"):
        Source.from_fn(fn, resumable=True)
    assert not Source.from_fn(fn).resumable


@pytest.mark.parametrize("item", [FRAME, (FRAME, {1, 2}), (FRAME,)])
def test_rows_without_a_position_are_refused(item: Any) -> None:
    async def fn(**options: Any) -> AsyncIterator[Any]:
        yield item

    with pytest.raises(SourceError, match="something else than rows and a position"):
        collect(Source.from_fn(fn, resumable=True))


def test_the_first_rows_with_a_position_give_the_schema() -> None:
    async def fn(resume: Any) -> AsyncIterator[Any]:
        yield FRAME, 1
        yield FRAME.select("x"), 2

    with pytest.raises(SchemaError):
        collect(Source.from_fn(fn, resumable=True))


def test_a_function_that_is_not_async_is_told_to_be():
    def frames():
        yield pl.DataFrame({"x": [1]})

    with pytest.raises(PlanError, match="from_fn needs an async function") as caught:
        Source.from_fn(frames)
    assert caught.value.hint == "write it as an `async def` function"
