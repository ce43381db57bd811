"""Acknowledgements: a source gets the positions before which every sink has the rows."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from scripted import LedgerSink

from arrowstream import Builder, ErrorHandler, Pipeline, Sink, Source
from arrowstream.core.batch import Element
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.errors import SourceError
from arrowstream.io.source import BlockingReader, Query, Reader, SourceSpec
from arrowstream.runtime.endpoints.acknowledge import Acknowledgements
from arrowstream.testing import ManualClock, Pause, TestSink, TestSource

pytestmark = pytest.mark.once

FRAMES = [pl.DataFrame({"x": [number]}) for number in range(4)]


@dataclass(frozen=True)
class Acknowledged(SourceSpec):
    """A scripted source that keeps what is acknowledged, as numbers of items."""

    source: TestSource
    acknowledged: bool = True  # type: ignore[misc]
    answers: list[bool | Exception] = field(default_factory=list)
    """What the next calls of `acknowledge` return or raise; True after these."""
    seen: list[int] = field(default_factory=list)

    @property
    def label(self) -> str:
        return "acknowledged"

    def schema(self) -> pl.Schema | None:
        return self.source.schema()

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader:
        return _Acknowledged(self, self.source.open(context))


class _Acknowledged(Reader):
    def __init__(self, spec: Acknowledged, inner: Reader) -> None:
        self.spec, self.inner = spec, inner

    async def read(self) -> Element | None:
        return await self.inner.read()

    def position(self) -> SourcePosition | None:
        return self.inner.position()

    async def acknowledge(self, position: SourcePosition) -> bool:
        answer = self.spec.answers.pop(0) if self.spec.answers else True
        if isinstance(answer, Exception):
            raise answer
        item = position["item"]
        assert isinstance(item, int)
        if answer:
            self.spec.seen.append(item)
        return answer

    async def close(self) -> None:
        await self.inner.close()


def spec(*script: Any, clock: ManualClock | None = None, **options: Any) -> Acknowledged:
    return Acknowledged(TestSource.from_frames(script, clock=clock), **options)


def test_what_the_sinks_have_is_acknowledged_at_the_end() -> None:
    source = spec(*FRAMES)
    sink = LedgerSink("file")
    Pipeline.builder().source(source).sink(sink).build().run_sync()
    assert source.seen == [4]
    silent = spec(*FRAMES, acknowledged=False)
    Pipeline.builder().source(silent).sink(TestSink()).build().run_sync()
    assert silent.seen == []


def test_nothing_is_acknowledged_after_a_failure_or_of_a_batch_that_a_limit_cut() -> None:
    source = spec(*FRAMES, ValueError("broken"))
    with pytest.raises(SourceError, match="broken"):
        Pipeline.builder().source(source).sink(TestSink()).build().run_sync()
    assert source.seen == []
    Pipeline.builder().source(source).collect_sync(limit=2)
    assert source.seen == []


def over(seconds: int, source: Acknowledged, clock: ManualClock, built: Builder) -> list[list[int]]:
    """Run for some seconds and return what was acknowledged after each of them, then stop."""

    async def main() -> list[list[int]]:
        pipeline = built.build(clock=clock)
        running = asyncio.create_task(pipeline.run())
        found = []
        for _ in range(seconds):
            await clock.advance(1)
            found.append(list(source.seen))
        pipeline.stop()
        await clock.advance(100)
        await running
        return found

    return asyncio.run(main())


def test_while_a_run_goes_on_rows_are_acknowledged_also_in_a_silence() -> None:
    clock = ManualClock()
    source = spec(FRAMES[0], Pause(6), FRAMES[1], Pause(100), clock=clock)
    sink = Sink.to_fn(lambda batch: None)
    built = Pipeline.builder().source(source).map(lambda batch: batch).buffer(3).sink(sink)
    found = over(17, source, clock, built)
    assert [len(seen) for seen in found] == [0] * 4 + [1] * 5 + [2] * 5 + [3] * 3
    assert source.seen == [1, 3, 3, 3]  # a pause counts as an item once it is over


@pytest.mark.parametrize(
    "ended",
    [
        lambda rows: rows.sink(LedgerSink("file")),
        lambda rows: rows.batch(rows=2).sink(Sink.to_fn(print)),
        lambda rows: rows.merge(rows.reduce(x=pl.col("x").sum())).sink(Sink.to_fn(print)),
        lambda rows: (
            rows.filter(pl.col("x") > 0)
            .on_error(ErrorHandler.dead_letter(LedgerSink("bad")))
            .sink(Sink.to_fn(print))
        ),
    ],
    ids=["file", "rows are held", "state in an input", "dead letters in a file"],
)
def test_rows_that_a_crash_could_lose_are_acknowledged_at_the_end_only(
    ended: Callable[[Any], Builder],
) -> None:
    clock = ManualClock()
    source = spec(FRAMES[0], Pause(100), clock=clock)
    found = over(12, source, clock, ended(Pipeline.builder().source(source)))
    assert found == [[]] * 12
    assert source.seen


def test_a_barrier_waits_for_the_slowest_sink_and_all_inputs() -> None:
    clock = ManualClock()
    source, ended = spec(FRAMES[0], Pause(100), clock=clock), spec(FRAMES[1], clock=clock)
    first, slow, lost = [], [], []

    async def no_position() -> Any:
        yield FRAMES[2]

    async def write(batch: Any) -> None:
        await clock.sleep(7)
        slow.append(batch)

    def fail(batch: Any) -> None:
        lost.append(batch)
        raise ValueError("lost")

    sinks = [Sink.to_fn(first.append), Sink.to_fn(write), Sink.to_fn(fail).best_effort()]
    others = (
        Pipeline.builder().source(ended),
        Pipeline.builder().source(Source.from_fn(no_position, FRAMES[2].schema)),
    )
    built = Pipeline.builder().source(source).merge(*others).sink(Sink.fanout(sinks))
    found = over(23, source, clock, built)
    assert [len(seen) for seen in found] == [0] * 20 + [1] * 3
    assert ended.seen[0] == 1
    assert len(first) == len(slow) == 3


def test_a_batch_that_a_limit_cut_is_not_acknowledged_by_the_barrier_after_it_nor_after_a_stop() -> None:
    clock = ManualClock()
    source = spec(pl.DataFrame({"x": range(4)}), Pause(100), clock=clock)
    written: list[int] = []

    async def write(batch: Any) -> None:
        await clock.sleep(7)
        written.append(batch.num_rows)

    built = Pipeline.builder().source(source).sink(Sink.to_fn(write))

    async def main(stop_at: int | None) -> None:
        pipeline = built.build(clock=clock)
        running = asyncio.create_task(pipeline.run(limit=2))
        for second in range(20):
            if second == stop_at:
                pipeline.stop()
            await clock.advance(1)
        await running

    for stop_at in (None, 6):
        asyncio.run(main(stop_at))
    assert written == [2, 2]
    assert source.seen == []


def test_after_a_limit_has_cut_a_batch_nothing_is_acknowledged_any_more() -> None:
    injected: list[object] = []
    source: Any = SimpleNamespace(inject=injected.append)
    cut: Any = SimpleNamespace(counters=SimpleNamespace(name="sink", limited_rows=1), best_effort=True)

    async def main() -> None:
        clock = ManualClock()
        acknowledgements = Acknowledgements(clock, lambda: [source], lambda: [cut])
        async with acknowledgements.regularly(True):
            for _ in range(3):
                await clock.advance(5)

    asyncio.run(main())
    assert len(injected) == 1


def test_an_acknowledgement_that_fails_while_a_run_goes_on_is_counted_logged_and_made_good(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    answers = [SourceError("the coordinator moves"), False, True]
    source = spec(FRAMES[0], Pause(100), clock=clock, answers=answers)
    built = Pipeline.builder().source(source).sink(Sink.to_fn(lambda batch: None))
    errors = []

    async def main() -> None:
        pipeline = built.build(clock=clock)
        running = asyncio.create_task(pipeline.run())
        for _ in range(3):
            await clock.advance(5)
            errors.append((pipeline.metrics().errors, list(source.seen)))
        pipeline.stop()
        await clock.advance(100)
        await running

    asyncio.run(main())
    assert errors == [(1, []), (1, []), (1, [1])]
    assert "will be asked again: the coordinator moves" in caplog.text


def at_end(*sources: Acknowledged, seconds: int = 15) -> None:
    """Run to the end, and let some seconds pass there."""
    clock = ManualClock()
    first, *others = (Pipeline.builder().source(each) for each in sources)

    async def main() -> None:
        pipeline = (first.merge(*others) if others else first).sink(TestSink()).build(clock=clock)
        running = asyncio.create_task(pipeline.run())
        for _ in range(2 * seconds):
            await asyncio.sleep(0)
            await clock.advance(0.5)
        await running

    asyncio.run(main())


def test_an_acknowledgement_that_fails_at_the_end_fails_the_run_after_all_sources_were_asked() -> None:
    source, other = spec(*FRAMES, answers=[SourceError("nobody takes it")]), spec(*FRAMES)
    with pytest.raises(SourceError, match="the rows are in every sink") as failed:
        at_end(source, other)
    assert failed.value.found == "nobody takes it"
    assert (source.seen, other.seen) == ([], [4])


def test_a_source_that_takes_no_acknowledgement_at_the_moment_is_asked_for_some_seconds() -> None:
    source = spec(*FRAMES, answers=[False] * 10)
    at_end(source)
    assert source.seen == [4]
    source = spec(*FRAMES, answers=[False] * 100)
    with pytest.raises(SourceError, match="for 10 s"):
        at_end(source)


def lost(batch: Any) -> None:
    raise ValueError("lost")


@pytest.mark.parametrize("writes", [[lost], [lost, print], [print]], ids=["lost", "one is lost", "kept"])
def test_sinks_of_best_effort_are_not_waited_for(writes: list[Any]) -> None:
    clock = ManualClock()
    source = spec(FRAMES[0], Pause(7), FRAMES[1], Pause(100), clock=clock)
    sinks = Sink.fanout([Sink.to_fn(write).best_effort() for write in writes])
    found = over(21, source, clock, Pipeline.builder().source(source).sink(sinks))
    assert [seen[-1:] for seen in found[4::5]] == [[], [1], [3], [3]]


@dataclass(frozen=True)
class OnThread(SourceSpec):
    """A source without rows, read on a worker thread, that knows its position."""

    @property
    def label(self) -> str:
        return "on a thread"

    def schema(self) -> pl.Schema | None:
        return FRAMES[0].schema

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> BlockingReader:
        return _OnThread()


class _OnThread(BlockingReader):
    def position(self) -> SourcePosition:
        return {"version": 1}

    def read(self) -> Element | None:
        return None

    def close(self) -> None:
        return


def test_other_sources_have_nothing_to_acknowledge() -> None:
    async def no_position() -> Any:
        yield FRAMES[0]

    frames = Pipeline.builder().source(Source.from_fn(no_position, schema=FRAMES[0].schema))
    source = spec(*FRAMES)
    others = [
        Pipeline.builder().source(each) for each in (source, OnThread(), TestSource.from_frames(FRAMES))
    ]
    frames.merge(*others).sink(TestSink()).build().run_sync()
    assert source.seen == [4]
