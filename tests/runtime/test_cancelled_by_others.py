"""A task or future that a step, source or sink awaits is cancelled by other code: a failure like any other."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from arrowstream import ErrorHandler, Pipeline, Processor, Sink, Source
from arrowstream.core.batch import Batch
from arrowstream.core.failures import is_failure
from arrowstream.core.step_context import StepContext
from arrowstream.errors import ArrowstreamError, PlanError, SinkError, SourceError, StageError
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import SourceSpec
from arrowstream.io.writer import Handle, Writer
from arrowstream.runtime.failure.stage_error import opened
from arrowstream.runtime.report import Progress
from arrowstream.testing import ManualClock, TestSink, TestSource

pytestmark = pytest.mark.once

FRAMES = [pl.DataFrame({"x": [number]}) for number in range(10)]
WORDS = "cancelled by other code"


async def fail_inside() -> None:
    """Await a task that somebody else has cancelled."""
    inner = asyncio.ensure_future(asyncio.sleep(10))
    inner.cancel()
    await inner


async def broken_at_5(batch: pa.RecordBatch) -> pa.RecordBatch:
    if batch.num_rows and batch["x"][0].as_py() == 5:
        await fail_inside()
    return batch


def plainly_broken_at_5(batch: pa.RecordBatch) -> pa.RecordBatch:
    if batch.num_rows and batch["x"][0].as_py() == 5:
        raise asyncio.CancelledError
    return batch


def slowly_broken_at_5(batch: pa.RecordBatch) -> pa.RecordBatch:
    threading.Event().wait(0.002)  # long enough to be called on a worker thread from then on
    return plainly_broken_at_5(batch)


class Broken(Processor):
    def __init__(self, place: str) -> None:
        self._place = place

    async def _at(self, place: str) -> None:
        if self._place == place:
            await fail_inside()

    async def open(self) -> None:
        await self._at("open")

    async def process(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        await self._at("process")
        return batch

    async def finish(self) -> None:
        await self._at("finish")

    async def close(self) -> None:
        await self._at("close")


async def generator() -> AsyncIterator[pl.DataFrame]:
    for frame in FRAMES:
        await broken_at_5(frame.to_arrow().to_batches()[0])
        yield frame


def numbers() -> SourceSpec:
    return Source.from_frame(FRAMES)


def into_file(builder: Any, path: Path) -> Callable[[], Any]:
    return lambda: builder.sink(Sink.to_file(path)).build().run_sync(duration="60s")


STEPS: dict[str, Callable[[Any], Any]] = {
    "map": lambda steps: steps.map(broken_at_5),
    "plain map": lambda steps: steps.map(plainly_broken_at_5),
    "map on a thread": lambda steps: steps.map(slowly_broken_at_5),
    "flat_map": lambda steps: steps.flat_map(broken_at_5),
    "parallel_map, async": lambda steps: steps.parallel_map(broken_at_5, workers=3),
    "parallel_map, threads": lambda steps: steps.parallel_map(plainly_broken_at_5, workers=3),
    "timeout": lambda steps: steps.map(broken_at_5).timeout("60s"),
    "on_timeout": lambda steps: steps.map(broken_at_5).timeout("60s", on_timeout="skip"),
    "in a branch": lambda steps: (
        steps.split(pl.when(pl.col("x") < 3).then(pl.lit("a")).otherwise(pl.lit("b")))
        .branch("a", lambda branch: branch)
        .branch("b", lambda branch: branch.map(broken_at_5))
        .merge()
    ),
    "in a merged pipeline": lambda steps: steps.merge(Pipeline.builder().source(numbers()).map(broken_at_5)),
    **{
        place: lambda steps, place=place: steps.process(lambda: Broken(place))
        for place in ("open", "process", "finish", "close")
    },
}


@pytest.mark.untraced
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_step_fails(step: Callable[[Any], Any], tmp_path: Path) -> None:
    builder = step(Pipeline.builder().source(numbers()))
    with pytest.raises(StageError, match=WORDS) as caught:
        into_file(builder, tmp_path / "out.csv")()
    assert caught.value.stage is not None
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    assert list(tmp_path.iterdir()) == []


def test_handlers_see_it_as_any_other_failure() -> None:
    steps = Pipeline.builder().source(numbers()).map(broken_at_5).on_error(ErrorHandler.skip())
    assert steps.collect_sync()["x"].to_list() == [0, 1, 2, 3, 4, 6, 7, 8, 9]


def test_the_schema_of_a_function_cannot_be_learnt_from_it() -> None:
    async def broken(batch: pa.RecordBatch) -> pa.RecordBatch:
        await fail_inside()
        return batch

    with pytest.raises(PlanError, match="failed on a batch without rows"):
        Pipeline.builder().source(numbers()).map(broken).sink(TestSink()).build()


class BrokenStream:
    def __aiter__(self) -> AsyncIterator[pl.DataFrame]:
        return generator()


@pytest.mark.parametrize(
    "source",
    [
        lambda schema: Source.from_fn(generator, schema),
        lambda schema: Source.from_channel(BrokenStream(), schema),
    ],
    ids=["from_fn", "from_channel"],
)
@pytest.mark.parametrize("schema", [FRAMES[0].schema, None], ids=["declared", "learnt"])
def test_a_source_fails(source: Callable[[Any], Any], schema: pl.Schema | None, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=WORDS):
        into_file(Pipeline.builder().source(source(schema)), tmp_path / "out.csv")()
    assert list(tmp_path.iterdir()) == []


def test_a_source_function_fails_at_its_first_call() -> None:
    async def give() -> None:
        await fail_inside()

    with pytest.raises(SourceError, match=WORDS):
        Pipeline.builder().source(Source.from_fn(give)).sink(TestSink()).build().run_sync()


async def take(batch: pa.RecordBatch) -> None:
    await broken_at_5(batch)


def test_a_sink_fails() -> None:
    with pytest.raises(SinkError, match=WORDS):
        Pipeline.builder().source(numbers()).sink(Sink.to_fn(take)).build().run_sync()


def test_a_best_effort_sink_is_lost_alone() -> None:
    kept = TestSink()
    sink = Sink.fanout([kept, Sink.to_fn(take).best_effort(buffer=100)])
    Pipeline.builder().source(numbers()).sink(sink).build().run_sync()
    assert kept.received() == list(range(10))


def test_a_sink_of_dead_letters_fails() -> None:
    def broken(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows:
            raise ValueError("never works")
        return batch

    async def take_letters(batch: pa.RecordBatch) -> None:
        await fail_inside()

    steps = Pipeline.builder().source(numbers()).map(broken)
    with pytest.raises(SinkError, match=WORDS):
        steps.on_error(ErrorHandler.dead_letter(Sink.to_fn(take_letters))).sink(TestSink()).build().run_sync()


class BrokenEnd(SinkSpec):
    """A sink one of whose last calls awaits what others have cancelled."""

    def __init__(self, place: str) -> None:
        self._place = place
        self.calls: list[str] = []

    @property
    def label(self) -> str:
        return "broken"

    @property
    def guarantee(self) -> str:
        return "none"

    def check(self, schema: pl.Schema) -> None: ...

    def open(self, schema: pl.Schema, context: StepContext) -> Writer:
        return BrokenWriter(self._place, self.calls)


class BrokenWriter(Writer):
    def __init__(self, place: str, calls: list[str]) -> None:
        self._place, self._calls = place, calls

    async def _call(self, name: str) -> None:
        self._calls.append(name)
        if name == self._place:
            await fail_inside()

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


@pytest.mark.parametrize("place", ["prepare", "commit", "close"])
def test_the_end_of_a_sink_fails(place: str) -> None:
    sink = BrokenEnd(place)
    with pytest.raises(SinkError, match=WORDS):
        Pipeline.builder().source(numbers()).sink(sink).build().run_sync()
    assert sink.calls[-1] == ("close" if place == "close" else "abort")


def test_an_abort_that_fails_hides_no_failure() -> None:
    def broken(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows:
            raise ValueError("the failure")
        return batch

    with pytest.raises(StageError, match="the failure") as caught:
        Pipeline.builder().source(numbers()).map(broken).sink(BrokenEnd("abort")).build().run_sync()
    assert any(WORDS in note for note in caught.value.__notes__)


@pytest.mark.parametrize("which", ["its own", "another", "all"])
def test_a_task_of_the_run_that_others_cancel_ends_the_run(which: str) -> None:
    """Also where it is the engine's own task that is cancelled, and not what the step awaits."""

    async def cancelling(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows and batch["x"][0].as_py() == 5:
            own = asyncio.current_task()
            for task in asyncio.all_tasks():
                is_run = task.get_name().startswith("Task-") or task.get_name() in ("duration", "metrics")
                if not is_run and (which == "all" or (task is own) == (which == "its own")):
                    task.cancel()
            await asyncio.sleep(0)
        return batch

    steps = Pipeline.builder().source(numbers()).map(cancelling, schema=FRAMES[0].schema).buffer(3)
    with pytest.raises(ArrowstreamError, match=WORDS):
        steps.map(plainly, schema=FRAMES[0].schema).sink(TestSink()).build().run_sync()


def plainly(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch


def test_a_cancellation_raised_while_progress_is_shown_ends_the_run() -> None:
    def show(progress: Progress) -> None:
        raise asyncio.CancelledError

    with pytest.raises((StageError, asyncio.CancelledError)):
        Pipeline.builder().source(numbers()).sink(TestSink()).build().run_sync(progress=show)


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_cancelled_run_is_cancelled_and_not_failed(cancelled: bool) -> None:
    async def main() -> None:
        started = asyncio.Event()

        async def waiting(batch: pa.RecordBatch) -> pa.RecordBatch:
            if batch.num_rows:
                started.set()
                await asyncio.sleep(10 if cancelled else 0)
            return batch

        run = asyncio.create_task(
            Pipeline.builder().source(numbers()).map(waiting).sink(TestSink()).build().run()
        )
        await started.wait()
        if cancelled:
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
        else:
            assert (await run).rows_out == 10

    asyncio.run(main())


def test_what_is_a_failure() -> None:
    assert is_failure(ValueError())
    assert is_failure(pl.exceptions.PanicException())
    assert not is_failure(KeyboardInterrupt())
    assert is_failure(asyncio.CancelledError())  # a thread without an event loop

    async def main() -> None:
        assert is_failure(asyncio.CancelledError())
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError as error:
            assert not is_failure(error)
        task.uncancel()

    asyncio.run(main())


def test_a_wait_between_two_tries_that_others_cancel_ends_the_run() -> None:
    class CancelledClock(ManualClock):
        async def sleep(self, seconds: float) -> None:
            raise asyncio.CancelledError

    def broken(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows:
            raise ValueError("once more")
        return batch

    builder = Pipeline.builder().source(TestSource.from_list([1, 2])).map(broken)
    pipeline = builder.on_error(ErrorHandler.retry(3, delay=1)).sink(TestSink()).build(clock=CancelledClock())
    with pytest.raises(StageError, match=r"cancelled by other code.*\(stage map\)"):
        pipeline.run_sync()


def test_an_interrupt_while_something_opens_is_not_named_after_it() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened("sink", SinkError, interrupted)


def test_an_interrupt_in_a_step_with_state_is_not_a_failure_of_the_step() -> None:
    def interrupted(frame: pl.DataFrame, state: Any) -> Any:
        if frame.height:
            raise KeyboardInterrupt
        return frame, state

    pipeline = (
        Pipeline.builder()
        .source(TestSource.from_list([1]))
        .scan(interrupted, state={})
        .sink(TestSink())
        .build()
    )
    with pytest.raises(KeyboardInterrupt):
        pipeline.run_sync()
    assert pipeline.metrics().stages["scan"].errors == 0
