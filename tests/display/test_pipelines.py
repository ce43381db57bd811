"""What a builder and a pipeline show in a cell, and what they must not do to show it."""

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from contexts import context
from shown_html import HOSTILE, graph_of, stages_of, text_of

from arrowstream import Builder, ErrorHandler, Pipeline, Processor, Sink, Source, channel
from arrowstream.display.unread import unread
from arrowstream.io.files import listing
from arrowstream.io.sink import SinkSpec
from arrowstream.io.source import SourceSpec
from arrowstream.plan.checks.at_hand import not_at_hand
from arrowstream.shown import Shown
from arrowstream.testing import TestSink

FRAME = pl.DataFrame({"k": ["a", "b"], "x": [1, 2]})


def rows(name: str = "p") -> Builder:
    return Pipeline.builder(name=name).source(Source.from_frame(FRAME))


def html(thing: Shown) -> str:
    shown = thing._repr_html_()
    assert thing._repr_mimebundle_()["text/html"] == shown
    return shown


def said(thing: Shown) -> str:
    return text_of(html(thing))


class Untouched(SourceSpec):
    """A source that must not be looked at."""

    label = property(lambda self: pytest.fail("the label was asked for"))
    brief = "far away"
    at_hand = False
    resumable = True

    def schema(self) -> pl.Schema | None:
        pytest.fail("the schema was asked for")

    def open(self, *_: Any, **__: Any) -> Any:
        pytest.fail("opened")


def test_a_builder_shows_its_graph_and_columns() -> None:
    builder = (
        rows("orders").filter(pl.col("x") > 1).with_columns(y=pl.col("x") * 2.0).reduce(pl.len(), by="k")
    )
    shown = html(builder)
    assert stages_of(graph_of(shown)) == ["source", "filter+with_columns", "reduce"]
    found = text_of(shown)
    for part in (
        *("orders", "filter(x > 1)", "with_columns(y = x * 2.0)", "2 steps, fused", "rows come out here"),
        *(
            "backend auto: arrow below",
            "2 columns come out",
            "k",
            "len",
            "stages in full",
            "reduce: 2 columns",
        ),
    ):
        assert part in found, part
    assert "with checkpoints" not in found


def test_a_builder_without_anything() -> None:
    shown = html(Pipeline.builder(name="new"))
    assert "<svg" not in shown and "no source yet" in text_of(shown)


def test_a_builder_with_a_mistake_shows_it_and_its_steps() -> None:
    shown = html(rows().filter(pl.col("xx") > 1))
    assert stages_of(graph_of(shown)) == ["source", "filter"]
    found = text_of(shown)
    assert (
        "SchemaError" in found
        and "did you mean 'x'?" in found
        and "come out" not in found.replace("rows come out here", "")
    )


def test_a_builder_with_an_unknown_backend_shows_it() -> None:
    found = said(rows().filter(pl.col("x") > 1).backend("poalrs"))
    assert "unknown backend 'poalrs'" in found and "did you mean 'polars'?" in found


def test_a_builder_with_a_sink_shows_guarantees() -> None:
    found = said(rows().sink(Sink.to_fn(print)))
    assert "at most once: fn is called once a batch" in found and "with checkpoints: at least once" in found


def test_a_split_that_has_sinks_and_branches_that_come_out(tmp_path: Path) -> None:
    split = (
        rows()
        .split("k")
        .branch("a", lambda each: each.map(z=1).sink(Sink.to_fn(print)))
        .branch(
            "b",
            lambda each: each.map(y=2).on_error(
                ErrorHandler.dead_letter(Sink.to_file(tmp_path / "b.ndjson"))
            ),
        )
        .branch("c", lambda each: each.map(y=3))
        .merge()
    )
    found = said(split)
    assert "3 columns come out of split/b/with_columns" in found and "of split/c/with_columns" in found
    assert "dead letters" in found
    built = split.sink(TestSink()).build()
    assert set(stages_of(graph_of(html(built)))) == {node.id for node in built.outline().nodes}


def test_a_pipeline_with_other_inputs_and_sql() -> None:
    other = rows("more").filter(pl.col("x") > 0)
    pipeline = rows("all").merge(other).sink(Sink.fanout([TestSink(), TestSink()])).build()
    shown = html(pipeline)
    assert sorted(stages_of(graph_of(shown))) == sorted(node.id for node in pipeline.outline().nodes)
    assert "merge/more/source" in text_of(shown)
    query = Pipeline.sql("SELECT k FROM bids WHERE x > 1", bids=rows())
    assert "SELECT k FROM bids WHERE x > 1" in said(query)


def test_a_pipeline_shows_costs_after_a_run() -> None:
    pipeline = rows().filter(pl.col("x") > 1).sink(TestSink()).build()
    before = html(pipeline)
    pipeline.run_sync()
    assert stages_of(graph_of(before)) == stages_of(graph_of(html(pipeline))) == ["source", "filter", "sink"]


def test_nothing_is_read_to_show_a_builder() -> None:
    builder = Pipeline.builder(name="far").source(Untouched()).filter(pl.col("a") > 1)
    found = said(builder)
    assert "far away" in found and "known once the pipeline is built" in found and "filter(a > 1)" in found
    assert repr(builder) == "Builder 'far': far away -> filter -> no sink yet"
    assert "far away" in said(rows().merge(builder))
    assert "with checkpoints: at least once" in said(builder.sink(Sink.to_fn(print)))
    with pytest.raises(NotImplementedError):
        unread(Untouched()).open(context())
    assert not_at_hand(rows().merge(builder).graph) == "far away"


def test_objects_are_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "remote_listing", None)
    builder = Pipeline.builder().source(Source.from_file("s3://bucket/in/*.parquet")).select("a")
    assert "file s3://bucket/in/*.parquet" in said(builder)
    assert "takes a connection" in said(Source.from_file("https://example.invalid/x.csv"))


class Far(Untouched):
    """A source that has been looked at when the pipeline was built, and never again."""

    label = "far, 3 files"  # type: ignore[assignment]

    def schema(self) -> pl.Schema:
        return pl.Schema({"k": pl.String(), "x": pl.Int64()})

    pushdown = "columns"  # type: ignore[assignment]
    bad_rows_sink = None

    def explain_read(self, query: object) -> tuple[str, ...]:
        pytest.fail("read to be explained")


def test_a_pipeline_that_was_built_is_not_looked_at_again() -> None:
    split = (
        Pipeline.builder()
        .source(Far())
        .select("x")
        .split("x")
        .branch("1", lambda each: each.merge(Pipeline.builder("n").source(Far()).select("x")))
        .otherwise()
        .merge()
    )
    found = said(split.sink(TestSink()).build())
    assert "far away" in found and "far, 3 files" not in found and "explain() says which" in found
    assert "x" in found and "Int64" in found


def test_the_table_of_a_join_is_drawn_and_not_looked_at_again() -> None:

    class FarTable(Far):
        identity = "far away"  # type: ignore[assignment]

    joined = rows().join(Pipeline.builder("far").source(FarTable()).filter(pl.col("x") > 1), on="k")
    found = said(joined)
    assert "join/far/filter" in found and "asks join" in found and "far away" in found
    found = said(joined.sink(TestSink()).build())
    assert "join/far/filter" in found and "far, 3 files" not in found and "far away" in found
    assert "join/far/source: 2 columns" in found


def test_functions_are_not_called(tmp_path: Path) -> None:
    calls: list[object] = []

    def seen(batch: Any) -> Any:
        calls.append(batch)
        return batch

    mapped = rows().map(seen)
    assert "by .schema(), which asks map" in said(mapped) and calls == []
    scanned = rows().scan(lambda frame, state: (frame, state), state=None)
    assert "which asks scan" in said(scanned)
    joined = rows().join(mapped, on="k")
    assert "which asks join" in said(joined) and calls == []
    assert "which asks join_asof" in said(rows().join_asof(mapped, on="x"))
    mapped.schema()
    assert len(calls) == 1
    assert "2 columns come out" in said(mapped) and len(calls) == 1
    assert "columns come out" in said(rows().map(seen, schema=FRAME.schema)) and len(calls) == 1
    joined.schema()
    assert "3 columns come out" in said(joined)
    assert "columns come out" in said(rows().join(rows(), on="k"))
    assert "2 columns come out" in said(rows().join(FRAME, on=["k", "x"]))
    assert "2 columns come out" in said(rows().join_asof(FRAME.select("x"), on="x"))


def test_a_channel_is_not_read_or_closed() -> None:
    sender, receiver = channel(4)
    builder = Pipeline.builder().source(Source.from_channel(receiver)).filter(pl.col("x") > 1)
    assert "learnt from the first batch" in said(builder)
    sink = TestSink()
    pipeline = builder.sink(sink).build()
    assert "learnt from the first batch" in said(pipeline)
    sender.send_nowait(FRAME)
    sender.close()
    pipeline.run_sync()
    assert sink.received() == [{"k": "b", "x": 2}]
    assert "learnt" not in said(pipeline)


class Odd(Processor):
    """A processor whose columns cannot be asked for."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        raise self.error

    async def process(self, batch: Any) -> Any:
        return batch


def test_a_failure_of_the_users_code_is_shown() -> None:
    for error in (ZeroDivisionError("odd"), pl.exceptions.PanicException("odd")):
        found = said(rows().process(Odd(error)))
        assert type(error).__name__ in found and "odd" in found


def test_an_interruption_is_no_failure() -> None:
    with pytest.raises(KeyboardInterrupt):
        said(rows().process(Odd(KeyboardInterrupt())))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_names_with_markup_are_text(hostile: str) -> None:
    name = hostile.encode(errors="replace").decode().replace("\0", "")  # Arrow has no such names
    frame = pl.DataFrame({name: ["a"], "x": [1]})
    builder = (
        Pipeline.builder(name=name)
        .source(Source.from_frame(frame))
        .filter(pl.col(name) != name)
        .with_columns(y=pl.lit(name))
    )
    said(builder)
    said(builder.split(name).branch(name).otherwise().merge())
    said(builder.select(f"{name}?"))
    said(builder.sink(TestSink()).build())


def test_one_line_for_a_console() -> None:
    builder = rows("many")
    assert repr(builder) == "Builder 'many': frame -> no sink yet"
    for number in range(7):
        builder = builder.filter(pl.col("x") > number)
    assert repr(builder) == "Builder 'many': frame -> 7 steps -> no sink yet"
    pipeline = rows("two").filter(pl.lit(True)).sink(Sink.fanout([TestSink(), Sink.to_fn(print)])).build()
    assert repr(pipeline) == "Pipeline 'two': frame -> filter -> test, fn print"
    assert pipeline._repr_mimebundle_()["text/plain"] == repr(pipeline)
    ended = rows().split("k").otherwise(lambda each: each.sink(TestSink())).merge()
    assert repr(ended) == "Builder 'p': frame -> split"
    assert repr(Pipeline.builder()) == "Builder 'pipeline': no source yet -> no sink yet"


def subclasses(kind: type) -> Iterable[type]:
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


def test_every_class_that_is_shown_names_a_function_that_is_there() -> None:
    kinds = [each for each in subclasses(Shown) if each.__module__.startswith("arrowstream.")]
    assert len(kinds) > 20 and {SourceSpec, SinkSpec, Builder} <= set(kinds)
    for kind in kinds:
        module, _, name = kind._shown_by.partition(".")  # type: ignore[attr-defined]
        for form in ("html", "text"):
            assert callable(getattr(import_module(f"arrowstream.display.{module}"), f"{name}_{form}"))
