"""The ends and the clock of the test kit."""

import asyncio

import polars as pl
import pytest
from contexts import context

from arrowstream import Pipeline
from arrowstream.errors import SourceError
from arrowstream.io.source import Reader
from arrowstream.testing import (
    Abort,
    Aborted,
    Barrier,
    Batch,
    Idle,
    ManualClock,
    Pause,
    TestSink,
    TestSource,
    Watermark,
)


def test_the_example_of_the_readme() -> None:
    async def main() -> list[int]:
        source, sink = TestSource.from_list([1, 2, 3, 4, 5]), TestSink()
        pipeline = Pipeline.builder().source(source).map(value=pl.col("value") * 2).sink(sink).build()
        await pipeline.run()
        return sink.received()

    assert asyncio.run(main()) == [2, 4, 6, 8, 10]


def test_sources_from_lists() -> None:
    sink = TestSink()
    source = TestSource.from_list([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, {"a": 3, "b": "z"}], batch_rows=2)
    Pipeline.builder().source(source).sink(sink).build().run_sync()
    assert sink.received() == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, {"a": 3, "b": "z"}]
    assert [record.num_rows for record in sink.records()] == [2, 1]
    assert sink.frame().schema == {"a": pl.Int64, "b": pl.String}


def test_an_empty_list_is_an_empty_stream() -> None:
    sink = TestSink()
    Pipeline.builder().source(TestSource.from_list([])).sink(sink).build().run_sync()
    assert sink.received() == []


def test_a_scripted_failure_is_raised_when_reached() -> None:
    sink = TestSink()
    source = TestSource.from_frames([pl.DataFrame({"x": [1]}), OSError("unplugged")])
    with pytest.raises(SourceError, match="unplugged"):
        Pipeline.builder().source(source).sink(sink).build().run_sync()
    assert sink.received() == [1]


def test_the_manual_clock_lets_sleep_of_no_time_pass() -> None:
    asyncio.run(asyncio.wait_for(ManualClock().sleep(0), 60))


def test_the_manual_clock_wakes_sleepers_in_order_and_only_then() -> None:
    async def main() -> list[tuple[str, int]]:
        clock, woken = ManualClock(start_ns=5), []

        async def sleeper(name: str, seconds: float) -> None:
            await clock.sleep(seconds)
            woken.append((name, clock.now_ns()))

        tasks = [
            asyncio.create_task(sleeper(name, at)) for name, at in (("b", 2), ("a", 1), ("c", 9), ("x", 1))
        ]
        await clock.advance(0.5)
        assert woken == []
        tasks[3].cancel()
        await clock.advance(2)
        assert clock.now_ns() == 5 + 2_500_000_000
        tasks[2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return woken

    assert asyncio.run(main()) == [("a", 1_000_000_005), ("b", 2_000_000_005)]


def test_labels() -> None:
    assert (TestSource.from_list([1]).label, TestSink().label) == ("test", "test")


def test_a_script_may_hold_marks_and_frames_of_any_kind() -> None:
    script = [Watermark(1), pl.DataFrame({"x": [1]}).to_arrow(), Idle(), Barrier(1), Watermark(2)]
    source = TestSource.from_frames(script)
    assert source.schema() == {"x": pl.Int64}

    async def main() -> list[object]:
        reader = source.open(context())
        assert isinstance(reader, Reader)
        elements = []
        while (element := await reader.read()) is not None:
            elements.append(element)
        await reader.close()
        return elements

    first, rows, *rest = asyncio.run(main())
    assert (first, rest) == (Watermark(1), [Idle(), Barrier(1), Watermark(2)])
    assert isinstance(rows, Batch)
    assert rows.arrow().to_pydict() == {"x": [1]}


def test_a_schema_that_only_the_first_batch_tells() -> None:
    source = TestSource.from_frames([pl.DataFrame({"x": [1]})]).undeclared()
    assert source.schema() is None
    assert Pipeline.builder().source(source).collect_sync()["x"].to_list() == [1]


def test_a_pause_holds_the_stream_until_the_time_has_come() -> None:
    async def main() -> list[list[int]]:
        clock, sink, seen = ManualClock(), TestSink(), []
        script = [pl.DataFrame({"x": [1]}), Pause(5), pl.DataFrame({"x": [2]}), Pause(5), Pause(5)]
        source = TestSource.from_frames(script, clock=clock)
        running = asyncio.create_task(Pipeline.builder().source(source).sink(sink).build().run())
        for _ in range(3):
            await clock.advance(4)
            seen.append(sink.received())
        assert not running.done()
        await clock.advance(3)
        await running
        return seen

    assert asyncio.run(main()) == [[1], [1, 2], [1, 2]]


def test_a_pause_ends_with_a_gentle_stop() -> None:
    async def main() -> str | None:
        clock, sink = ManualClock(), TestSink()
        source = TestSource.from_frames([pl.DataFrame({"x": [1]}), Pause(3_600)], clock=clock)
        pipeline = Pipeline.builder().source(source).sink(sink).build()
        running = asyncio.create_task(pipeline.run())
        await clock.advance(1)
        pipeline.stop()
        report = await running
        assert sink.received() == [1]
        return report.stopped

    assert asyncio.run(main()) == "stop"


def test_an_abort_ends_one_run_and_no_handler_sees_it() -> None:
    sink = TestSink()
    script = [pl.DataFrame({"x": [1]}), Abort(), pl.DataFrame({"x": [2]}), Abort(), pl.DataFrame({"x": [3]})]
    pipeline = Pipeline.builder().source(TestSource.from_frames(script)).sink(sink).build()
    assert not issubclass(Aborted, Exception)
    for received in ([1], [1, 1, 2]):
        with pytest.raises(Aborted):
            pipeline.run_sync()
        assert sink.received() == received
    pipeline.run_sync()
    assert sink.received() == [1, 1, 2, 1, 2, 3]
