"""Ending a run by signals."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import polars as pl
import pytest

from arrowstream.cli import signals as interrupts
from arrowstream.cli.signals import EndedAtOnce, run_until_told
from arrowstream.connectors import Sink, Source
from arrowstream.errors import StageError
from arrowstream.io.source import SourceSpec
from arrowstream.pipeline import Pipeline
from arrowstream.testing import TestSink

BATCH = pl.DataFrame({"x": [1, 2, 3]})


class Timer:
    """Stands for `threading.Timer`, which would end the tests."""

    made: list["Timer"]

    def __init__(self, seconds: float, function: Callable[..., None], arguments: list[Any]) -> None:
        self.fires = (seconds, function, arguments)
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


def endless(*signals: signal.Signals) -> SourceSpec:
    """Batches without end; after the first one, this process gets the signals."""

    async def batches() -> AsyncIterator[pl.DataFrame]:
        yield BATCH
        for number in signals:
            signal.raise_signal(number)
        while True:
            await asyncio.sleep(0)
            yield BATCH

    return Source.from_fn(batches, schema=BATCH.schema)


def run(source: Any, sink: TestSink, told: list[str], **options: Any) -> Any:
    pipeline = Pipeline.builder().source(source).sink(sink).build()
    return asyncio.run(run_until_told(pipeline, on_stop=lambda: told.append("stop"), **options))


def test_without_a_signal_it_is_just_a_run() -> None:
    told: list[str] = []
    sink = TestSink()
    report = run(Source.from_frame(BATCH), sink, told)
    assert (report.rows_out, report.stopped, told) == (3, None, [])
    assert sink.received() == [1, 2, 3]


def test_options_reach_the_run() -> None:
    assert run(endless(), TestSink(), [], limit=4).rows_out == 4


@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_the_first_signal_stops_gently(number: signal.Signals, timers: list[Timer]) -> None:
    told: list[str] = []
    sink = TestSink()
    report = run(endless(number), sink, told)
    assert report.stopped == "stop"
    assert report.rows_out == sink.frame().height >= 3
    assert told == ["stop"]
    assert timers == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_second_signal_ends_at_once(number: signal.Signals, code: int, timers: list[Timer]) -> None:
    told: list[str] = []
    with pytest.raises(EndedAtOnce) as raised:
        run(endless(signal.SIGINT, number), TestSink(), told)
    assert raised.value.code == code
    assert str(code) in str(raised.value)
    (timer,) = timers
    assert timer.fires == (interrupts.GRACE_SECONDS, interrupts.exit_now, [code])
    assert timer.state == "cancelled"


def test_further_signals_change_nothing(timers: list[Timer]) -> None:
    with pytest.raises(EndedAtOnce) as raised:
        run(endless(signal.SIGINT, signal.SIGINT, signal.SIGTERM), TestSink(), [])
    assert raised.value.code == 130
    assert len(timers) == 1


def test_a_failure_stays_a_failure_and_the_handlers_are_given_back() -> None:
    before = [signal.getsignal(number) for number in interrupts.SIGNALS]

    def fail(batch: object) -> None:
        raise ValueError("full")

    pipeline = Pipeline.builder().source(Source.from_frame(BATCH)).sink(Sink.to_fn(fail)).build()
    with pytest.raises(StageError, match="full"):
        asyncio.run(run_until_told(pipeline, on_stop=lambda: None))
    assert [signal.getsignal(number) for number in interrupts.SIGNALS] == before


@pytest.mark.parametrize("terminal", [True, False])
def test_leaving_at_once_gives_the_cursor_back(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setattr(os, "write", lambda file, text: done.append((file, text)))
    monkeypatch.setattr(os, "_exit", done.append)
    interrupts.exit_now(143)
    assert done == [*([(2, b"\x1b[?25h\n")] if terminal else []), 143]
