"""`reduce` against Polars' `group_by` on all rows at once."""

from datetime import time
from typing import Any

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from contexts import context
from effort import examples
from hypothesis import given, settings
from polars.testing import assert_frame_equal
from strategies import cuts
from windowing import AGGREGATES, SCHEMA, end, events, feed, joined

from arrowstream import Pipeline, Source
from arrowstream.core.batch import Watermark
from arrowstream.errors import PlanError, SchemaError, StageError
from arrowstream.operators.aggregation.aggregation import Aggregation
from arrowstream.operators.reduce import Reduce
from arrowstream.operators.windows.count_window import CountWindow

ROWS = pl.Schema(SCHEMA)
CLOSE: dict[str, Any] = {"rel_tol": 1e-12, "categorical_as_str": True}


def whole(rows: pl.DataFrame, exprs: list[pl.Expr], by: list[str]) -> pl.DataFrame:
    if by:
        return rows.group_by(by, maintain_order=True).agg(*exprs)
    grouped = rows.group_by(pl.lit(0).alias("none"), maintain_order=True).agg(*exprs)
    return grouped.drop("none")


@pytest.mark.parametrize("name", AGGREGATES)
@settings(max_examples=examples(4))
@given(data=st.data())
def test_the_end_equals_polars_on_the_whole(name: str, data: st.DataObject) -> None:
    rows = data.draw(events())
    by = data.draw(st.sampled_from([["k"], ["g", "k"], []]))
    exprs = [AGGREGATES[name], pl.len().alias("rows")]
    operator = Reduce.of(*exprs, by=by)
    process = operator.start(ROWS, context())
    out = feed(process, data.draw(cuts(rows)))
    assert out == []
    found = joined(operator, ROWS, end(process))
    expected = whole(rows, exprs, by) if rows.height else found.clear()
    assert_frame_equal(found, expected, **CLOSE)


@settings(max_examples=examples(15))
@given(data=st.data())
def test_updates_tell_the_aggregate_up_to_there(data: st.DataObject) -> None:
    rows = data.draw(events())
    exprs = [pl.col("x").sum(), pl.col("s").last(), pl.col("f").median()]
    operator = Reduce.of(*exprs, by="k", emit="updates")
    process = operator.start(ROWS, context())
    seen = ROWS.to_frame()
    for part in data.draw(cuts(rows)):
        seen = pl.concat([seen, part])
        out = joined(operator, ROWS, feed(process, [part]))
        touched = part.select("k").unique(maintain_order=True)
        expected = touched.join(whole(seen, exprs, ["k"]), on="k", nulls_equal=True, maintain_order="left")
        assert_frame_equal(out, expected)
    assert end(process) == []


@settings(max_examples=examples(15))
@given(data=st.data())
def test_a_snapshot_anywhere_continues_exactly(data: st.DataObject) -> None:
    parts = data.draw(cuts(data.draw(events())))
    cut = data.draw(st.integers(0, len(parts)))
    names = data.draw(st.lists(st.sampled_from(sorted(AGGREGATES)), min_size=1, max_size=3, unique=True))
    exprs = [AGGREGATES[name].name.prefix(f"{place}_") for place, name in enumerate(names)]
    operator = Reduce.of(
        *exprs,
        by=data.draw(st.sampled_from([["k", "s"], []])),
        emit=data.draw(st.sampled_from(["end", "updates"])),
    )
    straight, first, second = (operator.start(ROWS, context()) for _ in range(3))
    expected = feed(straight, parts) + end(straight)
    out = feed(first, parts[:cut])
    second.restore(first.snapshot())
    out += feed(second, parts[cut:]) + end(second)
    assert_frame_equal(joined(operator, ROWS, out), joined(operator, ROWS, expected), **CLOSE)


FOLDED = [
    pl.len(),
    pl.col("x").sum(),
    pl.col("x").mean().alias("mean"),
    pl.col("x").min().alias("least"),
    pl.col("x").max().alias("most"),
    pl.col("f").sum(),
    pl.col("k").max().alias("of small ones"),
    pl.col("x").cast(pl.Duration("ms")).min().alias("shortest"),
    pl.col("x").cast(pl.Date).max().alias("latest"),
]


@settings(max_examples=examples(40))
@given(data=st.data())
def test_what_is_folded_equals_polars_cut_and_restored_anywhere(data: st.DataObject) -> None:
    rows = data.draw(events())
    operator = Reduce.of(*FOLDED, by=data.draw(st.sampled_from([["s"], ["k", "g"], []])))
    process = operator.start(ROWS, context())
    for part in data.draw(cuts(rows)):
        assert feed(process, [part]) == []
        if data.draw(st.booleans()):
            state, process = process.snapshot(), operator.start(ROWS, context())
            process.restore(state)
    found = joined(operator, ROWS, end(process))
    expected = whole(rows, FOLDED, list(operator.by)) if rows.height else found.clear()
    assert_frame_equal(found, expected, categorical_as_str=True)


def test_what_is_folded_over_many_keys_whose_values_are_null_at_times() -> None:
    rng = np.random.default_rng(0)
    rows = pl.DataFrame({"k": rng.integers(0, 5_000, 40_000), "x": rng.integers(-9, 9, 40_000)})
    # The first keys have values; nulls come later, for known keys and new ones, and so do values after nulls.
    sparse = pl.when(pl.int_range(pl.len()).is_between(300, 20_000) & (pl.col("x") < 8)).then(None)
    rows = rows.with_columns(sparse.otherwise(pl.col("x")).alias("x"))
    exprs = [pl.col("x").sum(), pl.col("x").min().alias("least"), pl.col("x").max().alias("most")]
    operator = Reduce.of(*exprs, by="k", emit="updates")
    process = operator.start(rows.schema, context())
    parts = [rows[start : start + 1_000] for start in range(0, rows.height, 1_000)]
    last = joined(operator, rows.schema, feed(process, parts)).unique("k", keep="last").sort("k")
    assert rows.head(19_000).group_by("k").agg(pl.col("x").min())["x"].null_count()
    assert_frame_equal(last, whole(rows, exprs, ["k"]).sort("k"))
    seen: list[pl.DataFrame] = []
    fresh = operator.start(rows.schema, context())
    for number, part in enumerate(parts[:20]):
        seen.append(part)
        out = joined(operator, rows.schema, feed(fresh, [part]))
        if number % 5 == 4:
            expected = whole(pl.concat(seen), exprs, ["k"]).join(part.select("k").unique(), on="k")
            assert_frame_equal(out.sort("k"), expected.sort("k"))


@pytest.mark.parametrize("emit", ["end", "updates"])
def test_the_least_time_of_a_day_where_there_is_none(emit: Any) -> None:
    rows = pl.DataFrame({"k": ["a", "b"], "t": [None, time(1)]}, schema={"k": pl.String, "t": pl.Time})
    operator = Reduce.of(pl.col("t").min(), pl.col("t").max().alias("u"), by="k", emit=emit)
    process, fresh = operator.start(rows.schema, context()), operator.start(rows.schema, context())
    found = joined(operator, rows.schema, feed(process, [rows]))
    fresh.restore(process.snapshot())
    found = found if emit == "updates" else joined(operator, rows.schema, end(fresh))
    assert found.rows() == [("a", None, None), ("b", time(1), time(1))]


def test_sums_of_many_small_floats_do_not_stand_still() -> None:
    rows = pl.DataFrame({"k": ["a", "a"], "x": [2.0**24, 1.0]}, schema={"k": pl.String, "x": pl.Float32})
    for by in ("k", None):
        operator = Reduce.of(pl.col("x").sum(), by=by)
        process = operator.start(rows.schema, context())
        feed(process, [rows, *[rows[1:]] * 9])
        assert end(process)[0]["x"].to_list() == [2.0**24 + 10]
        assert end(process)[0]["x"].dtype == pl.Float32


def test_a_batch_that_fails_leaves_no_keys_behind() -> None:
    frames = [pl.DataFrame({"k": [key], "s": [text]}) for key, text in (("a", "1"), ("b", "x"), ("c", "2"))]
    operator = Reduce.of(s=pl.col("s").cast(pl.Int64).sum(), by="k")
    process = operator.start(frames[0].schema, context())
    feed(process, frames[:1])
    with pytest.raises(pl.exceptions.InvalidOperationError):
        feed(process, frames[1:2])
    feed(process, frames[2:])
    assert joined(operator, frames[0].schema, end(process)).rows() == [("a", 1), ("c", 2)]


def test_no_rows_change_nothing() -> None:
    process = Reduce.of(pl.len(), by="k", emit="updates").start(ROWS, context())
    assert feed(process, [ROWS.to_frame()]) == []


@settings(max_examples=examples(15))
@given(data=st.data(), most=st.integers(1, 3))
def test_evicted_keys_come_out_when_they_go_wherever_the_cuts_are(data: st.DataObject, most: int) -> None:
    rows = data.draw(events())
    operator = Reduce.of(pl.col("x").sum(), by=["k", "s"], max_keys=most, on_full="evict")
    process = operator.start(ROWS, context())
    held: dict[Any, int] = {}
    expected = []
    for key, word, x in rows.select("k", "s", "x").rows():
        if (key, word) not in held and len(held) == most:
            oldest = next(iter(held))
            expected.append((*oldest, held.pop(oldest)))
        held[key, word] = held.get((key, word), 0) + (x or 0)
    expected += [(*key, total) for key, total in held.items()]
    out = feed(process, data.draw(cuts(rows))) + end(process)
    assert joined(operator, ROWS, out).rows() == expected


def test_too_many_keys_fail() -> None:
    process = Reduce.of(pl.len(), by="x", max_keys=2).start(pl.Schema({"x": pl.Int64}), context())
    with pytest.raises(StageError, match="more keys than max_keys"):
        feed(process, [pl.DataFrame({"x": [1, 2, 3]})])


def test_watermarks_pass_updates_only() -> None:
    assert feed(Reduce.of(pl.len()).start(ROWS, context()), [5]) == []
    assert feed(Reduce.of(pl.len(), emit="updates").start(ROWS, context()), [5]) == [Watermark(5)]


def test_many_keys_over_many_batches() -> None:
    rows = pl.DataFrame({"k": range(400_000), "s": ["a", "b"] * 200_000}).with_columns(
        pl.col("k") * 7919 % 90_001, x=pl.col("k")
    )
    exprs = [pl.col("x").sum(), pl.col("s").first(), pl.len()]
    operator = Reduce.of(*exprs, by="k")
    process = operator.start(rows.schema, context())
    feed(process, [rows[start : start + 20_000] for start in range(0, rows.height, 20_000)])
    (out,) = end(process)
    assert_frame_equal(out, whole(rows, exprs, ["k"]))


def test_in_a_pipeline() -> None:
    source = Source.from_frame(pl.DataFrame({"k": ["a", "b", "a"], "x": [1, 2, 3]}))
    builder = Pipeline.builder().source(source).reduce(by="k", total=pl.col("x").sum(), emit="updates")
    assert builder.batch(rows=1).collect_sync().rows() == [("a", 4), ("b", 2)]


def test_text() -> None:
    assert Reduce.of(total=pl.col("x").sum(), by="k").describe() == "reduce(by=[k], total = x.sum())"
    assert Reduce.of(pl.len(), emit="updates").describe() == "reduce(len(), emit=updates)"


INSIDE = ["__slot__", "__row__", "__group__", "__kept__", "__part_0__", '__leaf_"Len"__']


def test_truth_values_are_counted_in_any_cut() -> None:
    """Before Polars 2, the distinct truth values of a group were one of two."""
    for parts, want in (([[True, False], [False, True]], 2), ([[False], [True], [True, False], [None]], 3)):
        frames = [pl.DataFrame({"k": 0, "b": part}, schema_overrides={"b": pl.Boolean}) for part in parts]
        builder = Pipeline.builder().source(Source.from_frame(frames))
        assert builder.reduce(n=pl.col("b").n_unique(), by="k").collect_sync()["n"].to_list() == [want]


@pytest.mark.parametrize("name", INSIDE)
@pytest.mark.parametrize("expr", [pl.len(), pl.col("x").median(), pl.col("x").n_unique()])
def test_names_that_state_has_itself_are_refused(name: str, expr: pl.Expr) -> None:
    rows = {"k": pl.Int64(), "x": pl.Int64()}
    for step, schema in (
        (Reduce.of(expr.alias(name), by="k"), rows),
        (Reduce.of(expr, by=name), rows | {name: pl.Int64()}),
        (CountWindow(3, ("k",), (expr.alias(name),)), rows),
        (CountWindow(3, (name,), (expr,)), rows | {name: pl.Int64()}),
    ):
        with pytest.raises(SchemaError, match="two underscores on either side") as raised:
            step.output_schema(pl.Schema(schema))
        assert raised.value.found == name and raised.value.hint


@pytest.mark.parametrize("name", ["__part__0", '__leaf__"Len"', "__kept__x", "__x", "slot", "none"])
def test_other_names_are_names_like_any(name: str) -> None:
    rows = pl.DataFrame({name: [1, 2, 1], "x": [3, 4, 5]})
    exprs = [pl.len(), pl.col("x").median(), pl.col("x").n_unique().alias("__part__1")]
    process = Reduce.of(*exprs, by=name).start(rows.schema, context())
    feed(process, [rows])
    assert_frame_equal(end(process)[0], whole(rows, exprs, [name]))


def test_mistakes_are_found_before_data_moves() -> None:
    with pytest.raises(PlanError, match="unknown"):
        Reduce.of(pl.len(), emit="sometimes")  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="max_keys"):
        Reduce.of(pl.len(), max_keys=0)
    with pytest.raises(PlanError, match="no expression"):
        Reduce.of(by="k")
    with pytest.raises(SchemaError, match="not there"):
        Reduce.of(pl.len(), by="z").output_schema(ROWS)


def test_aggregates_with_constants_that_cannot_be_written_down() -> None:
    near = pl.col("x").is_close(1.0, abs_tol=float("inf"))
    frame = pl.DataFrame({"x": [1.0, 2.0, None], "y": [1, 2, 3]})
    exprs = {
        "near": near.sum(),
        "filtered": pl.col("y").filter(near).sum(),
        "chosen": pl.col("y").filter(pl.col("x") < float("inf")).sum(),
    }
    for name, expr in exprs.items():
        found = Pipeline.builder().source(Source.from_frame(frame)).reduce(expr.alias(name)).collect_sync()
        assert found.rows() == frame.select(expr.alias(name)).rows()
    several = (pl.col("x", "y") * float("inf")).sum()
    found = Pipeline.builder().source(Source.from_frame(frame)).reduce(several).collect_sync()
    assert found.rows() == frame.select(several).rows()


def test_aggregates_are_split_once_for_the_check_and_all_runs_and_again_for_other_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schemas = []
    of = Aggregation.of

    def counted(step: str, exprs: Any, schema: pl.Schema, *rest: Any, **how: Any) -> Aggregation:
        schemas.append(schema)
        return of(step, exprs, schema, *rest, **how)

    monkeypatch.setattr(Aggregation, "of", counted)
    small, large = pl.Schema({"x": pl.Int8()}), pl.Schema({"x": pl.Float64()})
    for step in (Reduce.of(pl.col("x").sum()), CountWindow(2, (), (pl.col("x").sum(),))):
        schemas.clear()
        for schema in (small, small, large):
            rows = pl.DataFrame({"x": [1, 2]}, schema=schema)
            output = step.output_schema(schema)
            process = step.start(schema, context())
            found = joined(step, schema, [*feed(process, [rows]), *end(process)])
            assert_frame_equal(found.select("x"), rows.select(pl.col("x").sum()))
            assert found.schema["x"] == output["x"]
        assert schemas == [small, large]
