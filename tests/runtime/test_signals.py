"""Ending a run by signals."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from epoch_files import PacedSource

from arrowstream.checkpoints.inspection import epochs
from arrowstream.connectors.sink import Sink
from arrowstream.connectors.source import Source
from arrowstream.core.batch import Batch
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError, RunInterrupted, StageError
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import SourceSpec
from arrowstream.io.writer import Handle, Writer
from arrowstream.pipeline import Pipeline
from arrowstream.runtime import signals
from arrowstream.runtime.report import RunReport
from arrowstream.runtime.signals import SIGNALS, SignalHandling
from arrowstream.testing import TestSink

pytestmark = pytest.mark.once

BATCH = pl.DataFrame({"x": [1, 2, 3]})


class Timer:
    """Stands for `threading.Timer`, which would end the tests."""

    made: list["Timer"]

    def __init__(self, seconds: float, function: Callable[..., None], arguments: list[Any]) -> None:
        self.seconds, self.function, self.arguments = seconds, function, arguments
        self.daemon = False
        self.state = "made"
        Timer.made.append(self)

    def start(self) -> None:
        assert self.daemon, "a timer that is no daemon would keep the process alive"
        self.state = "started"

    def cancel(self) -> None:
        self.state = "cancelled"


@pytest.fixture(autouse=True)
def timers(monkeypatch: pytest.MonkeyPatch) -> list[Timer]:
    Timer.made = []
    monkeypatch.setattr(threading, "Timer", Timer)
    return Timer.made


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    codes: list[int] = []
    monkeypatch.setattr(signals, "exit_now", codes.append)
    return codes


@pytest.fixture(autouse=True)
def handlers_are_given_back() -> Iterator[None]:
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    assert [signal.getsignal(number) for number in SIGNALS] == before


def endless(*numbers: signal.Signals) -> SourceSpec:
    """Batches without end; after the first one, this process gets the signals."""

    async def batches() -> AsyncIterator[pl.DataFrame]:
        yield BATCH
        for number in numbers:
            signal.raise_signal(number)
        while True:
            await asyncio.sleep(0)
            yield BATCH

    return Source.from_fn(batches, schema=BATCH.schema)


def run(source: Any, sink: Any, said: list[str] | None = None, **options: Any) -> RunReport:
    pipeline = Pipeline.builder().source(source).sink(sink).build()
    handling = SignalHandling([].append if said is None else said.append, exit_after=7.0)
    return pipeline.run_sync(signals=handling, **options)


def test_without_a_signal_it_is_just_a_run() -> None:
    said: list[str] = []
    sink = TestSink()
    report = run(Source.from_frame(BATCH), sink, said)
    assert (report.rows_out, report.stopped, said) == (3, None, [])
    assert sink.received() == [1, 2, 3]
    assert run(endless(), TestSink(), limit=4).rows_out == 4


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_stops_gently(number: signal.Signals, timers: list[Timer]) -> None:
    said: list[str] = []
    sink = TestSink()
    report = run(endless(number), sink, said)
    assert report.stopped == number.name
    assert report.rows_out == sink.frame().height >= 3
    assert [text.partition(":")[0] for text in said] == ["stopping"]
    assert timers == []


def test_a_pipeline_may_be_told_to_handle_signals() -> None:
    pipeline = Pipeline.builder().source(endless(signal.SIGTERM)).sink(TestSink()).build()
    assert pipeline.run_sync(signals=True).stopped == "SIGTERM"
    assert asyncio.run(pipeline.run(signals=True)).stopped == "SIGTERM"


@pytest.mark.parametrize("number", SIGNALS)
def test_the_second_signal_ends_at_once(
    number: signal.Signals, timers: list[Timer], exits: list[int]
) -> None:
    sink = EndingSink()
    with pytest.raises(RunInterrupted, match=f"{number.name}.*nothing more is committed") as raised:
        run(endless(signal.SIGINT, number), sink)
    assert raised.value.number == number
    assert sink.calls == ["abort"]
    (timer,) = timers
    assert (timer.seconds, timer.state) == (7.0, "cancelled")
    timer.function(*timer.arguments)  # what happens where a thread still blocks after that time
    assert exits == [128 + number]


def test_a_run_waits_for_its_threads_where_nothing_else_was_said(timers: list[Timer]) -> None:
    pipeline = Pipeline.builder().source(endless(*SIGNALS)).sink(TestSink()).build()
    with pytest.raises(RunInterrupted):
        pipeline.run_sync(signals=True)
    assert timers == []


def test_further_signals_change_nothing(timers: list[Timer]) -> None:
    with pytest.raises(RunInterrupted) as raised:
        run(endless(signal.SIGINT, signal.SIGINT, signal.SIGTERM), TestSink())
    assert raised.value.number == signal.SIGINT
    assert len(timers) == 1


class EndingSink(SinkSpec):
    """Notes how it ends; in some of these calls this process gets a signal."""

    def __init__(self, **at: signal.Signals) -> None:
        self.at = at
        self.calls: list[str] = []

    @property
    def label(self) -> str:
        return "ending"

    @property
    def guarantee(self) -> str:
        return "none"

    def check(self, schema: pl.Schema) -> None: ...

    def open(self, schema: pl.Schema, context: StepContext) -> Writer:
        return EndingWriter(self)


class EndingWriter(Writer):
    def __init__(self, sink: EndingSink) -> None:
        self._sink = sink

    async def _call(self, name: str) -> None:
        self._sink.calls.append(name)
        if name in self._sink.at:
            signal.raise_signal(self._sink.at[name])
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def write(self, batch: Batch) -> None: ...

    async def prepare(self, epoch: int) -> Handle:
        await self._call("prepare")
        return {}

    async def commit(self, handle: Handle) -> None:
        await self._call("commit")

    async def abort(self) -> None:
        await self._call("abort")

    async def close(self) -> None:
        await self._call("close")


def test_a_first_signal_after_the_stream_has_ended_cuts_nothing_short() -> None:
    sink = EndingSink(prepare=signal.SIGTERM)
    assert run(Source.from_frame(BATCH), sink).stopped is None
    assert sink.calls == ["prepare", "commit", "close"]


def test_a_second_signal_before_the_commit_prevents_it() -> None:
    first, second = EndingSink(prepare=signal.SIGTERM), EndingSink(prepare=signal.SIGTERM)
    with pytest.raises(RunInterrupted):
        run(Source.from_frame(BATCH), Sink.fanout([first, second]))
    assert (first.calls, second.calls) == (["prepare", "abort"], ["prepare", "abort"])


@pytest.mark.parametrize("place", ["commit", "close"])
def test_a_second_signal_after_the_commit_has_begun_comes_too_late(
    place: str, timers: list[Timer], exits: list[int]
) -> None:
    """Half of the rows would be visible."""
    said: list[str] = []
    first, second = EndingSink(prepare=signal.SIGINT), EndingSink(**{place: signal.SIGTERM})
    report = run(Source.from_frame(BATCH), Sink.fanout([first, second]), said)
    assert report.stopped is None
    assert (first.calls, second.calls) == (["prepare", "commit", "close"], ["prepare", "commit", "close"])
    assert [text.partition(":")[0] for text in said] == ["stopping", "committing"]
    (timer,) = timers
    timer.function(*timer.arguments)
    assert exits == []


class SlowEpochs(EndingSink):
    """Gets two signals in the first commit, and has no end of preparing the second epoch."""

    def open(self, schema: pl.Schema, context: StepContext) -> Writer:
        return SlowEpochsWriter(self)


class SlowEpochsWriter(EndingWriter):
    async def prepare(self, epoch: int) -> Handle:
        if epoch == 2:
            await asyncio.sleep(60)
        return await super().prepare(epoch)

    async def commit(self, handle: Handle) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(0.02)
        timer = Timer.made[-1]
        timer.function(*timer.arguments)
        await super().commit(handle)


def test_a_second_signal_in_the_commit_of_an_epoch_ends_the_run_after_it(
    tmp_path: Path, timers: list[Timer], exits: list[int]
) -> None:
    said: list[str] = []
    sink = SlowEpochs()
    with pytest.raises(RunInterrupted) as raised:
        run(PacedSource([BATCH] * 9, 1), sink, said, checkpoint=tmp_path, every="1ms")
    assert raised.value.number == signal.SIGTERM and sink.calls == ["prepare", "commit", "abort"]
    assert [(epoch.number, epoch.committed) for epoch in epochs(tmp_path)] == [(1, True)]
    assert [text.partition(":")[0] for text in said] == ["stopping", "committing"]
    # The process would have ended in the commit; it waits for as much time again.
    assert exits == [] and [(timer.seconds, timer.state) for timer in timers] == [
        (7.0, "started"),
        (7.0, "cancelled"),
    ]
    timer = timers[-1]
    timer.function(*timer.arguments)
    assert exits == [128 + signal.SIGTERM]


def test_a_second_signal_in_the_commit_of_the_last_epoch_comes_too_late(
    tmp_path: Path, timers: list[Timer], exits: list[int]
) -> None:
    said: list[str] = []
    sink = EndingSink(commit=signal.SIGINT)
    report = run(PacedSource([BATCH] * 9, 1), sink, said, checkpoint=tmp_path, every="1ms")
    assert report.stopped == "SIGINT"
    assert sink.calls == ["prepare", "commit", "prepare", "commit", "close"]
    assert [text.partition(":")[0] for text in said] == ["stopping", "committing"]
    (timer,) = timers
    timer.function(*timer.arguments)
    assert (exits, len(timers)) == ([], 1)


def test_a_second_signal_that_comes_too_late_does_not_cancel_what_follows_the_run() -> None:
    async def main() -> None:
        sink = EndingSink(prepare=signal.SIGINT, commit=signal.SIGTERM)
        pipeline = Pipeline.builder().source(Source.from_frame(BATCH)).sink(sink).build()
        await pipeline.run(signals=True)
        await asyncio.sleep(0.03)

    asyncio.run(main())


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Interrupts as a script gets them: tests may run in the background, where they are ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_by_default_an_interrupt_ends_the_run_and_nothing_of_it_is_visible(
    interrupts: None, tmp_path: Path
) -> None:
    for name in ("a.parquet", "folder/"):
        pipeline = Pipeline.builder().source(endless(signal.SIGINT)).sink(Sink.to_file(f"{tmp_path}/{name}"))
        with pytest.raises(KeyboardInterrupt):
            pipeline.build().run_sync()
        assert list(tmp_path.iterdir()) == []


def test_by_default_a_commit_that_has_begun_is_completed(interrupts: None) -> None:
    first, second = EndingSink(commit=signal.SIGINT), EndingSink()
    pipeline = Pipeline.builder().source(Source.from_frame(BATCH)).sink(Sink.fanout([first, second])).build()
    assert pipeline.run_sync().stopped is None
    assert first.calls == second.calls == ["prepare", "commit", "close"]


def test_a_failure_stays_a_failure() -> None:
    def fail(batch: object) -> None:
        raise ValueError("full")

    with pytest.raises(StageError, match="full"):
        run(Source.from_frame(BATCH), Sink.to_fn(fail))


def test_a_run_that_others_cancel_is_cancelled() -> None:
    async def main() -> None:
        pipeline = Pipeline.builder().source(endless(signal.SIGINT)).map(waiting).sink(TestSink()).build()
        task = asyncio.create_task(pipeline.run(signals=True))
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def waiting(batch: Any) -> Any:
        if batch.num_rows:
            await asyncio.sleep(60)
        return batch

    asyncio.run(main())


def test_signals_are_handled_on_the_main_thread_only() -> None:
    pipeline = Pipeline.builder().source(endless()).sink(TestSink()).build()

    async def main() -> None:
        pipeline.run_sync(signals=True)  # a notebook's loop runs, so it runs on another thread

    with pytest.raises(PlanError, match="main thread"):
        asyncio.run(main())


@pytest.mark.parametrize("terminal", [True, False])
def test_leaving_at_once_gives_the_cursor_back(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setattr(os, "write", lambda file, text: done.append((file, text)))
    monkeypatch.setattr(os, "_exit", done.append)
    signals.exit_now(143)
    assert done == [*([(2, b"\x1b[?25h\n")] if terminal else []), 143]
