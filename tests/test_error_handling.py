"""`on_error` from source to sink: expressions, opaque steps, steps that wait, and sinks."""

import asyncio
import logging
import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import BlockingSource, LedgerSink
from strategies import cuts

from arrowstream import Builder, ErrorHandler, Pipeline, Processor, Sink, Source
from arrowstream.core.batch import Batch
from arrowstream.core.position import Position
from arrowstream.errors import PlanError, SinkError, StageError
from arrowstream.io.sink import SinkSpec
from arrowstream.testing import ManualClock, TestSink

TEXTS = pl.DataFrame({"s": ["1", "a", "3", None, "b", "6"]})


def fails_on_odd(batch: Batch) -> None:
    if (odd := batch.polars().filter(pl.col("x") % 2 == 1)).height:
        raise ValueError(f"{odd['x'][0]} is odd")


def even(record: pa.RecordBatch) -> pa.RecordBatch:
    """Passes even numbers and fails on odd ones."""
    fails_on_odd(Batch(record))
    return record


def even_in_place(columns: Any) -> None:
    """The same, which has already written by the time it fails."""
    columns["x"][:] += 100
    if (columns["x"] % 2 == 1).any():
        raise ValueError("odd")
    columns["x"][:] -= 100


class Even(Processor):
    """The same, as a processor."""

    async def process(self, batch: pa.RecordBatch) -> Any:
        await asyncio.sleep(0)
        return even(batch)


STEPS: dict[str, Callable[[Builder], Builder]] = {
    # Half an odd number is "1.5", which is no integer.
    "expression": lambda rows: rows.map(
        half=(pl.col("x") / 2).cast(pl.String).str.strip_suffix(".0").cast(pl.Int64)
    ),
    "function": lambda rows: rows.map(even),
    "in place": lambda rows: rows.map_zero_copy(even_in_place),
    "processor": lambda rows: rows.process(Even),
    "parallel": lambda rows: rows.parallel_map(even, workers=3),
}
KINDS = (*STEPS, "sink", "blocking sink")


def even_pipeline(kind: str, source: Any, good: Any, *handlers: ErrorHandler) -> Pipeline:
    """Even numbers arrive; odd ones fail in a step or a sink of this kind."""
    builder = Pipeline.builder().source(source)
    if kind in STEPS:
        builder = STEPS[kind](builder)
    elif kind == "sink":

        async def write(batch: Any) -> None:
            await asyncio.sleep(0)
            good.batches.append(Batch(even(batch)))

        builder = builder.sink(Sink.to_fn(write))
    else:
        builder = builder.sink(_blocking(good))
    for handler in handlers:
        builder = builder.on_error(handler)
    return (builder.sink(good) if kind in STEPS else builder).build(clock=ManualClock())


def _blocking(good: TestSink) -> LedgerSink:
    sink = LedgerSink(blocking=True)
    opened = sink.open

    def open_(*args: Any) -> Any:
        writer = opened(*args)

        def write(batch: Batch) -> None:
            fails_on_odd(batch)
            good.batches.append(batch)

        writer.write = write
        return writer

    sink.open = open_  # type: ignore[method-assign]
    return sink


def numbered(frames: list[pl.DataFrame]) -> BlockingSource:
    batches, start = [], 0
    for frame in frames:
        batches.append(Batch(frame, Position("n.csv", start, start + frame.height)))
        start += frame.height
    return BlockingSource(frames[0].schema, batches)


@pytest.mark.once
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), values=st.lists(st.integers(0, 9), max_size=25))
def test_every_row_arrives_or_is_put_aside_once_and_in_order(
    kind: str, data: st.DataObject, values: list[int]
) -> None:
    frame = pl.DataFrame({"x": values}, schema={"x": pl.Int64})
    good, dead = TestSink(), TestSink()
    pipeline = even_pipeline(
        kind, numbered(data.draw(cuts(frame))), good, ErrorHandler.log(), ErrorHandler.dead_letter(dead)
    )
    logging.disable()
    try:
        report = pipeline.run_sync()
    finally:
        logging.disable(logging.NOTSET)
    good_rows, odd = (
        frame.filter(pl.col("x") % 2 == 0),
        frame.with_row_index("at").filter(pl.col("x") % 2 == 1),
    )
    assert [value for batch in good.batches for value in batch.polars()["x"]] == good_rows["x"].to_list()
    assert report.rows_out == good_rows.height
    letters = dead.frame() if dead.batches else pl.DataFrame({"x": [], "position": []})
    found = sorted(zip(letters["position"], letters["x"], strict=True))
    assert found == sorted((f"n.csv rows {at}-{at + 1}", x) for at, x in odd.rows())
    if kind != "parallel":  # those of batches at work together come as they are found
        assert letters["x"].to_list() == odd["x"].to_list()


@given(data=st.data(), texts=st.lists(st.sampled_from(["1", "2", "3", "a", None]), min_size=1, max_size=30))
def test_a_second_step_knows_the_places_of_what_the_first_one_left(
    data: st.DataObject, texts: list[str | None]
) -> None:
    frame = pl.DataFrame({"s": texts}, schema={"s": pl.String})
    good, first, second = TestSink(), TestSink(), TestSink()

    def no_threes(batch: pa.RecordBatch) -> pa.RecordBatch:
        if "3" in batch["s"].to_pylist():
            raise ValueError("a three")
        return batch

    batches = data.draw(cuts(frame))
    (
        Pipeline.builder()
        .source(numbered(batches))
        .map(n=pl.col("s").cast(pl.Int64))
        .on_error(ErrorHandler.dead_letter(first))
        .map(no_threes)
        .on_error(ErrorHandler.dead_letter(second))
        .sink(good)
        .build(clock=ManualClock())
        .run_sync()
    )
    for dead, bad in ((first, "a"), (second, "3")):
        expected = [f"n.csv rows {row}-{row + 1}" for row, text in enumerate(texts) if text == bad]
        assert [place for batch in dead.batches for place in batch.polars()["position"]] == expected
    left = [text for text in texts if text not in ("a", "3")]
    assert [text for batch in good.batches for text in batch.polars()["s"]] == left
    assert len(good.batches) <= len(batches)


def test_rows_that_were_left_out_and_added_before_are_not_taken_for_others() -> None:
    dead = TestSink()
    (
        Pipeline.builder()
        .source(numbered([pl.DataFrame({"x": [0, 2, 4, 5, 6, 8]})]))
        .filter(pl.col("x") > 4)
        .flat_map(lambda batch: [batch, batch])
        .flat_map(
            lambda batch: [pl.concat([pl.from_arrow(batch)] * 2)]
        )  # six rows again, but not those of before
        .map(even)
        .on_error(ErrorHandler.dead_letter(dead))
        .sink(TestSink())
        .build(clock=ManualClock())
        .run_sync()
    )
    letters = dead.frame()
    assert letters["x"].to_list() == [5, 5, 5, 5]
    assert set(letters["position"]) == {"n.csv rows 0-6"}


@pytest.mark.untraced
@pytest.mark.parametrize("kind", KINDS)
def test_without_handlers_the_first_failure_ends_the_run(kind: str) -> None:
    good = TestSink()
    source = numbered([pl.DataFrame({"x": [2, 4]}), pl.DataFrame({"x": [6, 7, 8]})])
    with pytest.raises(StageError) as caught:
        even_pipeline(kind, source, good).run_sync()
    assert caught.value.position == "n.csv rows 2-5"
    assert isinstance(caught.value, SinkError) == ("sink" in kind)


@pytest.mark.parametrize("kind", KINDS)
def test_after_a_log_a_failure_still_ends_the_run(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    source = numbered([pl.DataFrame({"x": [6, 7, 8]})])
    pipeline = even_pipeline(kind, source, TestSink(), ErrorHandler.log(), ErrorHandler.fail())
    with pytest.raises(StageError):
        pipeline.run_sync()
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("arrowstream", "ERROR")
    assert "3 of 3 rows failed and end the run; at n.csv rows 0-3" in record.getMessage()


@pytest.mark.parametrize("source", ["parquet", "csv", "frame"])
def test_a_step_with_handlers_is_not_pushed_into_the_read(source: str, tmp_path: Path) -> None:
    path = tmp_path / f"texts.{source}"
    if source == "parquet":
        TEXTS.write_parquet(path)
    elif source == "csv":
        TEXTS.write_csv(path)
    begin = Source.from_frame(TEXTS) if source == "frame" else Source.from_file(path)
    dead = tmp_path / "dead.parquet"
    result = (
        Pipeline.builder()
        .source(begin)
        .filter(pl.col("s") != "6")
        .cast({"s": pl.Int64})
        .on_error(ErrorHandler.dead_letter(Sink.to_file(dead)))
        .with_columns(y=pl.col("s") * 10)
        .collect_sync()
    )
    assert result.rows() == [(1, 10), (3, 30)]
    letters = pl.read_parquet(dead)
    assert letters.select("s", "stage").rows() == [("a", "cast"), ("b", "cast")]
    assert letters["error"].str.starts_with("InvalidOperationError: conversion from `str`").all()


def test_dead_letters_stay_invisible_if_the_run_fails(tmp_path: Path) -> None:
    dead = tmp_path / "dead.parquet"
    pipeline = (
        Pipeline.builder()
        .source(Source.from_frame(TEXTS))
        .cast({"s": pl.Int64})
        .on_error(ErrorHandler.dead_letter(Sink.to_file(dead)))
        .sink(LedgerSink(blocking=False, fail_in="prepare"))
        .build()
    )
    with pytest.raises(SinkError, match="no prepare today"):
        pipeline.run_sync()
    assert list(tmp_path.iterdir()) == []


def test_dead_letters_are_a_file_even_if_nothing_failed(tmp_path: Path) -> None:
    dead = tmp_path / "dead.parquet"
    Pipeline.builder().source(Source.from_frame(TEXTS[:1])).cast({"s": pl.Int64}).on_error(
        ErrorHandler.dead_letter(Sink.to_file(dead))
    ).sink(TestSink()).build().run_sync()
    assert pl.read_parquet(dead).schema == {
        "s": pl.String,
        "error": pl.String,
        "stage": pl.String,
        "position": pl.String,
    }


def two_casts(first: SinkSpec, second: SinkSpec, *, same_columns: bool = True) -> Builder:
    frame = pl.DataFrame({"s": ["1", "a", "3"], "t": ["b", "2", "3"]})
    return (
        Pipeline.builder()
        .source(Source.from_frame(frame))
        .cast({"s": pl.Int64})
        .named("numbers")
        .on_error(ErrorHandler.dead_letter(first))
        .cast({"s": pl.String if same_columns else pl.Int32})
        .cast({"t": pl.Int64})
        .named("times")
        .on_error(ErrorHandler.dead_letter(second))
    )


@pytest.mark.parametrize("name", ["bad/", "bad.parquet"])
def test_steps_whose_rows_have_the_same_columns_share_a_sink(name: str, tmp_path: Path) -> None:
    sink = Sink.to_file(f"{tmp_path}/{name}")
    assert two_casts(sink, sink).collect_sync().rows() == [("3", 3)]
    letters = pl.read_parquet(f"{tmp_path}/{name}")
    assert letters.select("s", "t", "stage").rows() == [("a", "2", "numbers"), ("1", "b", "times")]


def test_the_sinks_of_a_fan_out_share_their_dead_letters(tmp_path: Path) -> None:
    def refuse(batch: Any) -> None:
        raise ValueError("no")

    pipeline = (
        Pipeline.builder()
        .source(Source.from_frame(TEXTS))
        .sink(Sink.fanout([Sink.to_fn(refuse), Sink.to_fn(refuse)]))
        .on_error(ErrorHandler.dead_letter(Sink.to_file(tmp_path / "bad.parquet")))
        .build()
    )
    pipeline.run_sync()
    counts = pl.read_parquet(tmp_path / "bad.parquet")["stage"].value_counts()
    assert sorted(counts.rows()) == [("sink 1", 6), ("sink 2", 6)]


def texts() -> Builder:
    return Pipeline.builder().source(Source.from_frame(TEXTS))


CLASHES: dict[str, Callable[[Path, SinkSpec], Builder]] = {
    "dead letters of times": lambda path, sink: two_casts(sink, sink, same_columns=False),
    "sink 2": lambda path, sink: texts().sink(Sink.fanout([sink, sink])),
    "sink": lambda path, sink: two_casts(sink, TestSink()).sink(Sink.to_file(path).best_effort()),
    "dead letters of split/b/cast": lambda path, sink: (
        texts()
        .split(pl.col("s"))
        .branch("a", lambda rows: rows.sink(Sink.to_file(path)))
        .branch("b", lambda rows: rows.cast({"s": pl.Int64}).on_error(ErrorHandler.dead_letter(sink)))
        .merge()
    ),
    "dead letters of sink": lambda path, sink: (
        texts()
        .merge(texts().filter(pl.col("s") > "").on_error(ErrorHandler.dead_letter(sink)))
        .sink(TestSink())
        .on_error(ErrorHandler.dead_letter(Sink.to_file(path)))
    ),
}


@pytest.mark.parametrize("stage", CLASHES)
def test_sinks_that_would_overwrite_each_other_are_refused(stage: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.parquet"
    builder = CLASHES[stage](path, Sink.to_file(path))
    with pytest.raises(PlanError, match="two sinks write to the same place") as caught:
        (builder if builder.graph.sink is not None else builder.sink(TestSink())).build()
    assert caught.value.stage == stage
    assert str(path) in str(caught.value.found)


def test_late_rows_have_a_place_of_their_own(tmp_path: Path) -> None:
    sink = Sink.to_file(tmp_path / "late.parquet")
    frame = pl.DataFrame({"ts": [0, 5], "x": [1, 2]}, schema={"ts": pl.Datetime("us"), "x": pl.Int64})
    builder = (
        Pipeline.builder()
        .source(Source.from_frame(frame).with_event_time("ts"))
        .window(size="1s", on="ts", late=sink)
        .agg(n=pl.len())
    )
    builder.sink(TestSink()).build()
    with pytest.raises(PlanError, match=r"for late rows of .* and for sink"):
        builder.sink(sink).build()


def test_a_sink_for_dead_letters_takes_one_batch_at_a_time() -> None:
    writing, most, rows = 0, 0, 0

    async def write(batch: Any) -> None:
        nonlocal writing, most, rows
        writing += 1
        most = max(most, writing)
        for _ in range(5):
            await asyncio.sleep(0)
        writing -= 1
        rows += batch.num_rows

    def refuse(batch: Any) -> None:
        raise ValueError("no")

    source = Source.from_frame(pl.DataFrame({"x": range(20)}), batch_rows=2)
    fan = Sink.fanout([Sink.to_fn(refuse) for _ in range(4)])
    builder = Pipeline.builder().source(source).sink(fan)
    builder.on_error(ErrorHandler.dead_letter(Sink.to_fn(write))).build().run_sync()
    assert (rows, most) == (80, 1)


def test_dead_letters_that_cannot_be_written_end_the_run() -> None:
    dead = LedgerSink(blocking=True, fail_in="write")
    pipeline = (
        Pipeline.builder()
        .source(Source.from_frame(TEXTS))
        .cast({"s": pl.Int64})
        .on_error(ErrorHandler.dead_letter(dead))
        .sink(TestSink())
        .build()
    )
    with pytest.raises(SinkError, match="no write today") as caught:
        pipeline.run_sync()
    assert caught.value.stage == "dead letters of cast"
    assert dead.ledger.calls[-1] == "abort"


def test_retries_wait_on_the_pipelines_clock() -> None:
    tries: list[float] = []

    async def main() -> None:
        clock = ManualClock()

        def flaky(batch: Any) -> None:
            tries.append(clock.now_ns() / 1e9)
            if len(tries) < 3:
                raise OSError("not yet")

        pipeline = (
            Pipeline.builder()
            .source(Source.from_frame(TEXTS))
            .sink(Sink.to_fn(flaky))
            .on_error(ErrorHandler.retry(3, delay="10s", jitter=0))
            .build(clock=clock)
        )
        running = asyncio.create_task(pipeline.run())
        await clock.advance(9.9)
        assert tries == [0]
        await clock.advance(100)
        assert (await running).rows_out == 6

    asyncio.run(main())
    assert tries == [0, 10, 30]


def test_a_run_that_is_cancelled_while_it_waits_to_try_again_ends_at_once() -> None:
    async def main() -> None:
        clock, sink = ManualClock(), LedgerSink(blocking=False, fail_in="write")
        pipeline = (
            Pipeline.builder()
            .source(Source.from_frame(TEXTS))
            .sink(sink)
            .on_error(ErrorHandler.retry(3, delay="10s"))
            .build(clock=clock)
        )
        running = asyncio.create_task(pipeline.run())
        await clock.advance(1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert sink.ledger.calls == ["open", "write", "abort"]

    asyncio.run(main())


@pytest.mark.once
@pytest.mark.untraced
@pytest.mark.parametrize("seed", range(25))
def test_chaos(seed: int) -> None:
    """Steps and sinks that fail by chance, some rows always: in the end each row is where it belongs, once."""
    chance = random.Random(seed)
    rows = pl.DataFrame({"x": range(60), "s": [chance.choice(["1", "2", "bad"]) for _ in range(60)]})

    def flaky_step(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows and chance.random() < 0.4:
            raise ConnectionError("lost")
        return batch

    written: list[int] = []

    async def flaky(batch: Any) -> None:
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
        if chance.random() < 0.4:
            raise OSError("busy")
        values = batch["x"].to_pylist()
        if any(value % 10 == 7 for value in values):
            raise ValueError("sevens are refused")
        written.extend(values)

    again = ErrorHandler.retry(25, delay=0)
    not_numbers, refused = TestSink(), TestSink()
    pipeline = (
        Pipeline.builder()
        .source(Source.from_frame(rows, batch_rows=chance.randrange(1, 20)))
        .map(flaky_step)
        .on_error(again)
        .split(pl.col("x") % 2 == 0)
        .branch(
            "true", lambda even: even.cast({"s": pl.Int64}).on_error(ErrorHandler.dead_letter(not_numbers))
        )
        .branch("false", lambda odd: odd.filter(pl.col("s") != "bad").cast({"s": pl.Int64}).buffer(2))
        .merge()
        .sink(Sink.to_fn(flaky))
        .on_error(again)
        .on_error(ErrorHandler.dead_letter(refused, whole_batch=True))
        .build(clock=ManualClock())
    )
    pipeline.run_sync()
    even, bad = pl.col("x") % 2 == 0, pl.col("s") == "bad"
    letters = not_numbers.frame()["x"].to_list() if not_numbers.batches else []
    assert letters == rows.filter(even & bad)["x"].to_list()
    aside = refused.frame()["x"].to_list() if refused.batches else []
    assert Counter(written + aside) == Counter(rows.filter(~bad)["x"].to_list())
    assert not any(value % 10 == 7 for value in written)


def test_the_error_of_a_lone_row_tells_of_one_value() -> None:
    bad = TestSink()
    texts().cast({"s": pl.Int64}).on_error(ErrorHandler.dead_letter(bad)).backend("polars").collect_sync()
    assert all("1 out of 1 values" in error for error in bad.frame()["error"])


class Watch:
    """A clock that only writes move: no timer ever rings, and each write takes as long as it says."""

    now_s = 0.0

    def now_ns(self) -> int:
        return round(self.now_s * 1e9)

    async def sleep(self, seconds: float) -> None:
        if seconds:
            await asyncio.Event().wait()


@pytest.mark.parametrize("row_s", [0.00001, 0.005])
def test_rows_that_are_tried_alone_run_on_the_thread_of_the_loop_unless_they_are_slow(row_s: float) -> None:
    clock, dead, tries = Watch(), TestSink(), []

    def failing(record: pa.RecordBatch) -> pa.RecordBatch:
        if record.num_rows:
            clock.now_s += 0.005 if record.num_rows > 1 else row_s
            tries.append((record.num_rows, threading.current_thread() is threading.main_thread()))
            raise ValueError("no")
        return record

    pipeline = (
        Pipeline.builder()
        .source(Source.from_frame(pl.DataFrame({"x": range(64)})))
        .map(failing)
        .on_error(ErrorHandler.dead_letter(dead))
        .sink(TestSink())
        .build(clock=clock)
    )
    asyncio.run(pipeline.run())
    assert dead.frame()["x"].to_list() == list(range(64))
    assert [inline for rows, inline in tries if rows == 1][1:] == [row_s < 0.001] * 63


LATE: dict[str, Callable[[Builder, TestSink], Builder]] = {
    "retry": lambda rows, dead: rows.timeout("5s").on_error(ErrorHandler.retry(1, 0)),
    "skip": lambda rows, dead: rows.timeout("5s").on_error(ErrorHandler.skip()),
    "dead letter": lambda rows, dead: rows.timeout("5s").on_error(ErrorHandler.dead_letter(dead)),
    "left out": lambda rows, dead: rows.timeout("5s", on_timeout="skip"),
}


@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize("blocking", [True, False])
def test_what_a_sink_wrote_late_is_neither_written_twice_nor_told_to_be_missing(
    late: str, blocking: bool, caplog: pytest.LogCaptureFixture
) -> None:
    clock, dead, got = Watch(), TestSink(), []

    def write(record: pa.RecordBatch) -> None:
        clock.now_s += 9 if 3 in record["x"].to_pylist() else 1
        got.extend(record["x"].to_pylist())

    sink: SinkSpec = Sink.to_fn(write)
    if blocking:
        sink = LedgerSink(blocking=True)
        opened = sink.open

        def open_(*args: Any) -> Any:
            writer = opened(*args)
            writer.write = lambda batch: write(batch.arrow())
            return writer

        sink.open = open_  # type: ignore[method-assign]
    source = numbered([pl.DataFrame({"x": [row, row + 1]}) for row in (0, 2, 4)])
    report = LATE[late](Pipeline.builder().source(source).sink(sink), dead).build(clock=clock).run_sync()
    assert got == [0, 1, 2, 3, 4, 5]
    assert (report.rows_out, dead.batches) == (6, [])
    assert [message.split("; ")[1] for message in caplog.messages] == ["they are written all the same"]


def test_a_sink_that_is_late_ends_the_run_where_nobody_says_otherwise() -> None:
    clock = Watch()

    def write(record: pa.RecordBatch) -> None:
        clock.now_s += 9

    rows = Pipeline.builder().source(Source.from_frame(TEXTS)).sink(Sink.to_fn(write)).timeout("5s")
    with pytest.raises(StageError, match="a batch took too long"):
        rows.on_error(ErrorHandler.log()).build(clock=clock).run_sync()
