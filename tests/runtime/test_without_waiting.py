"""What needs no wait is done in the loop of the task itself: the same rows, counts and errors as with waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from contexts import context

from arrowstream import Pipeline, Sink, Source
from arrowstream.core.batch import Barrier, Batch, Element, Idle, Watermark
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.errors import SinkError, SourceError, StageError
from arrowstream.io.memory.function_sink import CollectSink
from arrowstream.io.source import Query, Reader, SourceSpec
from arrowstream.io.writer import Writer
from arrowstream.runtime.report import RunReport

pytestmark = pytest.mark.once

SCHEMA = pl.Schema({"x": pl.Int64})
ELEMENTS: list[Element] = [
    Batch(pl.DataFrame({"x": [1, 2, 3]})),
    Watermark(5),
    Batch(pl.DataFrame({"x": [4]})),
    Idle(),
    Barrier(1),
    Batch(pl.DataFrame({"x": [-1]})),
]


class Elements(SourceSpec):
    """Elements that are at hand, or that are waited for; a failure ends them, if there is one."""

    def __init__(self, *, waits: bool, failure: BaseException | None = None) -> None:
        self.waits = waits
        self.failure = failure

    @property
    def label(self) -> str:
        return "elements"

    def schema(self) -> pl.Schema:
        return SCHEMA

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader:
        return (Waiting if self.waits else AtHand)(self.failure)


class Waiting(Reader):
    def __init__(self, failure: BaseException | None) -> None:
        self._left = list(ELEMENTS)
        self._failure = failure

    async def read(self) -> Element | None:
        await asyncio.sleep(0)
        return self._next()

    def _next(self) -> Element | None:
        if self._left:
            return self._left.pop(0)
        if self._failure is not None:
            raise self._failure
        return None

    async def close(self) -> None: ...


class AtHand(Waiting):
    def begin_read(self) -> Element | None:
        return self._next()


def run(source: SourceSpec, fn: Any, **options: Any) -> RunReport:
    steps = Pipeline.builder().source(source).with_columns(y=pl.col("x") * 2).filter(pl.col("x") > 0)
    return steps.sink(Sink.to_fn(fn)).build().run_sync(**options)


def counts(report: RunReport) -> Any:
    return [
        (part.name, part.rows_in, part.rows_out, dict(part.batches), part.watermark_us)
        for part in report.stages
    ]


@pytest.mark.parametrize("source_waits", [True, False])
@pytest.mark.parametrize("sink_waits", [True, False])
def test_the_same_rows_and_counts(source_waits: bool, sink_waits: bool) -> None:
    rows: list[Any] = []

    async def slowly(batch: pa.RecordBatch) -> None:
        await asyncio.sleep(0.001)
        rows.extend(batch.to_pylist())

    report = run(
        Elements(waits=source_waits), slowly if sink_waits else lambda batch: rows.extend(batch.to_pylist())
    )
    assert rows == [{"x": x, "y": 2 * x} for x in (1, 2, 3, 4)]
    assert counts(report) == [
        ("source", 5, 5, {"read": 3}, 5),
        ("with_columns+filter", 5, 4, {"arrow": 3}, 5),
        ("sink", 4, 4, {"write": 2}, 5),
    ]
    assert (report.stages[-1].waiting_seconds > 0.001) is sink_waits


@pytest.mark.parametrize("waits", [True, False])
def test_a_failure_names_the_source(waits: bool) -> None:
    rows: list[int] = []
    with pytest.raises(SourceError, match=r"ValueError: broken \(stage source\)"):
        run(Elements(waits=waits, failure=ValueError("broken")), lambda batch: rows.append(batch.num_rows))
    assert rows == [3, 1]


@pytest.mark.parametrize("waits", [True, False])
def test_a_request_to_end_is_no_failure_of_the_source(waits: bool) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(Elements(waits=waits, failure=KeyboardInterrupt()), lambda batch: None)


@pytest.mark.parametrize(
    "error, raised", [(ValueError("full"), SinkError), (KeyboardInterrupt(), KeyboardInterrupt)]
)
@pytest.mark.parametrize("later", [True, False])
def test_a_failure_names_the_sink(error: BaseException, raised: type[BaseException], later: bool) -> None:
    def at_once(batch: pa.RecordBatch) -> None:
        raise error

    async def in_time(batch: pa.RecordBatch) -> None:
        await asyncio.sleep(0)
        raise error

    with pytest.raises(raised):
        run(Elements(waits=False), in_time if later else at_once)


def test_a_failure_names_the_step() -> None:
    source = Source.from_frame([pl.DataFrame({"x": ["1", "a"]})])
    steps = (
        Pipeline.builder().source(source).with_columns(y=pl.lit(1)).with_columns(z=pl.col("x").cast(pl.Int64))
    )
    with pytest.raises(StageError, match="with_columns"):
        steps.sink(Sink.to_fn(print)).build().run_sync()


def test_a_function_may_return_any_awaitable() -> None:
    done: list[int] = []

    class Later(Awaitable[None]):
        def __await__(self) -> Any:
            yield
            done.append(1)

    run(Elements(waits=False), lambda batch: Later())
    assert done == [1, 1]


def test_a_writer_can_be_awaited_too() -> None:
    seen: list[str] = []

    async def later(batch: pa.RecordBatch) -> None:
        seen.append("later")

    async def main() -> None:
        for sink in (Sink.to_fn(lambda batch: seen.append("at once")), Sink.to_fn(later), collected):
            writer = sink.open(SCHEMA, context())
            assert isinstance(writer, Writer)
            await writer.write(Batch(pl.DataFrame({"x": [1]})))

    collected = CollectSink()
    asyncio.run(main())
    assert seen == ["at once", "later"]
    assert collected.frame()["x"].to_list() == [1]


@pytest.mark.untraced
def test_other_tasks_get_their_turn() -> None:
    async def main() -> int:
        turns, batches = 0, [pl.DataFrame({"x": [1]})] * 3_000
        steps = Pipeline.builder().source(Source.from_frame(batches)).filter(pl.col("x") > 0)
        task = asyncio.create_task(steps.sink(Sink.to_fn(lambda batch: None)).build().run())
        while not task.done():
            await asyncio.sleep(0)
            turns += 1
        return turns

    assert asyncio.run(main()) > 10


def test_a_filter_that_keeps_all_rows_copies_none() -> None:
    record = pa.RecordBatch.from_pydict({"x": [1, 2, 3]})
    seen: list[pa.RecordBatch] = []
    for least in (0, 2, 5):
        steps = (
            Pipeline.builder().source(Source.from_frame(record)).filter(pl.col("x") > least).backend("arrow")
        )
        steps.sink(Sink.to_fn(seen.append)).build().run_sync()
    assert [batch["x"].to_pylist() for batch in seen] == [[1, 2, 3], [3]]
    assert seen[0]["x"].buffers()[1].address == record["x"].buffers()[1].address


def test_a_limit_cuts_what_a_stage_sends() -> None:
    rows: list[Any] = []
    report = run(Elements(waits=False), lambda batch: rows.extend(batch["x"].to_pylist()), limit=2)
    assert rows == [1, 2]
    assert (report.rows_out, report.stages[-1].limited_rows) == (2, 1)


def test_a_best_effort_branch_has_steps() -> None:
    seen: list[int] = []
    source = Source.from_frame(pl.DataFrame({"x": [1, 2, 3]}))
    sink = Sink.to_fn(lambda batch: seen.extend(batch["y"].to_pylist())).best_effort()
    split = Pipeline.builder().source(source).split(pl.col("x") > 0)
    done = split.branch("true", lambda rows: rows.with_columns(y=pl.col("x") + 1).sink(sink)).otherwise()
    done.merge().sink(Sink.to_fn(print)).build().run_sync()
    assert seen == [2, 3, 4]


def test_a_failure_on_a_thread_names_the_step() -> None:
    rows = pl.DataFrame({"x": ["1"] * 1_000_000 + ["a"]})
    source = Source.from_frame(rows, batch_rows=2_000_000)
    steps = (
        Pipeline.builder().source(source).with_columns(y=pl.lit(1)).with_columns(z=pl.col("x").cast(pl.Int64))
    )
    with pytest.raises(StageError, match="with_columns"):
        steps.sink(Sink.to_fn(print)).build().run_sync()
