"""Runs in the background: begun, looked at, ended and waited for, from threads and from async code."""

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from background_runs import LONG, SCHEMA, Fed, failing, until

from arrowstream import Pipeline, Running, Sink, Source
from arrowstream.core.clock import MonotonicClock
from arrowstream.errors import PlanError, RunCancelled, StageError
from arrowstream.runtime.background.thread import Background
from arrowstream.runtime.options import Options
from arrowstream.runtime.run import Run
from arrowstream.testing import TestSink, TestSource

pytestmark = pytest.mark.once


def test_a_run_in_the_background_ends_with_its_report() -> None:
    fed = Fed()
    running = fed.pipeline.start()
    assert not running.done and running.report is None and running.error is None
    assert running.state == "running" and running.name == "fed"
    assert "<Running running: fed:" in repr(running)
    fed.send(1, 2, 4)
    fed.tx.close()
    report = running.wait(LONG)
    assert (report.rows_in, report.rows_out, fed.sink.received()) == (3, 2, [2, 4])
    assert running.report is report and running.done and running.state == "done"
    assert running.wait() is report
    assert running.metrics().rows_out == 2 and not running.commits


def test_it_stops_gently_and_what_was_read_is_delivered() -> None:
    fed = Fed()
    running = fed.pipeline.start()
    fed.send(2)
    until(lambda: running.metrics().rows_out == 1)
    running.stop()
    report = running.wait(LONG)
    assert report.stopped == "stop" and fed.sink.received() == [2]
    running.stop()  # has no effect any more
    running.cancel()
    assert running.state == "done"


def test_the_pipeline_stops_it_too_and_has_its_metrics() -> None:
    fed = Fed()
    running = fed.pipeline.start()
    fed.send(2)
    until(lambda: fed.pipeline.metrics().rows_out == 1)
    fed.pipeline.stop()
    assert running.wait(LONG).stopped == "stop"


def test_time_runs_out_and_the_run_goes_on() -> None:
    fed = Fed()
    running = fed.pipeline.start()
    with pytest.raises(TimeoutError, match=r"fed is still running after 0.01 s"):
        running.wait(0.01)
    assert not running.done
    fed.tx.close()
    running.wait(LONG)


def test_it_ends_at_once_and_commits_nothing(tmp_path: Path) -> None:
    fed = Fed(Sink.to_file(tmp_path / "out.parquet"))
    running = fed.pipeline.start()
    fed.send(2)
    until(lambda: running.metrics().rows_in == 1)
    running.cancel()
    with pytest.raises(RunCancelled, match="ended at once"):
        running.wait(LONG)
    assert running.state == "cancelled" and running.report is None
    assert isinstance(running.error, RunCancelled)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_was_ended_at_once_is_no_error_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    running = Fed().pipeline.start()
    running.cancel()
    assert running.join(LONG) and running.state == "cancelled"
    assert not caplog.records


def test_wrong_arguments_are_errors_of_the_call() -> None:
    with pytest.raises(PlanError, match="limit"):
        Fed().pipeline.start(limit=-1)
    with pytest.raises(PlanError, match="checkpoint folder"):
        Fed().pipeline.start(every="1s")
    with pytest.raises(PlanError, match="no argument 'signals'"):
        Fed().pipeline.start(signals=True)  # type: ignore[call-arg]


def test_arguments_mean_what_they_mean_for_run() -> None:
    seen = []
    pipeline = Pipeline.builder().source(TestSource.from_list([1, 2, 3])).sink(TestSink()).build()
    report = pipeline.start(limit=2, progress=seen.append).wait(LONG)
    assert (report.rows_out, report.stopped) == (2, "limit") and seen[-1].rows_out == 2


def test_an_error_is_raised_to_who_waits(caplog: pytest.LogCaptureFixture) -> None:
    fed = Fed(Sink.to_fn(failing))
    running = fed.pipeline.start()
    waiting = threading.Event()

    def feed() -> None:
        waiting.wait(LONG)
        until(lambda: running._waiting > 0)
        fed.send(2)

    thread = threading.Thread(target=feed)
    thread.start()
    waiting.set()
    with pytest.raises(StageError, match="no room"):
        running.wait(LONG)
    thread.join()
    assert running.state == "failed" and isinstance(running.error, StageError)
    with pytest.raises(StageError, match="no room"):
        running.wait()
    assert not caplog.records


def test_an_error_that_nobody_waits_for_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    fed = Fed(Sink.to_fn(failing))
    running = fed.pipeline.start()
    fed.send(2)
    assert running.join(LONG)
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.getMessage().startswith(
        "pipeline fed failed in the background: SinkError: ValueError: no room"
    )


def test_losses_that_nobody_waits_for_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    frame = pl.DataFrame({"ts": [100, 1], "x": [1, 2]}, schema={"ts": pl.Datetime("us"), "x": pl.Int64})
    source = Source.from_frame(frame, batch_rows=1).with_event_time("ts", lateness="0s")
    windows = Pipeline.builder(name="w").source(source).window(size="10us", on="ts").agg(pl.len())
    assert windows.sink(TestSink()).build().start().join(LONG)
    assert [each.getMessage() for each in caplog.records] == ["pipeline w: lost: 1 row came late to window"]


def test_several_runs_at_the_same_time() -> None:
    feds = [Fed() for _ in range(3)]
    runs = [fed.pipeline.start() for fed in feds]
    for number, fed in enumerate(feds):
        fed.send(2 * number)
        fed.tx.close()
    assert [running.wait(LONG).rows_out for running in runs] == [1, 1, 1]
    assert [fed.sink.received() for fed in feds] == [[0], [2], [4]]


def test_leaving_a_block_stops_gently_and_waits() -> None:
    fed = Fed()
    with fed.pipeline.start() as running:
        fed.send(2)
        until(lambda: running.metrics().rows_out == 1)
    assert running.report is not None and running.report.stopped == "stop" and fed.sink.received() == [2]


def test_an_error_of_the_run_is_raised_at_the_end_of_the_block(caplog: pytest.LogCaptureFixture) -> None:
    fed = Fed(Sink.to_fn(failing))
    with pytest.raises(StageError, match="no room"), fed.pipeline.start() as running:
        fed.send(2)
        assert running.join(LONG)
    assert not caplog.records


def test_an_exception_in_the_block_ends_it_at_once(tmp_path: Path) -> None:
    fed = Fed(Sink.to_file(tmp_path / "out.parquet"))
    with pytest.raises(ZeroDivisionError) as raised, fed.pipeline.start() as running:
        raise ZeroDivisionError
    assert running.state == "cancelled" and list(tmp_path.iterdir()) == []
    assert not hasattr(raised.value, "__notes__")


def test_an_exception_in_the_block_names_the_failure_of_the_run() -> None:
    fed = Fed(Sink.to_fn(failing))
    with pytest.raises(ZeroDivisionError) as raised, fed.pipeline.start() as running:
        fed.send(2)
        assert running.join(LONG)
        raise ZeroDivisionError
    assert "the run had failed, too: SinkError" in raised.value.__notes__[0]


def test_an_error_that_was_raised_in_the_block_is_not_named_twice() -> None:
    fed = Fed(Sink.to_fn(failing))
    with pytest.raises(StageError) as raised, fed.pipeline.start() as running:
        fed.send(2)
        running.wait(LONG)
    assert not [note for note in getattr(raised.value, "__notes__", ()) if "the run had failed" in note]


def test_async_code_waits_without_blocking() -> None:
    async def main() -> None:
        fed = Fed()
        running = fed.pipeline.start()
        waiting = asyncio.ensure_future(_awaited(running))
        await asyncio.sleep(0)
        await fed.tx.send(pl.DataFrame({"x": [2]}))
        fed.tx.close()
        assert (await waiting).rows_out == 1

    asyncio.run(main())


async def _awaited(running: Running) -> Any:
    return await running


def test_a_cancelled_wait_leaves_the_run_alone() -> None:
    async def main() -> None:
        fed = Fed()
        running = fed.pipeline.start()
        waiting = asyncio.ensure_future(_awaited(running))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not running.done
        fed.tx.close()
        assert (await running).rows_out == 0

    asyncio.run(main())


def test_async_blocks() -> None:
    async def main() -> None:
        fed = Fed()
        async with fed.pipeline.start() as running:
            await fed.tx.send(pl.DataFrame({"x": [2]}))
            await asyncio.to_thread(until, lambda: running.metrics().rows_out == 1)
        assert running.report is not None and running.report.stopped == "stop"
        with pytest.raises(ZeroDivisionError):
            async with Fed().pipeline.start() as running:
                raise ZeroDivisionError
        assert running.state == "cancelled"

    asyncio.run(main())


class Interrupts:
    """Raises KeyboardInterrupt in the first calls of `join`, as Ctrl-C does in a thread that waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        self.left = count
        join = Background.join

        def interrupted(running: Background, seconds: float | None = None) -> bool:
            if self.left:
                self.left -= 1
                raise KeyboardInterrupt
            return join(running, seconds)

        monkeypatch.setattr(Background, "join", interrupted)


def test_an_interrupt_stops_gently(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    fed = Fed()
    running = fed.pipeline.start()
    fed.send(2)
    until(lambda: running.metrics().rows_out == 1)
    Interrupts(monkeypatch, 1)
    assert running.wait(LONG).stopped == "SIGINT" and fed.sink.received() == [2]
    assert "a second interrupt ends it at once" in caplog.text


def test_a_second_interrupt_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one waits for a sink that does not get on."""
    entered = threading.Event()

    async def slow(batch: Any) -> None:
        entered.set()
        await asyncio.Event().wait()

    fed = Fed(Sink.to_fn(slow))
    running = fed.pipeline.start()
    fed.send(2)
    assert entered.wait(LONG)
    Interrupts(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        running.wait()
    assert running.state == "cancelled"


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test look like a cell of a notebook."""
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=object))  # type: ignore[arg-type]


def test_in_a_cell_an_interrupted_run_stops_gently(cell: None, monkeypatch: pytest.MonkeyPatch) -> None:
    fed = Fed()
    fed.send(2)
    Interrupts(monkeypatch, 1)
    assert fed.pipeline.run_sync().stopped == "SIGINT"


def test_in_a_cell_an_interrupt_before_the_run_is_waited_for_ends_it(
    cell: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Background] = []

    def interrupted(running: Background, timeout: float | None = None) -> None:
        begun.append(running)
        raise KeyboardInterrupt

    monkeypatch.setattr(Background, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Fed().pipeline.run_sync()
    assert [running.state for running in begun] == ["cancelled"]


def test_in_a_cell_that_awaits_a_run_the_loop_sees_an_interrupt(cell: None) -> None:
    """IPython's handler cancels the cell in a call that does not wake the loop."""
    fed = Fed()
    running = fed.pipeline.start()

    async def awaits() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        # Once the loop sleeps: nothing but the run would wake it.
        threading.Timer(0.05, lambda: loop.call_soon(task.cancel)).start()
        await running

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(awaits())
    assert running.state == "running"
    running.cancel()
    assert running.join(LONG)


def test_in_a_cell_a_run_without_interrupts_is_as_ever(cell: None) -> None:
    pipeline = Pipeline.builder().source(TestSource.from_list([1, 2])).sink(TestSink()).build()
    assert pipeline.run_sync(limit=1).rows_out == 1
    with pytest.raises(StageError, match="no room"):
        Pipeline.builder().source(TestSource.from_list([1])).sink(Sink.to_fn(failing)).build().run_sync()


def test_a_step_cannot_wait_for_its_own_run() -> None:
    errors: list[Exception] = []

    def asks(batch: Any) -> None:
        for ask in (running.wait, lambda: running.tail("sink")):
            try:
                ask()
            except PlanError as error:
                errors.append(error)
        running.stop()

    fed = Fed(Sink.to_fn(asks))
    running = fed.pipeline.start()
    fed.send(2)
    assert running.wait(LONG).stopped == "stop"
    assert [str(error).split(" inside")[0] for error in errors] == ["wait()", "tail()"]


def test_a_run_that_raises_no_ordinary_exception_is_kept_too(caplog: pytest.LogCaptureFixture) -> None:
    async def leaves() -> AsyncIterator[pl.DataFrame]:
        raise SystemExit(3)
        yield

    pipeline = Pipeline.builder().source(Source.from_fn(leaves, schema=SCHEMA)).sink(TestSink()).build()
    running = pipeline.start()
    assert running.join(LONG)
    with pytest.raises(SystemExit):
        running.wait()
    assert running.state == "failed"


def test_a_run_without_a_loop_is_an_error_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with too many open files: the call would wait for ever for a run that cannot begin."""

    def no_loop(*_: object, **__: object) -> None:
        raise OSError("too many open files")

    fed = Fed()
    monkeypatch.setattr("arrowstream.runtime.background.thread.asyncio.run", no_loop)
    with ThreadPoolExecutor(1) as threads, pytest.raises(OSError, match="too many open files"):
        threads.submit(fed.pipeline.start).result(LONG)


class Prepared(Running):
    """A run that never ends by itself, and that the test begins."""

    def __init__(self) -> None:
        fed = Fed()
        run = Run(MonotonicClock(), Options())
        super().__init__("endless", run, asyncio.Event().wait, fed.pipeline.outline, dict)  # type: ignore[arg-type]


def test_an_interrupted_start_ends_the_run() -> None:
    running, begun = Prepared(), threading.Event()

    def interrupted() -> None:
        assert begun.wait(LONG)
        raise KeyboardInterrupt

    running._begun = SimpleNamespace(wait=interrupted, set=begun.set)  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        running.begin()
    assert running.join(LONG) and running.state == "cancelled"


def test_a_run_that_is_cancelled_before_it_begins_ends() -> None:
    running = Prepared()
    running.stop()
    running.cancel()
    assert running.begin().join(LONG) and running.state == "cancelled"


def watching(folder: Path, sink: Any) -> Pipeline:
    """A pipeline that goes on, and that can run more than once at a time."""
    pl.DataFrame({"x": [1]}).write_csv(folder / "in.csv")
    return Pipeline.builder().source(Source.from_file(folder / "in*.csv", watch="10ms")).sink(sink).build()


def test_a_second_run_that_writes_the_same_file_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = watching(tmp_path, Sink.to_file(tmp_path / "out.csv"))
    with pipeline.start():
        assert "another run" not in caplog.text
        with pipeline.start():
            assert "started while another run of it goes on, and both write file" in caplog.text
            assert "out.csv" in caplog.text


def test_several_runs_that_share_no_file_are_as_they_should_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = watching(tmp_path, Sink.to_fn(len))
    with pipeline.start(), pipeline.start():
        assert "another run" not in caplog.text
