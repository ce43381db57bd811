"""Windows while a source is silent: silence closes them only where asked for; a later mark closes them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import polars as pl
import pytest
from contexts import context

from arrowstream import Builder, Pipeline, Source
from arrowstream.core.batch import Batch, Idle, Watermark
from arrowstream.operators.base import Operator, Process, TimedProcess
from arrowstream.operators.window import windows
from arrowstream.operators.with_event_time import Watermarks
from arrowstream.testing import ManualClock, Pause, TestSink, TestSource

ROWS = pl.DataFrame({"at": [1, 2_000_000], "x": [1, 2]})


@pytest.mark.parametrize("kind", ["size", "session"])
def test_silence_closes_no_window(kind: str) -> None:
    options: dict[str, Any] = {kind: "10s"}
    made: Operator = windows(lambda operator: operator, on="at", **options).agg(pl.col("x").sum())
    process = made.start(ROWS.schema, context())
    assert isinstance(process, Process)
    assert list(process.process(Batch(ROWS))) == []
    assert [type(element) for element in process.on_idle()] == [Idle]
    found = list(process.on_watermark(60_000_000))
    assert [element.polars()["x"].to_list() for element in found if isinstance(element, Batch)] == [[3]]
    assert isinstance(found[-1], Watermark)


SECOND = 1_000_000


def test_each_stretch_of_silence_moves_event_time_by_as_much_if_asked_for() -> None:
    process = Watermarks("at", 2, 10_000, advance_when_idle=True).start(ROWS.schema, context())
    assert isinstance(process, TimedProcess)
    process.on_waiting(0)
    assert list(process.on_timer(10_000)) == [Idle()]  # without a row there is no time to add to
    process.on_waiting(10_000)
    process.set_time(15_000)
    list(process.process(Batch(pl.DataFrame({"at": [100], "x": [1]}))))
    process.on_waiting(15_000)
    assert process.deadline_ns == 25_000
    assert list(process.on_timer(25_000)) == [Watermark(108), Idle()]
    process.on_waiting(26_000)
    assert process.deadline_ns == 36_000
    assert list(process.on_timer(36_000)) == [Watermark(118), Idle()]
    process.set_time(37_000)
    earlier, later = (Batch(pl.DataFrame({"at": [time], "x": [1]})) for time in (119, 121))
    assert list(process.process(earlier)) == [earlier]  # event time never goes back
    assert list(process.process(later)) == [later, Watermark(119)]


def quiet_after(clock: ManualClock, *times: int, **options: Any) -> Builder:
    """Rows at these seconds, and then silence for two minutes."""
    rows = [pl.DataFrame({"at": [time * SECOND]}) for time in times]
    source = TestSource.from_frames([*rows, Pause(120)], schema={"at": pl.Int64}, clock=clock)
    return Pipeline.builder(str(times[0])).source(source.with_event_time("at", **options))


@pytest.mark.untraced
@pytest.mark.parametrize("step", ["source", "step"])
@pytest.mark.parametrize("split", [False, True])
def test_a_window_closes_after_silence_on_its_only_input(step: str, split: bool) -> None:
    options: dict[str, Any] = {"idle": "30s", "advance_when_idle": True}
    clock, sink = ManualClock(), TestSink()

    async def main() -> None:
        builder = quiet_after(clock, 0, 5, 25, **(options if step == "source" else {}))
        if step == "step":
            builder = builder.with_event_time("at", **options)
        if split:
            builder = builder.split(pl.col("at") > 1).branch("true").branch("false").merge()
        pipeline = builder.window(size="10s", on="at").agg(n=pl.len()).sink(sink).build(clock=clock)
        running = asyncio.create_task(pipeline.run())
        while sink.frame().height < 2:
            await clock.advance(5)
        assert 30 <= clock.now_ns() / 1e9 < 120
        assert not running.done()
        await clock.advance(120)
        await running

    asyncio.run(main())
    assert sink.frame()["n"].to_list() == [2, 1]


def test_streams_that_meet_close_windows_once_all_of_them_are_idle() -> None:
    """The stream that is ahead goes on by its own silence; one that still sends holds it back."""
    clock, sink = ManualClock(), TestSink()
    options: dict[str, Any] = {"idle": "10s", "advance_when_idle": True}

    async def main() -> None:
        async def busy() -> AsyncIterator[pl.DataFrame]:
            for second in range(20):
                await clock.sleep(1)
                yield pl.DataFrame({"at": [second * SECOND // 100]})
            await clock.sleep(200)

        ahead = quiet_after(clock, 3, 7, **options)
        slow = Source.from_fn(busy, schema={"at": pl.Int64}).with_event_time("at", **options)
        both = Pipeline.builder().source(slow).merge(ahead)
        pipeline = both.window(size="10s", on="at").agg(n=pl.len()).sink(sink).build(clock=clock)
        running = asyncio.create_task(pipeline.run())
        while not sink.frame().height:
            await clock.advance(5)
        # The slow stream sends until second 20 and is idle at 30; event time is then that of the one ahead.
        assert 30 <= clock.now_ns() / 1e9 < 120
        assert not running.done()
        await clock.advance(300)
        await running

    asyncio.run(main())
    assert sink.frame()["n"].to_list() == [22]
