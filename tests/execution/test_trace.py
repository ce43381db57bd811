"""What the first rows of a pipeline look like after every step, and after one of them."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from message_sources import Messages, Numbers, messages

from arrowstream import Builder, ErrorHandler, Pipeline, Sink, Source
from arrowstream.errors import PlanError
from arrowstream.testing import TestSink

BIDS = pl.DataFrame({"item": ["tea", "mug", "tea", "pot"], "price": [4.0, 12.5, 3.5, 20.0]})


def bids() -> Builder:
    return Pipeline.builder(name="bids").source(Source.from_frame(BIDS))


def fails(rows: Any) -> Any:
    if rows.num_rows and 12.5 in rows["price"].to_pylist():
        raise ValueError("a mug")
    return rows


def test_a_trace_has_the_rows_after_every_step() -> None:
    builder = bids().with_columns(eur=pl.col("price") * 2).filter(pl.col("eur") > 7).select("item", "eur")
    trace = builder.trace(3)
    source, computed, kept, chosen = trace.steps
    assert (source.id, source.text, source.rows, source.dropped) == ("source", "frame", (0, 1, 2), ())
    assert (computed.rows, computed.dropped) == ((0, 1, 2), ())
    assert (kept.id, kept.text, kept.rows, kept.dropped) == ("filter", "filter(eur > 7)", (0, 1), (2,))
    assert chosen.rows == (0, 1), "it has no column for the number of the row"
    assert trace.frame("select").equals(builder.collect_sync().head(2))
    with pytest.raises(KeyError, match="other"):
        trace.frame("other")


def test_the_text_has_the_steps_side_by_side() -> None:
    builder = bids().with_columns(eur=pl.col("price") * 2).filter(pl.col("eur") > 7.5).select("item", "eur")
    assert (
        str(builder.trace(3))
        == """\
trace of bids: 3 rows of frame
row  frame                 with_columns(eur = price * 2)  filter(eur > 7.5)  select(item, eur) without price
0    item=tea, price=4.0   eur=8.0                        ·                  ·
1    item=mug, price=12.5  eur=25.0                       ·                  ·
2    item=tea, price=3.5   eur=7.0                        dropped"""
    )


def test_cells_show_what_changed() -> None:
    frame = pl.DataFrame({"x": [1, 2], "tags": [["a", "b"], ["c"]]})
    builder = (
        Pipeline.builder()
        .source(Source.from_frame(frame))
        .explode("tags")
        .with_columns(x=pl.lit(1) * pl.col("x"))
    )
    assert builder.trace().cells() == (
        ("x=1, tags=['a', 'b']", "tags=a | tags=b", "· | ·"),
        ("x=2, tags=['c']", "tags=c", "·"),
    )
    long = Pipeline.builder().source(Source.from_frame(pl.DataFrame({"x": ["y" * 100]}))).trace()
    assert long.cells() == ((f"x={'y' * 43}...",),)


def test_rows_of_a_step_follow_the_table() -> None:
    trace = (
        bids().filter(pl.col("price") > 3.7).reduce(by=["item"], n=pl.len()).filter(pl.col("n") > 0).trace(4)
    )
    assert [step.rows for step in trace.steps] == [(0, 1, 2, 3), (0, 1, 3), None, None]
    text = str(trace)
    assert "after reduce(by=[item], n = len()), 3 rows of its own:\nshape: (3, 2)" in text
    assert text.splitlines()[1] == "row  frame                 filter(price > 3.7)"
    assert trace.cells()[0] == ("item=tea, price=4.0", "·", "", "")


def test_functions_that_keep_the_number_of_rows_are_followed() -> None:
    def doubled(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(price=pl.col("price") * 2)

    trace = bids().map(doubled, frame="polars").batch(rows=3).scan(n=pl.col("price").cum_sum()).trace(2)
    assert [step.rows for step in trace.steps] == [(0, 1)] * 4
    assert trace.cells()[1] == ("item=mug, price=12.5", "price=25.0", "·", "n=33.0")
    halved = bids().map(lambda rows: rows.head(1), frame="polars").trace(2)
    assert halved.steps[1].rows is None


def test_a_step_that_fails_ends_the_trace() -> None:
    trace = bids().filter(pl.col("price") > 3.7).map(fails).select("item").trace()
    assert [step.id for step in trace.steps] == ["source", "filter", "map"]
    assert "ValueError: a mug" in (trace.steps[-1].error or "")
    assert "map(fails) fails: ValueError: a mug" in str(trace)


def test_rows_that_a_handler_leaves_out_are_no_longer_followed() -> None:
    strict = bids().with_columns(n=pl.col("item").str.to_integer()).on_error(ErrorHandler.skip())
    assert [step.frame.height for step in strict.trace().steps] == [4, 0]
    assert strict.trace().steps[1].rows is None


def test_nothing_is_written(tmp_path: Path) -> None:
    bad, late, high, end = (str(tmp_path / name) for name in ("bad.csv", "late.csv", "high.csv", "end.csv"))
    builder = (
        bids()
        .map(fails)
        .on_error(ErrorHandler.dead_letter(Sink.to_file(bad)))
        .split(pl.when(pl.col("price") > 10).then(pl.lit("high")).otherwise(pl.lit("low")))
        .branch("high", lambda rows: rows.sink(Sink.to_file(high).on_error(ErrorHandler.log())))
        .branch("low", lambda rows: rows)
        .merge()
    )
    pipeline = builder.sink(Sink.to_file(end).on_error(ErrorHandler.dead_letter(Sink.to_file(late)))).build()
    assert [step.frame.height for step in pipeline.trace().steps] == [4, 3, 2]
    assert builder.sample()["price"].to_list() == [4.0, 3.5]
    assert list(tmp_path.iterdir()) == []


def test_a_split_whose_branches_all_end_is_the_end_of_the_trace() -> None:
    builder = bids().filter(pl.col("price") > 3.7).split(pl.col("item"))
    ended = builder.branch("tea", lambda rows: rows.sink(TestSink())).otherwise(
        lambda rows: rows.sink(TestSink())
    )
    assert [step.id for step in ended.merge().trace().steps] == ["source", "filter"]


@pytest.mark.parametrize("numbers", [Numbers(), Numbers(column=None)])
def test_messages_are_decoded_first(numbers: Numbers) -> None:
    source = Messages((messages("t[0]", 0, b"1,2", b"3"),), numbers, partitioned=False)
    trace = Pipeline.builder().source(source).filter(pl.first() > 1).trace(2)
    assert [step.rows for step in trace.steps] == [(0, 1), (1,)]
    assert trace.steps[0].frame.to_series().to_list() == [1, 2]


def test_event_time_keeps_the_rows() -> None:
    frame = pl.DataFrame({"ts": [1, 2]}, schema={"ts": pl.Datetime("us")})
    builder = Pipeline.builder().source(Source.from_frame(frame).with_event_time("ts"))
    trace = builder.window(size="1us", on="ts").agg(n=pl.len()).trace()
    assert [step.rows for step in trace.steps] == [(0, 1), (0, 1), None]
    assert trace.steps[2].frame["n"].to_list() == [1, 1]


def test_a_trace_needs_a_source_and_rows() -> None:
    with pytest.raises(PlanError, match="no source"):
        Pipeline.builder().trace()
    with pytest.raises(PlanError, match="rows"):
        bids().trace(0)


def test_a_sample_of_every_stage() -> None:
    builder = bids().with_columns(eur=pl.col("price") * 2).filter(pl.col("eur") > 7.5).select("item", "eur")
    assert builder.sample("source", 2).equals(BIDS.head(2))
    assert builder.sample("with_columns").columns == ["item", "price", "eur"]
    assert builder.sample("with_columns+filter", rows=1).rows() == [("tea", 4.0, 8.0)]
    assert builder.sample(rows=2).equals(builder.preview(2))
    assert builder.sink(TestSink()).sample("sink", 1).height == 1
    assert builder.filter(pl.col("eur") > 1e9).sample().schema == {"item": pl.String, "eur": pl.Float64}


def test_a_sample_inside_of_a_split() -> None:
    name = (
        pl.when(pl.col("price") > 10).then(pl.lit("high/er")).when(pl.col("price") > 3.7).then(pl.lit("low"))
    )
    builder = (
        bids()
        .split(name)
        .branch("high/er", lambda rows: rows.with_columns(n=pl.lit(1) * pl.col("price")).select("item"))
        .branch("low", lambda rows: rows.select("item"))
        .otherwise(lambda rows: rows.select("item"))
        .merge()
    )
    assert builder.sample("split/high%2Fer/with_columns").columns == ["item", "price", "n"]
    assert builder.sample("split/high%2Fer/with_columns+select")["item"].to_list() == ["mug", "pot"]
    assert builder.sample("split/low")["price"].to_list() == [4.0]
    assert builder.sample("split/otherwise/select")["item"].to_list() == ["tea"]
    assert builder.sample("split/otherwise")["price"].to_list() == [3.5]


def test_a_sample_of_another_input() -> None:
    others = Pipeline.builder("more").source(Source.from_frame(BIDS)).filter(pl.col("price") > 15)
    builder = bids().filter(pl.col("price") < 4).merge(others)
    assert builder.sample("merge/more/filter")["item"].to_list() == ["pot"]
    assert builder.sample("merge/more/source", 1)["item"].to_list() == ["tea"]
    assert sorted(builder.sample("merge")["item"].to_list()) == ["pot", "tea"]


@pytest.mark.parametrize(("stage", "hint"), [(5, "write sample(rows=5)"), (True, None), (None, None)])
def test_a_sample_of_what_is_no_name(stage: Any, hint: str | None) -> None:
    with pytest.raises(PlanError, match="the name of a stage is text") as raised:
        bids().sample(stage)
    assert raised.value.hint == hint


def test_names_that_no_stage_has() -> None:
    builder = (
        bids().filter(pl.col("price") > 10).split(pl.col("item")).branch("mug", lambda rows: rows).merge()
    )
    with pytest.raises(PlanError, match=r"no stage 'filtre'") as raised:
        builder.sample("filtre")
    assert raised.value.expected == "source, filter, split, split/mug"
    assert raised.value.hint == "did you mean 'filter'?"
    with pytest.raises(PlanError, match="no stage"):
        builder.sample("split/mug/nothing")
    with pytest.raises(PlanError, match="no stage"):
        Pipeline.builder().sample("source")


def test_the_rows_that_a_table_adds_to_come_from_those_that_have_its_key() -> None:
    """Also where as many rows come out as came in."""
    table = pl.DataFrame({"item": ["mug", "mug"], "size": [1, 2]})
    joined = bids().join(table, on="item").trace(2)
    assert joined.steps[1].rows == (1, 1) and joined.steps[1].dropped == (0,)
    assert joined.cells() == (("item=tea, price=4.0", "dropped"), ("item=mug, price=12.5", "size=1 | size=2"))
    left = bids().join(table, on="item", how="left").trace(3)
    assert left.steps[1].rows == (0, 1, 1, 2) and left.steps[1].dropped == ()
    sizes = pl.DataFrame({"cents": [0, 1000], "size": ["small", "large"]})
    cents = bids().select("item", cents=(pl.col("price") * 100).cast(pl.Int64))
    assert [cells[2] for cells in cents.join_asof(sizes, on="cents").trace(2).cells()] == [
        "size=small",
        "size=large",
    ]
