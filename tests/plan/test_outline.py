"""The outline of a pipeline: the nodes and edges that a reader of `explain()` would draw."""

import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

import polars as pl
import pytest

from arrowstream import Builder, ErrorHandler, Pipeline, Sink, Source
from arrowstream.plan.outline import Cost, Edge, Outline
from arrowstream.testing import TestSink

BIDS = pl.DataFrame({"auction": [1, 2], "price": [90.0, 200.0], "bidder": ["a", "b"]})
TEXT = (("auction", "Int64"), ("price", "Float64"), ("bidder", "String"))


def bids(name: str = "bids") -> Builder:
    return Pipeline.builder(name=name).source(Source.from_frame(BIDS))


def ways(outline: Outline) -> list[tuple[str, str, str, str]]:
    return [(edge.source, edge.target, edge.kind, edge.label) for edge in outline.edges]


async def rows() -> AsyncIterator[pl.DataFrame]:
    yield BIDS


def unknown() -> Builder:
    """A builder whose columns its first batch shows."""
    return Pipeline.builder(name="bids").source(Source.from_fn(rows))


def test_stages_have_their_steps_columns_and_backend() -> None:
    builder = bids().with_columns(eur=pl.col("price") * 0.9).filter(pl.col("eur") > 100).batch(rows=10)
    outline = builder.select("eur").backend("polars").sink(TestSink()).build().outline()
    assert outline.planned and outline.name == "bids" and outline.query is None
    assert ways(outline) == [
        ("source", "with_columns+filter", "rows", ""),
        ("with_columns+filter", "batch", "rows", ""),
        ("batch", "select", "rows", ""),
        ("select", "sink", "rows", ""),
    ]
    source, fused, batch, select, sink = outline.nodes
    assert (source.kind, source.label, source.columns_in, source.columns_out) == (
        "source",
        "frame",
        None,
        TEXT,
    )
    assert fused.kind == "expressions" and fused.fused and fused.label == "with_columns+filter"
    assert fused.steps == ("with_columns(eur = price * 0.9)", "filter(eur > 100)")
    assert fused.columns_in == TEXT and fused.columns_out == (*TEXT, ("eur", "Float64"))
    assert fused.backend == "auto: arrow below ~45,000 rows, polars above" and fused.costs == ()
    assert (batch.kind, batch.backend, batch.fused) == ("operator", None, False)
    assert select.backend == "pinned: polars"
    assert (sink.kind, sink.label, sink.columns_out) == ("sink", "test", None)
    assert sink.guarantee == "in memory: complete when the run has ended well"
    assert outline.node("batch") is batch
    assert outline.edges[2] == Edge("batch", "select", columns=(*TEXT, ("eur", "Float64")))
    with pytest.raises(KeyError, match="other"):
        outline.node("other")


def test_an_outline_is_plain_enough_for_json() -> None:
    outline = bids().filter(pl.col("price") > 1).sink(TestSink()).build().outline()
    plain = json.loads(json.dumps(asdict(outline)))
    assert plain["nodes"][1]["columns_in"] == [list(column) for column in TEXT]


def test_costs_come_with_a_run() -> None:
    pipeline = bids().filter(pl.col("price") > 1).sink(TestSink()).build()
    pipeline.run_sync()
    (cost,) = pipeline.outline().node("filter").costs
    assert isinstance(cost, Cost) and cost.backend == "arrow" and cost.batches == 1
    assert cost.fixed_us >= 0 and cost.row_ns >= 0


def test_branches_meet_or_end_in_sinks() -> None:
    builder = (
        bids()
        .split(pl.col("bidder"))
        .branch("a", lambda branch: branch.filter(pl.col("price") > 1))
        .branch("b/c", lambda branch: branch.sink(TestSink()))
        .otherwise(lambda branch: branch)
        .merge()
        .select("price")
    )
    outline = builder.sink(Sink.fanout([TestSink(), TestSink().best_effort(buffer=3)])).build().outline()
    assert ways(outline) == [
        ("source", "split", "rows", ""),
        ("split", "split/a/filter", "rows", "a"),
        ("split", "split/b%2Fc/sink", "rows", "b/c"),
        ("split/a/filter", "select", "rows", ""),
        ("split", "select", "rows", "otherwise"),
        ("select", "sink 1", "rows", ""),
        ("select", "sink 2", "rows", ""),
    ]
    assert {edge.columns for edge in outline.edges[:5]} == {TEXT}
    split, inner = outline.node("split"), outline.node("split/a/filter")
    assert (split.kind, split.columns_in, split.columns_out) == ("split", TEXT, TEXT)
    assert (inner.label, inner.line) == ("filter", "split/a")
    assert outline.node("sink 2").guarantee == "best effort: misses batches when more than 3 wait"


def test_inputs_meet() -> None:
    other = bids("o").filter(pl.col("price") > 1)
    outline = bids().merge(other, bids("p")).sink(TestSink()).build().outline()
    assert ways(outline) == [
        ("merge/o/source", "merge/o/filter", "rows", ""),
        ("source", "merge", "rows", ""),
        ("merge/o/filter", "merge", "rows", "o"),
        ("merge/p/source", "merge", "rows", "p"),
        ("merge", "sink", "rows", ""),
    ]
    assert outline.node("merge").kind == "inputs"
    assert outline.node("merge/o/source").line == "merge/o"


def test_late_rows_dead_letters_and_remarks() -> None:
    bad = Sink.to_fn(print)
    late = Sink.to_fn(print)
    frame = pl.DataFrame({"ts": [1, 2], "x": [1, 2]}, schema_overrides={"ts": pl.Datetime("us")})
    builder = Pipeline.builder().source(Source.from_frame(frame))
    checked = builder.map(x=pl.col("x") * 2).named("map").on_error(ErrorHandler.dead_letter(bad))
    windows = checked.window(size="10s", on="ts", late=late).agg(pl.len())
    pipeline = windows.sink(TestSink().on_error(ErrorHandler.dead_letter(bad))).build()
    outline = pipeline.outline()
    assert [edge for edge in ways(outline) if edge[2] != "rows"] == [
        ("map", "dead letters of map", "dead letters", ""),
        ("window", "late rows of window", "late rows", ""),
        ("sink", "dead letters of sink", "dead letters", ""),
    ]
    assert outline.node("map").policies == ("on error: dead_letter(fn print)",)
    assert outline.node("late rows of window").columns_in == (
        ("ts", "Datetime(time_unit='us', time_zone=None)"),
        ("x", "Int64"),
    )
    assert "no watermark" in (outline.node("window").remark or "")
    assert {"source", "map", "window"} < {node.id for node in outline.nodes}


def test_a_sink_that_several_use_has_the_name_that_metrics_have(tmp_path: Path) -> None:
    """The sink is opened before the stages, so that its dead letters give their name to those that share them."""
    bad = TestSink()
    builder = bids().filter(pl.col("price") > 1).on_error(ErrorHandler.log())
    builder = builder.on_error(ErrorHandler.dead_letter(bad))
    end = Sink.to_fn(len).on_error(ErrorHandler.log()).on_error(ErrorHandler.dead_letter(bad))
    pipeline = builder.sink(end).build()
    outline = pipeline.outline()
    assert [edge for edge in ways(outline) if edge[2] == "dead letters"] == [
        ("filter", "dead letters of sink", "dead letters", ""),
        ("sink", "dead letters of sink", "dead letters", ""),
    ]
    pipeline.run_sync()
    assert {node.id for node in outline.nodes} == set(pipeline.metrics().stages)


def test_a_file_takes_the_segment_over_and_puts_bad_rows_aside(tmp_path: Path) -> None:
    BIDS.write_parquet(tmp_path / "bids.parquet")
    builder = Pipeline.builder().source(Source.from_file(tmp_path / "bids.parquet"))
    outline = builder.filter(pl.col("price") > 100).select("auction").sink(TestSink()).build().outline()
    source = outline.node("source")
    assert source.steps == ("filter(price > 100)", "select(auction)")
    assert source.backend == "polars, inside the read"
    assert source.reads and source.columns_out == (("auction", "Int64"),)
    BIDS.write_csv(tmp_path / "bids.csv")
    files = Source.from_file(tmp_path / "bids.csv", bad_rows=Sink.to_file(f"{tmp_path}/bad/"))
    outline = Pipeline.builder().source(files).sink(TestSink()).build().outline()
    assert ("source", "bad rows of source", "bad rows", "") in ways(outline)
    assert outline.node("bad rows of source").kind == "side"


def test_before_the_columns_are_known_each_step_is_a_node() -> None:
    builder = (
        unknown()
        .filter(pl.col("price") > 1)
        .on_error(ErrorHandler.dead_letter(TestSink()))
        .select("price", "bidder", "auction")
        .backend("arrow")
        .merge(bids("o").filter(pl.col("price") > 3).select("price", "bidder", "auction"))
        .split(pl.col("bidder"))
        .branch("a", lambda branch: branch.batch(rows=2))
        .branch("b", lambda branch: branch.sink(TestSink()))
        .merge()
    )
    outline = builder.sink(TestSink()).build().outline()
    assert not outline.planned
    assert ways(outline) == [
        ("source", "filter", "rows", ""),
        ("filter", "dead letters of filter", "dead letters", ""),
        ("filter", "select", "rows", ""),
        ("merge/o/source", "merge/o/filter", "rows", ""),
        ("merge/o/filter", "merge/o/select", "rows", ""),
        ("select", "merge", "rows", ""),
        ("merge/o/select", "merge", "rows", "o"),
        ("merge", "split", "rows", ""),
        ("split", "split/a/batch", "rows", "a"),
        ("split", "split/b/sink", "rows", "b"),
        ("split/a/batch", "sink", "rows", ""),
    ]
    assert {(node.columns_in, node.columns_out) for node in outline.nodes} == {(None, None)}
    assert outline.node("select").backend == "pinned: arrow"
    assert {node.kind for node in outline.nodes} == {
        *("source", "expressions", "operator", "split", "inputs", "sink", "side"),
    }


def test_a_builder_has_no_sink_and_no_guarantee() -> None:
    outline = bids().filter(pl.col("price") > 1).outline()
    assert [node.id for node in outline.nodes] == ["source", "filter"]
    assert outline.guarantees == ()
    done = bids().sink(Sink.to_fn(len))
    assert done.outline().guarantees == done.build().outline().guarantees != ()


def test_a_query_stays_with_its_pipeline() -> None:
    query = "SELECT price FROM bids WHERE price > 3"
    assert Pipeline.sql(query, bids=bids()).outline().query == query


def test_a_branch_that_is_looked_at_while_it_is_built() -> None:
    from arrowstream.plan.outline_of import outline

    seen = []

    def look(branch: Builder) -> Builder:
        inner = branch.split(pl.col("bidder")).branch("a", lambda each: each).merge()
        seen.append(outline(inner.graph, None))
        return inner

    bids().split(pl.col("bidder")).branch("a", look).otherwise(lambda rest: rest).merge()
    assert [node.id for node in seen[0].nodes] == ["split"] and seen[0].edges == ()


def rates() -> Builder:
    """A table that a pipeline with steps and a sink at its side makes."""
    source = Source.from_frame(pl.DataFrame({"bidder": ["a"], "rate": [2.0], "time": [1]}))
    kept = Pipeline.builder(name="rates").source(source).filter(pl.col("rate") > 0)
    return kept.on_error(ErrorHandler.dead_letter(TestSink())).batch(rows=5)


def test_the_pipeline_of_a_table_is_drawn_with_its_steps() -> None:
    outline = bids().join(rates(), on="bidder").filter(pl.col("rate") > 1).sink(TestSink()).build().outline()
    assert ways(outline) == [
        ("join/rates/source", "join/rates/filter", "rows", ""),
        ("join/rates/filter", "dead letters of join/rates/filter", "dead letters", ""),
        ("join/rates/filter", "join/rates/batch", "rows", ""),
        ("source", "join", "rows", ""),
        ("join/rates/batch", "join", "rows", "rates"),
        ("join", "filter", "rows", ""),
        ("filter", "sink", "rows", ""),
    ]
    ids = [node.id for node in outline.nodes]
    assert all(ids.index(edge.source) < ids.index(edge.target) for edge in outline.edges)
    step = outline.node("join/rates/filter")
    columns = (("bidder", "String"), ("rate", "Float64"), ("time", "Int64"))
    assert (step.kind, step.line, step.label) == ("expressions", "join/rates", "filter")
    assert step.columns_out == columns and step.backend == "auto: arrow below ~45,000 rows, polars above"
    assert outline.edges[4].columns == columns
    assert outline.node("join").columns_in == TEXT


def test_tables_of_tables_and_of_steps_without_columns_are_drawn() -> None:
    twice = rates().join(rates(), on="bidder")
    outline = unknown().join_asof(twice, left_on="auction", right_on="time").outline()
    assert not outline.planned
    assert ways(outline)[-3:] == [
        ("join_asof/rates/join/rates/batch", "join_asof/rates/join", "rows", "rates"),
        ("source", "join_asof", "rows", ""),
        ("join_asof/rates/join", "join_asof", "rows", "rates"),
    ]
    planned = bids().join_asof(twice, left_on="auction", right_on="time").outline()
    assert set(ways(outline)) <= set(ways(planned)) and planned.planned


def test_a_frame_that_is_joined_has_no_pipeline_to_draw() -> None:
    outline = bids().join(pl.DataFrame({"bidder": ["a"]}), on="bidder").outline()
    assert [node.id for node in outline.nodes] == ["source", "join"]
