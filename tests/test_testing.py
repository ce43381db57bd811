"""The test kit itself."""

import asyncio

import polars as pl
import pytest

from arrowstream import Pipeline
from arrowstream.errors import SourceError
from arrowstream.testing import ManualClock, TestSink, TestSource


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
