"""`sort` and `over`: the rows of complete groups, as Polars gives them on the whole; and rows with their windows."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from contexts import context
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from one_input import Scripted, fed
from polars.testing import assert_frame_equal
from windowing import SCHEMA, events, little_put_aside

from arrowstream import Builder, Pipeline, Source
from arrowstream.core.batch import Batch, Watermark
from arrowstream.errors import PlanError, SchemaError, StageError
from arrowstream.operators.base import Process
from arrowstream.operators.over import Over
from arrowstream.operators.ranking.order import RowOrder
from arrowstream.operators.sort import Sort
from arrowstream.operators.window import windows
from arrowstream.state.limit import StateLimit
from arrowstream.testing import TestSink

S = 1_000_000
X = pl.col("x")
ORDERS = st.sampled_from(
    [
        RowOrder.of("sort", "f", descending=False, nulls_last=False),
        RowOrder.of("sort", "x", descending=True, nulls_last=True),
        RowOrder.of("sort", ["s", "x"], descending=[True, False], nulls_last=[False, True]),
    ]
)


@settings(max_examples=examples(150))
@given(events(), ORDERS, st.sampled_from([(), ("k",), ("g", "f")]), st.booleans(), st.data())
def test_groups_are_sorted_as_by_polars(
    rows: pl.DataFrame, order: RowOrder, per: tuple[str, ...], timed: bool, data: st.DataObject
) -> None:
    rows = rows.with_row_index("row")
    step = Sort(order, ("ts", *per) if timed else per, "ts" if timed else None)
    with little_put_aside(data):
        found = fed(step, rows, data.draw, "ts", 80 * S)
    assert not found.late
    ordered = rows.sort(
        order.by, descending=order.descending, nulls_last=order.nulls_last, maintain_order=True
    )
    if timed:
        expected = ordered.sort("ts", *per, maintain_order=True)
    else:
        first = pl.col("row").min().over(per) if per else pl.lit(0)
        expected = ordered.with_columns(first.alias("first")).sort("first", maintain_order=True).drop("first")
    assert_frame_equal(found.rows(), expected)


PLACES = {
    "rank": X.rank("ordinal", descending=True).over("k"),
    "share": X / X.sum(),
    "before": X.shift(1).over("k", "g"),
    "n": pl.len(),
    "x": X.cum_sum(),
}
TOGETHER = {name: expr for name, expr in PLACES.items() if name not in ("rank", "before")}
"""Without windows inside of a group, which are computed group by group."""


@settings(max_examples=examples(100))
@given(
    events(),
    st.sampled_from([(), ("s",), ("g", "k")]),
    st.sampled_from([PLACES, TOGETHER]),
    st.integers(0, 80),
    st.data(),
)
def test_columns_are_computed_over_the_rows_of_a_group(
    rows: pl.DataFrame,
    per: tuple[str, ...],
    places: dict[str, pl.Expr],
    lateness: int,
    data: st.DataObject,
) -> None:
    rows = rows.with_row_index("row")
    step = Over(("ts", *per), tuple(expr.alias(name) for name, expr in places.items()), "ts")
    with little_put_aside(data):
        found = fed(step, rows, data.draw, "ts", lateness * S)
    late = pl.concat([rows.clear(), *found.late])
    timely = rows.join(late, on="row", how="anti", maintain_order="left")
    parts = timely.sort("ts", maintain_order=True).partition_by(["ts", *per], maintain_order=True)
    empty = timely.clear().with_columns(**places)
    expected = pl.concat([empty, *(part.with_columns(**places) for part in parts)])
    assert_frame_equal(found.rows(), expected)
    found.check_watermarks("ts")


def test_groups_without_a_time_are_complete_at_the_end() -> None:
    step = Over(("k",), (X.max().alias("most"),))
    rows = pl.DataFrame({"k": ["a", "b", "a"], "x": [1, 2, 3]})
    found = fed(step, rows, lambda _: [1] if not isinstance(_, int) else 0, "x", restarts=False)
    assert found.rows().rows() == [("a", 1, 3), ("a", 3, 3), ("b", 2, 2)]
    assert found.ends == 0 and not any(isinstance(element, Watermark) for element in found.elements)


@settings(max_examples=examples(100))
@given(
    events(),
    st.sampled_from([(10, None), (10, 5), (10, 4), ("1mo", None)]),
    st.integers(0, 80),
    st.data(),
)
def test_rows_have_the_bounds_of_their_windows(
    rows: pl.DataFrame, spacing: tuple[Any, Any], lateness: int, data: st.DataObject
) -> None:
    """What is grouped by the bounds is what a window aggregates, late rows included."""
    size, every = spacing
    rows = rows.with_row_index("row")
    made = windows(lambda step: step, size, every=every, on="ts")
    at = [*sorted(data.draw(st.lists(st.integers(0, rows.height), max_size=5)))]

    def drawn(_: Any) -> Any:
        return at

    of_rows = fed(made.rows(), rows, drawn, "ts", lateness * S, restarts=False)
    again = fed(made.rows(), rows, data.draw, "ts", 80 * S)
    assert of_rows.schema == pl.Schema(
        {"window_start": pl.Int64, "window_end": pl.Int64, "row": pl.UInt32, **SCHEMA}
    )
    expected = fed(
        made.agg(pl.col("row").implode().alias("rows")), rows, drawn, "ts", lateness * S, restarts=False
    )
    grouped = of_rows.rows().group_by("window_start", "window_end").agg(pl.col("row").sort().alias("rows"))
    whole = expected.rows().with_columns(pl.col("rows").list.sort())
    assert_frame_equal(grouped.sort("window_start"), whole.sort("window_start"))
    assert [late["row"].to_list() for late in of_rows.late] == [
        late["row"].to_list() for late in expected.late
    ]
    of_rows.check_watermarks("window_start")
    if every is None:
        assert again.rows()["row"].to_list() == rows["row"].to_list()


@pytest.mark.parametrize("size", [1, 7])
def test_parts_of_some_rows_with_a_restart_after_each(size: int) -> None:
    number = pl.int_range(0, 60, eager=True)
    rows = pl.DataFrame({"ts": number // 2, "k": number % 5, "x": number * 7 % 11})
    order = RowOrder.of("sort", "x", descending=True, nulls_last=False)
    for per, time in ((("ts",), "ts"), (("k",), None), ((), None)):
        found = fed(Sort(order, per, time), rows, Scripted(size), "ts", 1).rows()
        groups = [name for name in per if name != "k"]
        first = ["k"] if per == ("k",) else []
        assert_frame_equal(found, rows.sort(*groups, *first, -X, maintain_order=True))
    made = windows(lambda step: step, "10us", every="5us", on="ts").rows()
    assert fed(made, rows, Scripted(size), "ts", 2).rows().height == 120
    uneven = windows(lambda step: step, "10us", every="4us", on="ts").rows()
    inside = [sum(1 for start in range(-8, 33, 4) if start <= time < start + 10) for time in rows["ts"]]
    assert fed(uneven, rows, Scripted(size), "ts", 2).rows().height == sum(inside)


@pytest.mark.parametrize("limit", [StateLimit(), StateLimit(None, 1 << 16, "spill")], ids=["memory", "files"])
def test_groups_of_one_time_come_in_the_order_of_their_first_rows_after_a_restart(limit: StateLimit) -> None:
    """Snapshots are in key shards, whose order is another one."""
    number = pl.int_range(0, 6_000, eager=True)
    keys = (number * 7_919 % 50).cast(pl.String)
    rows = pl.DataFrame({"ts": number * 13 % 2, "k": keys, "x": number, "s": "a text of " + keys})
    step = Over(("ts", "k"), (X.sum().alias("total"),), "ts", limit)
    process = step.start(rows.schema, context())
    assert isinstance(process, Process)
    for part in rows.iter_slices(1_000):
        assert list(process.process(Batch(part))) == []
        saved = list(process.snapshot())
        process = step.start(rows.schema, context())
        assert isinstance(process, Process)
        process.restore(iter(saved))
    found = pl.concat(element.polars() for element in process.finish() if isinstance(element, Batch))
    parts = rows.sort("ts", maintain_order=True).partition_by(["ts", "k"], maintain_order=True)
    assert_frame_equal(found, pl.concat(part.with_columns(total=X.sum()) for part in parts))


def test_times_far_apart_and_batches_without_rows() -> None:
    rows = pl.DataFrame({"ts": [1 << 40, 0, 1 << 40], "x": [1, 2, 3]})
    found = (
        Pipeline.builder().source(Source.from_frame([rows, rows[:0]])).top_k(1, by="x", per="ts", time="ts")
    )
    assert found.collect_sync().rows() == [(0, 2), (1 << 40, 3)]


def test_batches_without_rows_give_none() -> None:
    empty = pl.DataFrame(schema={"ts": pl.Int64, "x": pl.Int64})
    order = RowOrder.of("sort", "x", descending=False, nulls_last=False)
    for step in (
        Sort(order, ("ts",), "ts"),
        windows(lambda made: made, "1s", on="ts", null_times="drop").rows(),
    ):
        process = step.start(empty.schema, context())
        assert isinstance(process, Process)
        assert list(process.process(Batch(empty))) == [] and process.take_late() is None
        (mark,) = process.on_watermark(5 * S)
        assert list(process.on_watermark(3 * S)) == [mark], "time does not go back"


def bids() -> Builder:
    frame = pl.DataFrame(
        {
            "us": [1, 4, 11, 12, 25, 3],
            "item": ["a", "b", "a", "b", "a", "b"],
            "price": [10, 30, 20, 40, 5, 99],
        }
    )
    parts = [frame[at : at + 2] for at in range(0, frame.height, 2)]
    return Pipeline.builder().source(Source.from_frame(parts).with_event_time("us"))


def test_a_window_is_ranked_and_sorted() -> None:
    rows = bids().window("10us", on="us").rows()
    place = pl.col("price").rank("ordinal", descending=True)
    ranked = rows.over("window_start", place=place).select("window_start", "price", "place").collect_sync()
    assert ranked.rows() == [(0, 10, 2), (0, 30, 1), (10, 20, 2), (10, 40, 1), (20, 5, 1)]
    ordered = rows.sort("price", per=["window_start", "window_end"], descending=True)
    assert ordered.collect_sync()["price"].to_list() == [30, 10, 40, 20, 5]
    assert (
        "sort(price descending, per=[window_start, window_end], once the watermark passes window_start)"
        in (ordered.explain())
    )
    best = rows.top_k(1, by="price", per="window_start").collect_sync()
    assert best["price"].to_list() == [30, 40, 5]
    assert "window(size=10us, on=us).rows()" in rows.explain() or ".rows()" in rows.explain()
    text = rows.over("window_end", n=pl.len()).explain()
    assert "over([window_end], n = len(), once the watermark passes window_start)" in text
    lates = bids().window("10us", on="us", allowed_lateness="5us").rows().explain()
    assert "allowed_lateness=0.000005s" in lates
    assert "at the end of the stream" in bids().sort("price", nulls_last=True).explain()


def test_rows_without_a_time_are_an_error_or_left_out_or_late() -> None:
    frame = pl.DataFrame({"us": [1, None, 12], "x": [1, 2, 3]})
    rows = Pipeline.builder().source(Source.from_frame(frame))
    with pytest.raises(StageError, match="rows without an event time"):
        rows.window("10us", on="us").rows().collect_sync()
    left, late = TestSink(), TestSink()
    report = rows.window("10us", on="us", null_times="drop").rows().sink(left).build().run_sync()
    assert left.frame()["x"].to_list() == [1, 3] and "1 row without an event time left out" in str(report)
    made = rows.window("10us", on="us", null_times="late", late=late).rows()
    assert "null_times=late" in made.explain()
    assert made.collect_sync()["x"].to_list() == [1, 3] and late.frame()["x"].to_list() == [2]


@pytest.mark.parametrize("step", ["sort", "over"])
def test_late_rows_go_to_their_sink(step: str) -> None:
    late, out = TestSink(), TestSink()
    rows = bids()
    made = (
        rows.sort("price", per="us", late=late) if step == "sort" else rows.over("us", n=pl.len(), late=late)
    )
    report = made.sink(out).build().run_sync()
    assert late.frame()["price"].to_list() == [99] and out.frame().height == 5
    [stage] = [stage for stage in report.stages if stage.name == step]
    assert stage.late_rows == stage.late_rows_kept == 1


def test_rows_beyond_the_limit_are_spilled_or_refused() -> None:
    number = pl.int_range(0, 60_000, eager=True)
    frame = pl.DataFrame({"us": number * 7 % 1_000, "x": number, "s": "a text of " + number.cast(pl.String)})
    parts = [frame[at : at + 5_000] for at in range(0, frame.height, 5_000)]
    builder = Pipeline.builder().source(Source.from_frame(parts))

    def step(**limit: Any) -> Builder:
        return builder.sort("s", per="us", time="us", **limit)

    spilled = step(max_bytes=1 << 19, on_full="spill").collect_sync()
    assert_frame_equal(spilled, frame.sort("us", "s"))
    timed = Pipeline.builder().source(
        Source.from_frame([frame.sort("us")[:30_000], frame.sort("us")[30_000:]])
    )
    order = RowOrder.of("sort", "s", descending=False, nulls_last=False)
    process = Sort(order, ("us",), "us", StateLimit(None, 1 << 19, "spill")).start(frame.schema, context())
    assert isinstance(process, Process)
    for part in parts:
        assert list(process.process(Batch(part))) == []
    *early, mark = process.on_watermark(1)
    assert mark == Watermark(1) and sum(made.num_rows for made in early) == 60  # type: ignore[union-attr]
    marked = timed.with_event_time("us").sort("s", per="us", max_bytes=1 << 19, on_full="spill")
    assert_frame_equal(marked.collect_sync(), frame.sort("us", "s"))
    with pytest.raises(StageError, match="larger than max_bytes"):
        step(max_bytes=1 << 19).collect_sync()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rows: rows.sort([]), r"sort\(by=...\) names no column"),
        (lambda rows: rows.sort("z"), r"sort\(by=...\) names a column that is not there"),
        (lambda rows: rows.sort("price", descending=[True, False]), r"sort\(descending=...\) does not fit"),
        (lambda rows: rows.sort("price", time="us"), "names a column that is not in per"),
        (lambda rows: rows.sort("price", late=TestSink()), "goes with groups of an event time"),
        (lambda rows: rows.sort("price", max_bytes=1, on_full="evict"), "would lose rows"),
        (lambda rows: rows.over([], n=pl.len()), r"over\(per\) names no column"),
        (lambda rows: rows.over("item"), "over"),
        (lambda rows: rows.over("item", n=pl.col("z").sum()), "does not fit the columns"),
        (lambda rows: rows.over("item", __n__=pl.len()), "keeps names with two underscores"),
        (lambda rows: rows.over("item", n=pl.len(), max_bytes=1, on_full="evict"), "would lose rows"),
        (lambda rows: rows.window(rows=2).rows(), r"window\(rows=...\).rows\(\) is not possible"),
        (lambda rows: rows.window(session="1s", on="us").rows(), r"window\(session=...\).rows\(\)"),
        (lambda rows: rows.window("1s", on="us", by="item").rows(), r"window\(by=...\).rows\(\)"),
        (lambda rows: rows.window("1s", on="us", max_bytes=1).rows(), r"window\(max_bytes=...\).rows\(\)"),
        (lambda rows: rows.rename({"item": "window_end"}).window("1s", on="us").rows(), "this name itself"),
    ],
)
def test_wrong_arguments_say_what_is_wrong(call: Any, message: str) -> None:
    with pytest.raises((PlanError, SchemaError), match=message):
        call(bids()).explain()


def test_the_limit_is_no_part_of_the_identity() -> None:
    limit = StateLimit(max_bytes=1 << 20)
    order = RowOrder.of("sort", "x", descending=False, nulls_last=True)
    assert Sort(order, limit=limit).identity == "sort(x, nulls_last=[True], at the end of the stream)"
    assert Over(("k",), (X.max(),), limit=limit).identity == "over([k], x.max(), at the end of the stream)"


def test_columns_of_many_groups_are_computed_together() -> None:
    rows = pl.DataFrame({"k": [n % 3_000 for n in range(9_000)], "x": [n * 7 % 11 for n in range(9_000)]})
    exprs = {
        "place": X.rank(),
        "all": pl.len(),
        "share": X / (X.sum() + 1),
        "one": pl.lit(1),
        "before": X.shift(1),
    }
    builder = Pipeline.builder().source(Source.from_frame(rows))
    found = builder.over("k", **exprs).collect_sync()
    whole = rows.with_columns(expr.over("k").alias(name) for name, expr in exprs.items())
    assert_frame_equal(found.sort("k", maintain_order=True), whole.sort("k", maintain_order=True))
    inner = builder.over("k", n=pl.len().over("x")).collect_sync()
    counted = rows.with_columns(n=pl.len().over("k", "x"))
    assert_frame_equal(inner.sort("k", maintain_order=True), counted.sort("k", maintain_order=True))
