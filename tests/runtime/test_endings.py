"""However a run ends, and at whichever moment: every end that was opened gets its turn, and nothing is hidden."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from scripted import COMMITTED, LedgerSink

from arrowstream import Pipeline, Processor, RunReport, Sink
from arrowstream.core.batch import Batch, Element
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.errors import SinkError, StageError
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import Query, Reader, SourceSpec
from arrowstream.io.writer import Handle, Writer
from arrowstream.policies.handlers import ErrorHandler
from arrowstream.runtime.failure.cleanup import despite, in_turn
from arrowstream.testing import ManualClock, TestSource

pytestmark = pytest.mark.once

FRAMES = [pl.DataFrame({"x": [1, 2]}), pl.DataFrame({"x": [3, 4]})]


class Slow:
    """Notes each call when it begins and when it has ended well; each waits a few times in between."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self._name, self._notes = name, notes

    async def note(self, call: str) -> None:
        self._notes.append(f"{self._name} {call}")
        for _ in range(3):
            await asyncio.sleep(0)
        self._notes.append(f"{self._name} {call} done")


class SlowSource(Slow, SourceSpec):
    @property
    def label(self) -> str:
        return self._name

    def schema(self) -> pl.Schema | None:
        return FRAMES[0].schema

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader:
        self._notes.append(f"{self._name} open")
        return SlowReader(self)


class SlowReader(Reader):
    def __init__(self, source: SlowSource) -> None:
        self._source = source
        self._frames = iter(FRAMES)

    async def read(self) -> Element | None:
        await self._source.note("read")
        frame = next(self._frames, None)
        return None if frame is None else Batch(frame)

    async def close(self) -> None:
        await self._source.note("close")


class SlowSink(Slow, SinkSpec):
    @property
    def label(self) -> str:
        return self._name

    @property
    def guarantee(self) -> str:
        return "none"

    def check(self, schema: pl.Schema) -> None: ...

    def open(self, schema: pl.Schema, context: StepContext) -> Writer:
        self._notes.append(f"{self._name} open")
        return SlowWriter(self)


class SlowWriter(Writer):
    def __init__(self, sink: SlowSink) -> None:
        self._sink = sink

    async def write(self, batch: Batch) -> None:
        await self._sink.note("write")

    async def prepare(self, epoch: int) -> Handle:
        await self._sink.note("prepare")
        return {}

    async def commit(self, handle: Handle) -> None:
        await self._sink.note("commit")

    async def close(self) -> None:
        await self._sink.note("close")

    async def abort(self) -> None:
        await self._sink.note("abort")


def pipeline(notes: list[str]) -> Pipeline:
    """Two sources, two sinks and dead letters, all of them slow.

    Where no time goes by, no call is long enough for a worker thread, and the turns of the loop are always the same.
    """
    sources = [SlowSource(f"source {number}", notes) for number in range(2)]
    sinks = [SlowSink(f"sink {number}", notes) for number in range(2)]
    dead = ErrorHandler.dead_letter(SlowSink("dead", notes))
    first, second = (Pipeline.builder().source(source) for source in sources)
    rows = first.merge(second).map(_no_threes).on_error(dead)
    return rows.sink(Sink.fanout(sinks)).build(clock=ManualClock())


def _no_threes(record: pa.RecordBatch) -> pa.RecordBatch:
    if 3 in record["x"].to_pylist():
        raise ValueError("a three")
    return record


def cancelled_at(moments: Iterable[int]) -> tuple[list[str], bool]:
    """What a run does that is cancelled after so many turns of the loop, and whether it says so."""
    notes: list[str] = []

    async def main() -> bool:
        running = asyncio.ensure_future(pipeline(notes).run())
        at = 0
        for moment in moments:
            while at < moment and not running.done():
                await asyncio.sleep(0)
                at += 1
            running.cancel()
        await asyncio.wait([running])
        return running.cancelled()

    return notes, asyncio.run(main())


def test_a_run_that_nobody_cancels() -> None:
    notes, cancelled = cancelled_at([])
    assert not cancelled
    ends = [note for note in notes if note.endswith("done") and note.split()[-2] in COMMITTED]
    sinks = ("sink 0", "sink 1", "dead")
    calls = [f"{sink} {call} done" for call in COMMITTED for sink in sinks]
    assert ends[: len(calls)] == calls


LONGEST = 1_000
"""Turns of the loop that no run takes."""


@pytest.mark.parametrize("again", [None, 1, 2, 5, 9])
def test_whenever_a_run_is_cancelled_every_end_has_its_turn(again: int | None) -> None:
    ended = 0
    for moment in range(1, LONGEST):
        moments = [moment] if again is None else [moment, moment + again]
        notes, cancelled = cancelled_at(moments)
        for end in {note.removesuffix(" open") for note in notes if note.endswith(" open")}:
            own = [note.removeprefix(f"{end} ") for note in notes if note.startswith(f"{end} ")]
            if end.startswith("source"):
                assert own.count("close") == 1, moments
            else:
                assert ("abort" in own) != ("commit done" in own), moments
        committed = {note for note in notes if note.endswith("commit done")}
        assert len(committed) == (0 if cancelled else 3), moments
        if not cancelled:
            # Only a run that was over before.
            assert all(f"source {number} close done" in notes for number in range(2)), moments
            ended += 1
            if ended > 2:
                return
    raise AssertionError("the run never ended")


def test_a_cancellation_after_the_commit_comes_too_late() -> None:
    class Notes(list[str]):
        def append(self, note: str) -> None:
            super().append(note)
            if note == "source 0 close":
                running.cancel()

    async def main() -> RunReport:
        nonlocal running
        running = asyncio.ensure_future(pipeline(notes).run())
        return await running

    notes = Notes()
    running: asyncio.Future[RunReport]
    assert asyncio.run(main()).rows_out == 6
    assert "source 1 close done" in notes and "sink 1 commit done" in notes


def clean_ups(*outcomes: BaseException | None) -> tuple[list[int], list[Callable[[], Awaitable[None]]]]:
    had: list[int] = []

    def clean_up(number: int, outcome: BaseException | None) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            had.append(number)
            if outcome is not None:
                raise outcome

        return run

    return had, [clean_up(number, outcome) for number, outcome in enumerate(outcomes)]


def test_a_cancellation_in_between_is_raised_when_all_have_had_their_turn() -> None:
    had, works = clean_ups(OSError("first"), asyncio.CancelledError(), None, OSError("second"))
    with pytest.raises(asyncio.CancelledError) as raised:
        asyncio.run(in_turn(works))
    assert had == [0, 1, 2, 3]
    assert raised.value.__notes__ == ["and: first", "and: second"]


def test_all_that_goes_wrong_after_a_failure_is_noted_on_it() -> None:
    failure = ValueError("the first of all")
    had, works = clean_ups(OSError("first"), None, OSError("second"))
    asyncio.run(despite(ExceptionGroup("", [failure]), works))
    assert had == [0, 1, 2]
    assert failure.__notes__ == ["and: first", "and: second"]


def test_a_cancellation_is_not_hidden_by_a_failure_before() -> None:
    had, works = clean_ups(asyncio.CancelledError(), None)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(despite(ValueError(), works))
    assert had == [0, 1]


class Closing(Processor):
    """Fails, or waits for ever; and fails to close."""

    fails = True

    async def process(self, batch: pa.RecordBatch) -> AsyncIterator[Any]:
        if self.fails:
            raise ValueError("no work today")
        await asyncio.Event().wait()
        yield batch

    async def close(self) -> None:
        raise OSError("no close today")


class Waiting(Closing):
    fails = False


def test_a_step_that_fails_and_does_not_close_tells_of_its_failure_first() -> None:
    rows = Pipeline.builder().source(TestSource.from_frames(FRAMES)).process(Closing)
    with pytest.raises(StageError, match="no work today") as raised:
        rows.sink(LedgerSink(blocking=False)).build().run_sync()
    assert [note.split(" (")[0] for note in raised.value.__notes__] == ["and: OSError: no close today"]


def test_a_step_that_does_not_close_when_the_run_is_cancelled() -> None:
    sink = LedgerSink(blocking=False)

    async def main() -> None:
        rows = Pipeline.builder().source(TestSource.from_frames(FRAMES)).process(Waiting)
        running = asyncio.ensure_future(rows.sink(sink).build().run())
        for _ in range(30):
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(StageError, match="no close today"):
            await running

    asyncio.run(main())
    assert sink.ledger.calls[-1] == "abort"


@pytest.mark.parametrize("fails_in", ["prepare", "commit"])
def test_a_best_effort_sink_that_can_neither_commit_nor_abort_ends_nothing(
    fails_in: str, caplog: pytest.LogCaptureFixture
) -> None:
    main, bad = LedgerSink(blocking=False), LedgerSink(blocking=True, fail_in=f"{fails_in} abort")
    fan = Sink.fanout([bad.best_effort(), main])
    with caplog.at_level(logging.WARNING):
        report = Pipeline.builder().source(TestSource.from_frames(FRAMES)).sink(fan).build().run_sync()
    assert report.stopped is None
    assert main.ledger.calls[-3:] == [*COMMITTED]
    assert [record.message.split(": ", 1)[1].split(" (")[0] for record in caplog.records] == [
        f"OSError: no {fails_in} today",
        "OSError: no abort today",
    ]


def test_every_sink_is_aborted_whichever_fails_to() -> None:
    sinks = [LedgerSink(blocking=False, fail_in=fails) for fails in ("write abort", "abort", "")]
    with pytest.raises(SinkError, match="no write today") as raised:
        Pipeline.builder().source(TestSource.from_frames(FRAMES)).sink(Sink.fanout(sinks)).build().run_sync()
    assert [sink.ledger.calls[-1] for sink in sinks] == ["abort"] * 3
    assert len([note for note in raised.value.__notes__ if "no abort today" in note]) == 2
