"""What is said of one sink alone: handlers of its own, and that it may miss batches."""

from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from arrowstream import ErrorHandler, Pipeline, Settings, Sink, Source
from arrowstream.errors import PlanError, SinkError
from arrowstream.io.sink import SinkSpec
from arrowstream.pipeline import Builder
from arrowstream.testing import TestSink

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


def test_it_is_its_sink_otherwise() -> None:
    sink = TestSink()
    part = sink.on_error(ErrorHandler.skip())
    assert (part.label, part.guarantee, part.place) == (sink.label, sink.guarantee, sink.place)
    assert (part.needs_schema, part.takes_arrow, part.spare) == (sink.needs_schema, sink.takes_arrow, None)
    both = part.best_effort(8)
    assert both == sink.best_effort(8).on_error(ErrorHandler.skip())
    assert (both.spare, both.handlers, both.label) == (8, (ErrorHandler.skip(),), "test, best effort")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: TestSink().on_error("skip"), "takes error handlers"),
        (lambda: TestSink().on_error(ErrorHandler.skip()).on_error(ErrorHandler.log()), "comes after skip"),
        (lambda: Sink.fanout([TestSink()]).on_error(ErrorHandler.log()), "are said of one sink"),
        (lambda: Sink.fanout(TestSink(), TestSink()), r"Sink.fanout\(\[a, b\]\)"),  # type: ignore[arg-type]
        (lambda: Sink.fanout([TestSink()], TestSink()), "found: list, TestSink"),  # type: ignore[arg-type]
        (lambda: Sink.fanout(TestSink()), "found: TestSink"),  # type: ignore[arg-type]
        (lambda: Sink.fanout([[TestSink()]]), "found: a list with list in it"),  # type: ignore[list-item]
    ],
)
def test_what_is_refused(make: Any, text: str) -> None:
    with pytest.raises(PlanError, match=text):
        make()


@pytest.mark.parametrize("sink", [Sink.fanout([TestSink()]), TestSink().on_error(ErrorHandler.skip())])
def test_rows_put_aside_leave_by_a_plain_sink(sink: SinkSpec) -> None:
    letters = rows().select("x").on_error(ErrorHandler.dead_letter(sink))
    late = rows().window(rows=2, late=sink).agg(pl.len())
    for builder in (letters, late):
        with pytest.raises(PlanError, match="one sink without handlers"):
            builder.sink(TestSink()).build()
