"""What is said of one sink alone: handlers of its own, and that it may miss batches."""

import asyncio
import copy
from collections.abc import AsyncIterator
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from arrowstream import ErrorHandler, Pipeline, Settings, Sink, Source
from arrowstream.errors import PlanError, SinkError
from arrowstream.io.sink import BoundSink, Fanout, SinkSpec
from arrowstream.pipeline import Builder
from arrowstream.testing import TestSink, TestSource

ROWS = pl.DataFrame({"x": [1, 2, 3, 4]})


def rows() -> Builder:
    return Pipeline.builder().source(Source.from_frame(ROWS))


def no_threes(kept: list[int]) -> SinkSpec:
    def write(batch: pa.RecordBatch) -> None:
        values = batch["x"].to_pylist()
        if 3 in values:
            raise ValueError("a three")
        kept.extend(values)

    return Sink.to_fn(write)


def test_a_part_of_a_fan_out_has_handlers_of_its_own() -> None:
    kept: list[int] = []
    bad, whole = TestSink(), TestSink()
    part = no_threes(kept).on_error(ErrorHandler.log()).on_error(ErrorHandler.dead_letter(bad))
    report = rows().sink(Sink.fanout([whole, part])).build().run_sync()
    assert (kept, whole.received()) == ([1, 2, 4], [1, 2, 3, 4])
    assert bad.frame()["x"].to_list() == [3]
    assert {stage.name for stage in report.stages} >= {"sink 1", "sink 2", "dead letters of sink 2"}


def test_its_own_handlers_stand_in_place_of_those_of_all() -> None:
    kept: list[int] = []
    other: list[int] = []
    fan = Sink.fanout([no_threes(kept).on_error(ErrorHandler.skip(whole_batch=True)), no_threes(other)])
    rows().sink(fan).on_error(ErrorHandler.skip()).build().run_sync()
    assert (kept, other) == ([], [1, 2, 4])


def test_a_sink_alone_and_at_the_end_of_a_branch() -> None:
    kept: list[int] = []
    rows().sink(no_threes(kept).on_error(ErrorHandler.skip())).build().run_sync()
    assert kept == [1, 2, 4]
    fan = Sink.fanout([no_threes(kept).on_error(ErrorHandler.skip())])
    rows().split(pl.col("x") > 0).branch("true", lambda way: way.sink(fan)).merge().build().run_sync()
    assert kept == [1, 2, 4, 1, 2, 4]


def test_the_settings_hold_for_its_retries() -> None:
    calls: list[int] = []

    def fail(batch: Any) -> None:
        calls.append(1)
        raise ValueError("no")

    part = Sink.to_fn(fail).on_error(ErrorHandler.retry(delay=0))
    with pytest.raises(SinkError):
        rows().sink(Sink.fanout([part])).build(settings=Settings(max_retries=1)).run_sync()
    assert len(calls) == 2


def test_what_is_said_of_a_sink_is_a_value() -> None:
    sink = TestSink()
    both = sink.on_error(ErrorHandler.skip()).best_effort(8)
    assert both == sink.best_effort(8).on_error(ErrorHandler.skip())
    assert both == BoundSink(sink, (ErrorHandler.skip(),), 8)
    assert Sink.fanout([sink, Sink.fanout([both])]) == Fanout((BoundSink(sink), both))


def test_a_best_effort_sink_alone_holds_nothing_back() -> None:
    """Its queue holds 2 batches and it writes one: of 100 batches, the others are dropped and counted."""
    written: list[int] = []
    gate = asyncio.Event()

    async def slow(batch: pa.RecordBatch) -> None:
        await gate.wait()
        written.extend(batch["x"].to_pylist())

    async def batches() -> AsyncIterator[pl.DataFrame]:
        for x in range(100):
            yield pl.DataFrame({"x": [x]})
        gate.set()

    source = Source.from_fn(batches, schema={"x": pl.Int64})
    pipeline = Pipeline.builder().source(source).sink(Sink.to_fn(slow).best_effort(2)).build()
    sink = {stage.name: stage for stage in pipeline.run_sync().stages}["sink"]
    assert (len(written), sink.rows_out) == (3, 3)
    assert pipeline.metrics().stages["sink"].dropped_rows == 97
    assert "fan-out to 1 sink\n" in pipeline.explain()
    assert ".slow, best effort\n" in pipeline.explain()


def test_before_the_schema_is_known_every_sink_is_explained() -> None:
    source = TestSource.from_frames([ROWS]).undeclared()
    fan = Sink.fanout([TestSink(), TestSink().best_effort(3).on_error(ErrorHandler.skip())])
    text = Pipeline.builder().source(source).sink(fan).on_error(ErrorHandler.log()).build().explain()
    assert text.endswith("""\
  sink 1: test
    guarantee: in memory: complete when the run has ended well
    on error: log()
  sink 2: test, best effort
    guarantee: best effort: misses batches when more than 3 wait
    on error: skip()""")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: TestSink().on_error("skip"), "takes error handlers"),
        (lambda: TestSink().on_error(ErrorHandler.skip()).on_error(ErrorHandler.log()), "comes after skip"),
        (
            lambda: Sink.fanout([TestSink()]).on_error(ErrorHandler.log()),
            "for one sink, not for a fan-out",
        ),
        (lambda: Sink.fanout(TestSink(), TestSink()), r"Sink.fanout\(\[a, b\]\)"),  # type: ignore[arg-type]
        (lambda: Sink.fanout([TestSink()], TestSink()), "found: list, TestSink"),  # type: ignore[arg-type]
        (lambda: Sink.fanout(TestSink()), "found: TestSink"),  # type: ignore[arg-type]
        (lambda: Sink.fanout([[TestSink()]]), "found: a list with list in it"),  # type: ignore[list-item]
    ],
)
def test_what_is_refused(make: Any, text: str) -> None:
    with pytest.raises(PlanError, match=text):
        make()


def test_a_sink_that_was_never_opened_hears_it_once() -> None:
    heard: list[object] = []

    class Waiting(TestSink):
        def on_never_opened(self, failure: BaseException | None) -> None:
            heard.append(self)

    one, other, letters = Waiting(), Waiting(), Waiting()
    source = TestSource.from_frames([]).undeclared()
    fan = Pipeline.builder().source(source).sink(Sink.fanout([one, other.best_effort()]))
    fan.on_error(ErrorHandler.dead_letter(letters)).build().run_sync()
    assert [id(sink) for sink in heard] == [id(one), id(other), id(letters)]


@pytest.mark.parametrize(
    ("sink", "found"),
    [
        (Sink.fanout([TestSink()]), "a fan-out"),
        (TestSink().on_error(ErrorHandler.skip()), "with on_error"),
        (TestSink().best_effort(), "or best_effort"),
    ],
)
def test_rows_put_aside_leave_by_a_plain_sink(sink: Any, found: str) -> None:
    letters = rows().select("x").on_error(ErrorHandler.dead_letter(sink)).sink(TestSink())
    with pytest.raises(PlanError, match=rf"dead_letter\(\) takes one sink without handlers(?s:.*){found}"):
        letters.build()
    with pytest.raises(PlanError, match=rf"window\(late=...\) takes one sink without handlers(?s:.*){found}"):
        rows().window(rows=2, late=sink).agg(pl.len())


def test_a_fan_out_is_no_sink_and_has_no_other_names() -> None:
    fan = Sink.fanout([TestSink()])
    assert not isinstance(fan, SinkSpec)
    assert not hasattr(fan, "open")
    assert copy.copy(fan) == fan
