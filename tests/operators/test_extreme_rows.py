"""Aggregates over the rows with the largest or smallest value of a column, of which windows keep no others."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import polars as pl
import pytest
from contexts import context
from effort import examples
from hypothesis import given, settings
from polars.testing import assert_frame_equal
from snapshots import held_rows
from strategies import cuts
from windowing import end, events, feed, joined, little_put_aside

from arrowstream.operators.aggregation.extreme_rows import ExtremeRows
from arrowstream.operators.base import Operator
from arrowstream.operators.window import windows
from arrowstream.operators.windows import pane_store
from arrowstream.operators.windows.groups import extreme_of_panes

S = 1_000_000
x, f, s = pl.col("x"), pl.col("f"), pl.col("s")
SCHEMA = pl.Schema({"x": pl.Int64(), "f": pl.Float64(), "s": pl.String(), "c": pl.Categorical()})
NOT = {
    "also all rows": [s.filter(x == x.max()), s],
    "of two columns": [s.filter(x == x.max()), s.filter(f == f.max())],
    "largest and smallest": [s.filter(x == x.max()), s.filter(x == x.min())],
    "of another column": [s.filter(x == f.max())],
    "of rows that are filtered": [s.filter(x == x.filter(x < 3).max())],
    "largest or NaN": [s.filter(f == f.nan_max())],
    "computed": [s.filter(x * 2 == (x * 2).max())],
    "others than the largest": [s.filter(x != x.max())],
    "another predicate": [s.filter(x > 1)],
    "another aggregate": [s.filter(x == x.sum())],
    "two of them": [s.filter(x.min() == x.max())],
    "values of other rows": [s.shift().filter(x == x.max())],
    "more than the values": [s.filter(x == x.max()).first() + s.first()],
    "a type without such an order": [s.filter(pl.col("c") == pl.col("c").max())],
    "a count": [s.filter(x == x.max()).count()],
    "a Python function": [s.filter(x == x.max()).map_batches(lambda values: values)],
}


def window(*exprs: pl.Expr, every: int = 10, **rest: Any) -> Operator:
    return windows(lambda operator: operator, 10, every=every, on="ts", **rest).agg(*exprs)


@pytest.mark.parametrize("order", ["max", "min"])
@pytest.mark.parametrize("of", ["x", "f", "s"])
@settings(max_examples=examples(15))
@given(data=st.data())
def test_equals_polars_on_the_whole(of: str, order: str, data: st.DataObject) -> None:
    rows, every = data.draw(events()), data.draw(st.sampled_from([10, 4]))
    which = pl.col(of) == getattr(pl.col(of), order)()
    exprs = [x.filter(which).alias("all"), s.filter(which).first().alias("first")]
    largest = getattr(pl.col(of), order)().alias("extreme")
    exprs += data.draw(st.sampled_from([[], [largest]]), "the extreme itself")
    operator = window(*exprs, every=every)
    process = operator.start(rows.schema, context())
    with little_put_aside(data):
        out = feed(process, data.draw(cuts(rows))) + end(process)
    # Each row is given to all of its windows.
    parts = [
        rows.with_row_index("row").with_columns(w=pl.col("ts") // (every * S) - back) for back in range(3)
    ]
    given_ = pl.concat(parts).filter(pl.col("ts") < pl.col("w") * every * S + 10 * S).sort("w", "row")
    start = (pl.col("w") * every * S).alias("window_start")
    expected = given_.group_by("w", maintain_order=True).agg(exprs)
    expected = expected.select(
        start, (start + 10 * S).alias("window_end"), *(expr.meta.output_name() for expr in exprs)
    )
    assert_frame_equal(joined(operator, rows.schema, out), expected)


@pytest.mark.parametrize("by", [(), ("k",)])
def test_other_rows_are_not_held(by: tuple[str, ...]) -> None:
    rows = pl.DataFrame({"ts": [S] * 200_000, "k": 1, "x": range(200_000), "s": "text"})
    process = window(s.filter(x == x.max()), by=by).start(rows.schema, context())
    feed(process, [rows[at : at + 50_000] for at in range(0, 200_000, 50_000)])
    assert held_rows(process)["__kept_s__"].list.len().sum() < 5
    (out,) = (frame for frame in end(process) if isinstance(frame, pl.DataFrame))
    assert out["s"].to_list() == [["text"]]


def test_rows_of_several_windows_in_a_batch() -> None:
    rows = pl.DataFrame({"ts": [S, 11 * S, 2 * S, 12 * S], "x": [2, 1, 3, 1], "s": ["a", "b", "c", "d"]})
    operator = window(s.filter(x == x.max()).sort().alias("all"), s.filter(x.min() == x).last().alias("last"))
    assert ExtremeRows.of([s.filter(x.min() == x).last()], SCHEMA) == ExtremeRows("x", "min")
    process = operator.start(rows.schema, context())
    out = joined(operator, rows.schema, feed(process, [rows]) + end(process))
    assert out.select("all", "last").rows() == [(["c"], "a"), (["b", "d"], "d")]
    largest = window(s.filter(x == x.max()).sort().alias("all"))
    process = largest.start(rows.schema, context())
    out = joined(largest, rows.schema, feed(process, [rows]) + end(process))
    assert out["all"].to_list() == [["c"], ["b", "d"]]


@pytest.mark.parametrize("order", ["max", "min"])
@pytest.mark.parametrize("of", ["x", "n", "f", "s", "d"])
@pytest.mark.parametrize(
    "times", [[1, 2, 11, 12, 13], [11, 2, 12, 1, 13], [1, 2, 3, 4, 5], [1, 2, 9_001, 9_002, 9_003]]
)
def test_rows_that_cannot_count_do_not_wait(
    of: str, order: str, times: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pane_store, "_WORTH_SIFTING", 1)
    monkeypatch.setattr(extreme_of_panes, "_PIECE", 2)
    at = pl.Series([second * S for second in times])
    columns = {
        "x": [3, 1, 2, 5, 5],
        "n": [None, 1, 1, None, 7],
        "f": [0.5, 2.5, 1.5, 2.5, 0.1],
        "s": list("baccd"),
    }
    rows = pl.DataFrame({"ts": at, **columns}).with_columns(d=pl.col("x").cast(pl.Datetime("us")))
    which = pl.col(of) == getattr(pl.col(of), order)()
    exprs = [s.filter(which).alias("all"), getattr(pl.col(of), order)().alias("extreme")]
    operator = window(*exprs)
    process = operator.start(rows.schema, context())
    out = joined(operator, rows.schema, feed(process, [rows, rows]) + end(process))
    twice = pl.concat([rows, rows]).with_columns(w=pl.col("ts") // (10 * S))
    expected = twice.group_by("w", maintain_order=True).agg(exprs).sort("w").drop("w")
    assert_frame_equal(out.select("all", "extreme"), expected)


def test_the_largest_float_beside_its_rows_may_be_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pane_store, "_WORTH_SIFTING", 1)
    rows = pl.DataFrame({"ts": [S, 2 * S], "f": [1.0, float("nan")], "s": ["a", "b"]})
    operator = window(s.filter(f == f.max()), f.nan_max().is_nan().alias("any"), f.min().alias("least"))
    process = operator.start(rows.schema, context())
    out = joined(operator, rows.schema, feed(process, [rows]) + end(process))
    assert out.select("s", "any", "least").rows() == [(["a"], True, 1.0)]


def test_an_extreme_with_another_aggregate_needs_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pane_store, "_WORTH_SIFTING", 1)
    rows = pl.DataFrame({"ts": [S, 2 * S], "x": [1, 2], "s": ["a", "b"]})
    for other, value in ((pl.len(), 2), (x.min(), 1), (x.filter(x < 2).max(), 1), (x.mean(), 1.5)):
        operator = window(s.filter(x == x.max()), x.max(), other.alias("other"))
        process = operator.start(rows.schema, context())
        out = joined(operator, rows.schema, feed(process, [rows]) + end(process))
        assert out.select("s", "x", "other").rows() == [(["b"], 2, value)]


@pytest.mark.parametrize("case", NOT)
def test_rows_that_are_all_kept(case: str) -> None:
    assert ExtremeRows.of(NOT[case], SCHEMA) is None


def test_deep_expressions_are_not_looked_into() -> None:
    deep = s.filter(x == x.max())
    assert ExtremeRows.of([deep], SCHEMA) is not None
    for _ in range(200):
        deep = deep.alias("again")
    assert ExtremeRows.of([deep], SCHEMA) is None


def test_a_group_without_values_keeps_its_rows() -> None:
    rows = pl.DataFrame({"ts": [S, S], "x": [None, None], "s": ["a", "b"]}, schema_overrides={"x": pl.Int64})
    operator = window(s.filter(x == x.max()), s.filter(x == x.max()).first().alias("first"))
    process = operator.start(rows.schema, context())
    out = joined(operator, rows.schema, feed(process, [rows, rows]) + end(process))
    assert out.select("s", "first").rows() == [([], None)]
