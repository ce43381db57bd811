"""Loops over a builder: every batch, bounded memory, the run's end when the loop is left, errors as they are."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from arrowstream import Builder, ErrorHandler, Pipeline, Sink, Source, channel
from arrowstream.errors import PeerGone, PlanError, SchemaError, StageError, StageTimeout
from arrowstream.testing import TestSource

pytestmark = pytest.mark.once

FRAMES = [pl.DataFrame({"x": [number]}) for number in range(50)]


def counted(made: list[int], closed: list[str]) -> Source:
    async def endless() -> AsyncIterator[pl.DataFrame]:
        try:
            while True:
                made.append(len(made))
                yield pl.DataFrame({"x": [made[-1]]})
                await asyncio.sleep(0)
        finally:
            closed.append("source")

    return Source.from_fn(endless, schema={"x": pl.Int64})  # type: ignore[return-value]


def rows(source: object) -> Builder:
    return Pipeline.builder().source(source)  # type: ignore[arg-type]


async def values(builder: Builder) -> list[int]:
    return [value async for batch in builder for value in batch["x"].to_pylist()]


def test_every_batch_comes_out_in_order() -> None:
    builder = rows(Source.from_frame(FRAMES)).with_columns(pl.col("x") * 2)
    expected = [2 * number for number in range(50)]
    assert [value for batch in builder for value in batch["x"].to_pylist()] == expected
    assert asyncio.run(values(builder)) == expected


def test_the_time_of_the_loop_counts_for_no_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    ahead, counter, monotonic = 0, time.perf_counter_ns, time.monotonic
    monkeypatch.setattr(time, "perf_counter_ns", lambda: counter() + ahead * 1_000_000_000)
    monkeypatch.setattr(asyncio.BaseEventLoop, "time", lambda loop: monotonic() + ahead)

    async def waiting(frame: pl.DataFrame) -> pl.DataFrame:
        await asyncio.sleep(0.01)
        return frame

    def working(frame: pl.DataFrame) -> pl.DataFrame:
        time.sleep(0.01)
        return frame

    source = rows(Source.from_frame(FRAMES[:6]))
    schema = {"x": pl.Int64}
    steps = source.parallel_map(waiting, frame="polars", schema=schema).timeout("60s")
    steps = steps.parallel_map(working, frame="polars", schema=schema).timeout("60s")
    steps = steps.map(working, frame="polars", schema=schema).timeout("60s")
    seen: list[int] = []
    for batch in steps:
        ahead += 100
        seen += batch["x"].to_pylist()
    assert seen == list(range(6))


def test_a_time_limit_holds_while_the_loop_waits() -> None:
    async def slow(frame: pl.DataFrame) -> pl.DataFrame:
        await asyncio.sleep(0 if frame["x"][0] < 2 else 100)
        return frame

    steps = rows(Source.from_frame(FRAMES)).parallel_map(slow, frame="polars", schema={"x": pl.Int64})
    with pytest.raises(StageTimeout):
        for _ in steps.timeout("50ms"):
            time.sleep(0.06)


def test_an_empty_stream_has_no_batch() -> None:
    empty = rows(TestSource.from_frames([], schema={"x": pl.Int64}))
    assert list(empty) == [] and asyncio.run(values(empty)) == []


def test_the_run_is_bounded_by_the_loop_and_ends_with_it() -> None:
    made: list[int] = []
    closed: list[str] = []
    for batch in rows(counted(made, closed)):
        if batch["x"][0].as_py() == 20:
            assert not closed
            break
    assert closed == ["source"] and len(made) < 35


def test_leaving_an_async_loop_ends_the_run() -> None:
    made: list[int] = []
    closed: list[str] = []

    async def main() -> None:
        async with aclosing(aiter(rows(counted(made, closed)))) as batches:
            async for batch in batches:
                if batch["x"][0].as_py() == 20:
                    await asyncio.sleep(0.01)
                    break
        assert closed == ["source"] and len(made) < 35
        async for _ in rows(counted(made, closed)):
            break
        for _ in range(1_000_000):
            if len(closed) == 2:
                break
            await asyncio.sleep(0)
        assert closed == ["source", "source"]

    asyncio.run(main())


def test_an_error_in_the_loop_ends_the_run_and_other_sinks_commit(tmp_path: Path) -> None:
    file = tmp_path / "even.csv"
    builder = (
        rows(Source.from_frame(FRAMES))
        .split(pl.col("x") % 2)
        .branch("0", lambda even: even.sink(Sink.to_file(file)))
        .branch("1")
        .merge()
    )
    with pytest.raises(ZeroDivisionError):
        for batch in builder:
            batch["x"][0].as_py() // 0
    assert pl.read_csv(file)["x"].to_list()[:1] == [0]


def test_errors_come_out_as_they_are() -> None:
    def broken(frame: pl.DataFrame) -> pl.DataFrame:
        if 3 in frame["x"]:
            raise ValueError("no three")
        return frame

    builder = rows(Source.from_frame(FRAMES)).map(broken, frame="polars", schema={"x": pl.Int64})
    seen: list[int] = []
    with pytest.raises(StageError, match="no three") as raised:
        for batch in builder:
            seen += batch["x"].to_pylist()
    assert type(raised.value.__cause__) is ValueError and seen == [0, 1, 2]
    with pytest.raises(StageError, match="no three"):
        asyncio.run(values(builder))
    with pytest.raises(SchemaError):
        iter(rows(Source.from_frame(FRAMES)).select("y")).__next__()


def test_an_error_while_stopping_is_raised() -> None:
    async def endless() -> AsyncIterator[pl.DataFrame]:
        try:
            while True:
                yield FRAMES[0]
                await asyncio.sleep(0)
        finally:
            raise ValueError("cannot close")

    stream = iter(rows(Source.from_fn(endless, schema={"x": pl.Int64})))
    next(stream)
    with pytest.raises(StageError, match="cannot close"):
        stream.close()  # type: ignore[attr-defined]


def test_a_cancelled_loop_cancels_the_run() -> None:
    async def main() -> None:
        tx, rx = channel(1)
        looping = asyncio.create_task(values(rows(Source.from_channel(rx, schema={"x": pl.Int64}))))
        for _ in range(2):  # there is room for the second one once the first is taken
            await tx.send(FRAMES[0])
        looping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looping
        with pytest.raises(PeerGone):
            await tx.send(FRAMES[0])

    asyncio.run(main())


def test_a_loop_that_is_cancelled_while_its_run_stops_cancels_the_run() -> None:
    closed: list[str] = []

    async def unfinished(frame: pl.DataFrame) -> pl.DataFrame:
        try:
            await asyncio.sleep(0 if frame["x"][0] == 0 else 100)
        finally:
            closed.append("step")
        return frame

    async def main() -> None:
        steps = rows(Source.from_frame(FRAMES)).parallel_map(
            unfinished, frame="polars", schema={"x": pl.Int64}
        )
        batches = aiter(steps)
        await anext(batches)
        leaving = asyncio.create_task(batches.aclose())
        await asyncio.sleep(0.01)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert len(closed) > 1 and asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_an_error_that_is_thrown_in_cancels_the_run() -> None:
    made: list[int] = []
    closed: list[str] = []

    async def main() -> None:
        batches = aiter(rows(counted(made, closed)))
        await anext(batches)
        with pytest.raises(ValueError, match="thrown"):
            await batches.athrow(ValueError("thrown"))
        assert closed == ["source"] and asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_a_plain_loop_in_an_event_loop_says_what_to_write() -> None:
    async def main() -> None:
        with pytest.raises(PlanError, match="would block the event loop") as raised:
            for _ in rows(Source.from_frame(FRAMES)):
                pass
        assert raised.value.expected == "async for batch in builder"

    asyncio.run(main())


@pytest.mark.parametrize("way", ["close", "next", "collected"])
def test_a_plain_loop_that_is_left_inside_an_event_loop_ends_the_run(way: str) -> None:
    made: list[int] = []
    closed: list[str] = []
    items = iter(rows(counted(made, closed)))
    assert next(items)["x"].to_pylist() == [0]

    async def main() -> None:
        nonlocal items
        if way == "close":
            items.close()  # type: ignore[attr-defined]
        elif way == "next":
            with pytest.raises(PlanError, match="would block the event loop"):
                next(items)
        else:
            del items
        assert closed == ["source"]

    asyncio.run(main())


def only_first(batch: pa.RecordBatch) -> pa.RecordBatch:
    if batch["x"][0].as_py() > 1:
        raise ValueError("not the first")
    return batch


def test_losses_are_logged_where_no_report_is_returned(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    frame = pl.DataFrame({"ts": [0, 60_000_000, 1, 2], "x": [1, 2, 3, 4]}).with_columns(
        pl.col("ts").cast(pl.Datetime("us"))
    )
    source = Source.from_frame(frame, batch_rows=1).with_event_time("ts")
    builder = rows(source).window("10s", on="ts").agg(n=pl.len())
    for run in (builder.collect_sync, lambda: list(builder), builder.preview):
        caplog.clear()
        run()
        assert caplog.messages == ["pipeline pipeline: lost: 2 rows came late to window"]
    caplog.clear()
    rows(source).collect_sync()
    rows(source).map(only_first, schema=frame.schema).on_error(ErrorHandler.skip()).collect_sync()
    assert not caplog.messages
    file = tmp_path / "x.ndjson"
    file.write_text('{"x":1}\n' * 10_000 + '{"x":1,"late":2}\n')
    assert rows(Source.from_file(file)).collect_sync().height == 10_001
    (message,) = caplog.messages
    assert "late" in message
