"""`parallel_map`: several batches at a time, in order, and no worker left behind whatever happens."""

import asyncio
import gc
import os
import pickle
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
import worker_functions as fns
from contexts import context
from polars.testing import assert_frame_equal
from strategies import TYPES

from arrowstream import Pipeline, Source
from arrowstream.core.batch import Batch
from arrowstream.core.position import Position
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.core.waiting import until_done
from arrowstream.errors import PlanError, SchemaError, StageError
from arrowstream.operators.base import AsyncProcess
from arrowstream.operators.parallel import worker_process as worker
from arrowstream.operators.parallel.threads import ThreadCalls
from arrowstream.operators.parallel.worker_process import WorkerTask, read, serve, written
from arrowstream.operators.parallel_map import ParallelMap

pytestmark = pytest.mark.once

SCHEMA = pl.Schema({"x": pl.Int64})


def batch(*values: int) -> Batch:
    return Batch(pl.DataFrame({"x": values}, SCHEMA), Position("here", 0, len(values)), 7)


@asynccontextmanager
async def opened(step: ParallelMap, schema: pl.Schema = SCHEMA) -> AsyncIterator[AsyncProcess]:
    """The step's process, as the runtime opens and closes it."""
    process = step.start(schema, context())
    try:
        await process.open()
        yield process
    finally:
        await process.close()


def values(parts: Any) -> list[int]:
    return [value for part in parts for value in part.polars()["x"]]


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    before = {*threading.enumerate()}
    yield
    started = {*threading.enumerate()} - before
    assert not [thread for thread in started if thread.name.startswith("arrowstream-parallel")]


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


# Threads


def test_threads_work_on_several_batches_at_a_time() -> None:
    """Each call waits until the other has begun, so one after the other would never end."""
    both = threading.Barrier(2)

    def meeting(record: pa.RecordBatch) -> pa.RecordBatch:
        if record.num_rows:
            both.wait(60)
        return record

    async def main() -> None:
        async with opened(ParallelMap(meeting, workers=2)) as process:
            assert process.concurrency == 2
            first, second = await asyncio.gather(process.process(batch(1)), process.process(batch(2)))
            assert (values(first), values(second)) == ([1], [2])
            assert [(part.position, part.ingest_ns) for part in first] == [(Position("here", 0, 1), 7)]

    asyncio.run(main())


def test_the_order_of_batches_is_kept() -> None:
    """The first batch is only done when the last one is."""
    last_is_done = threading.Event()

    def first_waits(record: pa.RecordBatch) -> pa.RecordBatch:
        if record.num_rows and record["x"][0].as_py() == 0:
            last_is_done.wait(60)
        elif record.num_rows and record["x"][0].as_py() == 9:
            last_is_done.set()
        return record

    frames = [pl.DataFrame({"x": [value]}) for value in range(10)]
    steps = Pipeline.builder().source(Source.from_frame(frames)).parallel_map(first_waits, workers=10)
    assert steps.collect_sync()["x"].to_list() == list(range(10))


def test_a_cancelled_call_is_waited_for_before_all_is_closed() -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def slow(record: pa.RecordBatch) -> pa.RecordBatch:
        if record.num_rows:
            begun.set()
            may_end.wait(60)
            ended.set()
        return record

    async def main() -> None:
        process = ParallelMap(slow, workers=1).start(SCHEMA, context())
        await process.open()
        running = asyncio.create_task(_awaited(process.process(batch(1))))
        queued = asyncio.create_task(_awaited(process.process(batch(2))))
        await asyncio.to_thread(begun.wait, 60)
        for task in (running, queued):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        closing = asyncio.create_task(process.close())
        for _ in range(3):  # it may be cancelled as often as one likes
            await asyncio.sleep(0)
            closing.cancel()
        await asyncio.sleep(0)
        assert not closing.done()
        assert not ended.is_set()
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert ended.is_set()

    asyncio.run(main())


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


def test_a_failure_on_a_thread_is_raised_as_it_is() -> None:
    async def main() -> None:
        async with opened(ParallelMap(fns.failing, workers=2)) as process:
            with pytest.raises(LookupError, match="no such row"):
                await process.process(batch(1))

    asyncio.run(main())


def test_a_failure_after_a_cancellation_is_nobodys_complaint() -> None:
    complaints: list[dict[str, Any]] = []
    begun, may_fail = threading.Event(), threading.Event()

    def failing() -> None:
        begun.set()
        may_fail.wait(60)
        raise LookupError("no such row")

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        calls = ThreadCalls(1)
        task = asyncio.create_task(calls.call(failing))
        await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        may_fail.set()
        await calls.close()
        gc.collect()

    asyncio.run(main())
    assert complaints == []


def test_calls_that_have_not_begun_when_all_is_closed_never_do() -> None:
    begun, may_end, called = threading.Event(), threading.Event(), []

    def slow() -> None:
        begun.set()
        may_end.wait(60)

    async def main() -> None:
        calls = ThreadCalls(1)
        first, second = (asyncio.create_task(calls.call(fn)) for fn in (slow, lambda: called.append(1)))
        await asyncio.to_thread(begun.wait, 60)
        closing = asyncio.create_task(calls.close())
        await asyncio.sleep(0)
        may_end.set()
        await closing
        await first
        with pytest.raises(asyncio.CancelledError):
            await second

    asyncio.run(main())
    assert called == []


def test_a_cancellation_waits_for_what_is_not_done() -> None:
    async def main() -> None:
        done, running = (asyncio.get_running_loop().create_future() for _ in range(2))
        task = asyncio.create_task(until_done([done, running]))
        await asyncio.sleep(0)
        done.set_result(None)
        task.cancel()
        for _ in range(9):
            await asyncio.sleep(0)
        assert not task.done()
        running.set_result(None)
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_waiting_for_nothing() -> None:
    async def main() -> None:
        await until_done([])
        calls = ThreadCalls(1)
        assert await calls.call(max, 1, 2) == 2
        await calls.close()

    asyncio.run(main())


# Coroutines


def test_coroutines_wait_beside_each_other_without_threads() -> None:
    async def main() -> None:
        arrived = 0
        both = asyncio.Event()

        async def meeting(record: pa.RecordBatch) -> pa.RecordBatch:
            nonlocal arrived
            arrived += record.num_rows
            if arrived == 2:
                both.set()
            if record.num_rows:
                await both.wait()
            return record

        async with opened(ParallelMap(meeting, workers=2)) as process:
            assert process.concurrency == 2
            out = await asyncio.gather(process.process(batch(1)), process.process(batch(2)))
            assert [values(parts) for parts in out] == [[1], [2]]

    asyncio.run(main())


# Processes


@pytest.mark.untraced
def test_rows_go_to_other_processes_and_come_back_in_order() -> None:
    frames = [pl.DataFrame({"x": range(start, start + 5)}) for start in range(0, 100, 5)]
    steps = Pipeline.builder().source(Source.from_frame(frames))
    found = steps.parallel_map(fns.with_pid, workers=2, executor="process").collect_sync()
    assert found["x"].to_list() == list(range(100))
    pids = set(found["pid"])
    assert 1 <= len(pids) <= 2
    assert os.getpid() not in pids
    assert all(is_gone(pid) for pid in pids)


def test_a_failure_over_there_is_raised_here() -> None:
    frame = pl.DataFrame({"x": [1, 2]})
    steps = Pipeline.builder().source(Source.from_frame([frame, frame]))
    with pytest.raises(StageError, match="LookupError: no such row") as caught:
        steps.parallel_map(fns.failing, workers=1, executor="process").collect_sync()
    assert caught.value.stage == "parallel_map"
    assert caught.value.position == "frame rows 0-2"
    cause = caught.value.__cause__
    assert isinstance(cause, LookupError)
    assert cause.__notes__[0].startswith("in worker 1 of 1:\nTraceback")
    assert "in failing" in cause.__notes__[0]


def test_a_dead_worker_is_an_error_that_names_it() -> None:
    frames = [pl.DataFrame({"x": [1, 2]}), pl.DataFrame({"x": [3]})]
    steps = Pipeline.builder().source(Source.from_frame(frames))
    with pytest.raises(StageError, match=r"worker 1 of 1 \(process \d+\) ended with exit code 3") as caught:
        steps.parallel_map(fns.dying, workers=1, executor="process").collect_sync()
    assert caught.value.stage == "parallel_map"
    assert caught.value.position == "frame rows 0-2"


def test_a_worker_that_was_killed_while_idle_is_named_by_the_next_batch_and_all_after() -> None:
    async def main() -> None:
        async with opened(ParallelMap(fns.with_pid, workers=1, executor="process")) as process:
            (out,) = await process.process(batch(1))
            assert (out.position, out.ingest_ns) == (Position("here", 0, 1), 7)
            pid = out.polars()["pid"][0]
            os.kill(pid, signal.SIGKILL)
            for _ in range(2):
                with pytest.raises(StageError, match=rf"process {pid}\) was killed by SIGKILL") as caught:
                    await process.process(Batch(out.polars().drop("pid")))
                assert caught.value.position is None

    asyncio.run(main())


def test_a_cancelled_run_kills_a_worker_that_never_comes_back(tmp_path: Path) -> None:
    pipe = tmp_path / "pid"
    os.mkfifo(pipe)

    steps = Pipeline.builder().source(Source.from_frame([pl.DataFrame({"x": [1]})] * 3))
    steps = steps.parallel_map(fns.Waiting(pipe), workers=1, executor="process")

    async def main() -> int:
        task = asyncio.create_task(steps.collect())
        pid = int(await asyncio.to_thread(pipe.read_text))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return pid

    assert is_gone(asyncio.run(main()))


def test_a_worker_that_is_let_go_is_not_asked_and_killed_if_it_does_not_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "GRACE_S", 0.0)

    async def main() -> int:
        async with opened(ParallelMap(fns.with_pid, workers=1, executor="process")) as process:
            (out,) = await process.process(batch(1))
            (only,) = process._workers  # type: ignore[attr-defined]
            only.let_go()
            with pytest.raises(StageError, match="closed its pipe"):
                await process.process(batch(1))
            return int(out.polars()["pid"][0])

    assert is_gone(asyncio.run(main()))


def test_a_process_that_cannot_be_started_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does one that was started before it."""
    ends: list[Any] = []
    started: list[Any] = []

    class Broken:
        exitcode = None

        def __init__(self, args: tuple[Any, ...], **options: Any) -> None:
            ends.append(args[0])

        def start(self) -> None:
            started.append(self)
            if len(started) == 2:
                raise BlockingIOError("no more processes")

        def join(self, timeout: float | None = None) -> None: ...

        def kill(self) -> None: ...

        def close(self) -> None:
            started.remove(self)

    monkeypatch.setattr(worker._SPAWN, "Process", Broken)

    async def main() -> None:
        with pytest.raises(BlockingIOError):
            async with opened(ParallelMap(fns.unchanged, workers=3, executor="process")):
                raise AssertionError("it is open")

    asyncio.run(main())
    assert [end.closed for end in ends] == [True, True]
    assert len(started) == 1  # the one that never was


# The far end, run here: what waits in the pipe is answered, and the end of the pipe ends it.


def served(fn: Any, schema: pl.Schema, *questions: Any) -> list[tuple[bytes, bytes]]:
    """The answers of a worker to some questions."""
    before = signal.getsignal(signal.SIGINT)
    ours, theirs = worker._SPAWN.Pipe()
    for question in questions:
        ours.send_bytes(question)
    answers: list[tuple[bytes, bytes]] = []

    def reading() -> None:
        try:
            while len(answers) < 1 + len(questions):
                answers.append((ours.recv_bytes(), ours.recv_bytes()))
        except EOFError:
            pass
        ours.close()

    thread = threading.Thread(target=reading)
    thread.start()
    try:
        serve(theirs, WorkerTask(pickle.dumps(fn), "arrow", schema))
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
        theirs.close()
        thread.join()
    return answers


def test_what_is_sent_is_arrow_and_comes_back_as_it_was() -> None:
    frame = pl.DataFrame({str(dtype): pl.Series([None], dtype=dtype) for dtype in TYPES})
    schema, record = arrow_schema(frame.schema), Batch(frame).arrow()
    ready, (kind, rows) = served(fns.unchanged, frame.schema, written([record], schema))
    assert ready == (b"ready", b"")
    (back,) = read(rows)
    assert kind == b"rows"
    assert back.equals(record, check_metadata=True)
    assert_frame_equal(Batch(back).polars(), frame)


def test_an_error_that_cannot_be_sent_goes_by_name_and_the_worker_lives_on() -> None:
    record, nothing = batch(1).arrow(), batch().arrow()
    questions = [written([rows], rows.schema) for rows in (record, nothing)]
    _, (kind, error), (after, _) = served(fns.stubborn, SCHEMA, *questions)
    raised = pickle.loads(error)
    assert (kind, type(raised), str(raised)) == (b"error", RuntimeError, "Stubborn: 1 and 2")
    assert "in stubborn" in raised.__notes__[0]
    assert after == b"rows"


def test_a_function_that_cannot_be_loaded_over_there_is_the_only_answer() -> None:
    ((kind, error),) = served(fns.Unloadable(), SCHEMA)
    assert (kind, str(pickle.loads(error))) == (b"error", "not here")
    assert "in _refuse" in pickle.loads(error).__notes__[0]


def test_an_interrupt_over_there_is_no_answer_but_ends_the_worker() -> None:
    record = batch(1).arrow()
    with pytest.raises(KeyboardInterrupt):
        served(fns.interrupted, SCHEMA, written([record], record.schema))
    with pytest.raises(KeyboardInterrupt):
        served(fns.InterruptedWhileLoaded(), SCHEMA)


# What is refused


async def waiting(record: pa.RecordBatch) -> pa.RecordBatch:
    return record


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "at least 1"),
        ({"executor": "fiber"}, "'thread' or 'process'\n.*found: 'fiber'"),
        (
            {"fn": lambda record: record, "executor": "process"},
            "cannot send.*\n.*\n.*<lambda>.*\n.*at the top of",
        ),
        ({"fn": waiting, "executor": "process"}, "waiting is async"),
        ({"fn": 3}, "needs a function"),
        ({"frame": "spark"}, "'spark'"),
    ],
)
def test_a_mistake_is_found_where_it_is_written(options: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": [1]}))).parallel_map(
            **{"fn": fns.unchanged, **options}
        )


def test_the_schema_is_that_of_map() -> None:
    step = ParallelMap(fns.with_pid, workers=2)
    assert step.output_schema(SCHEMA) == {"x": pl.Int64, "pid": pl.Int64}
    wrong = ParallelMap(fns.with_pid, schema=SCHEMA)

    async def main() -> None:
        async with opened(wrong) as process:
            with pytest.raises(SchemaError, match="pid: Int64 unexpected"):
                await process.process(batch(1))

    asyncio.run(main())


def test_text() -> None:
    step = ParallelMap(fns.doubled, frame="polars", executor="process")
    assert step.describe() == "parallel_map(doubled, frame=\"polars\", workers=4, executor='process')"
