"""`window(rows=...)` against Polars over the rows numbered by key."""

from typing import Any

import hypothesis.strategies as st
import polars as pl
import pytest
from contexts import context
from effort import examples
from hypothesis import given, settings
from polars.testing import assert_frame_equal
from strategies import cuts
from windowing import AGGREGATES, SCHEMA, end, events, feed, joined

from arrowstream import Pipeline, Source
from arrowstream.errors import PlanError
from arrowstream.operators.base import Operator
from arrowstream.operators.window import windows

ROWS = pl.Schema(SCHEMA)
CLOSE: dict[str, Any] = {"rel_tol": 1e-12, "categorical_as_str": True}


def window(*exprs: Any, rows: int, by: Any = "k") -> Operator:
    return windows(lambda operator: operator, rows=rows, by=by).agg(*exprs)


def whole(rows: pl.DataFrame, exprs: list[pl.Expr], size: int, by: list[str]) -> pl.DataFrame:
    """Full windows in the order in which they got full, then the rest in the order of their first rows."""
    numbered = rows.with_row_index("row")
    place = pl.int_range(pl.len()).over(by) if by else pl.col("row").cast(pl.Int64)
    numbered = numbered.with_columns((place // size).alias("window"))
    ends = [pl.col("row").min().alias("begin"), pl.col("row").max().alias("end"), pl.len().alias("count")]
    groups = ["window", *by]
    found = numbered.group_by(groups, maintain_order=True).agg(*ends)
    results = numbered.drop("row").group_by(groups, maintain_order=True).agg(*exprs).drop(groups)
    found = found.hstack(results).with_columns(full=pl.col("count") == size)
    return pl.concat([found.filter("full").sort("end"), found.filter(~pl.col("full")).sort("begin")]).drop(
        "window", "begin", "end", "count", "full"
    )


@pytest.mark.parametrize("name", AGGREGATES)
@settings(max_examples=examples(4))
@given(data=st.data(), size=st.integers(1, 6))
def test_equals_polars_on_the_whole(name: str, data: st.DataObject, size: int) -> None:
    rows = data.draw(events())
    by = data.draw(st.sampled_from([["k"], ["g", "k"], []]))
    exprs = [AGGREGATES[name], pl.len().alias("rows")]
    if name == "everything":  # of all columns but the keys and those that number
        exprs = [pl.col("ts", "f", "s").sort_by("x", maintain_order=True).first(), pl.len().alias("rows")]
    operator = window(*exprs, rows=size, by=by)
    process = operator.start(ROWS, context())
    out = feed(process, data.draw(cuts(rows))) + end(process)
    found = joined(operator, ROWS, out)
    assert_frame_equal(found, whole(rows, exprs, size, by) if rows.height else found.clear(), **CLOSE)


@settings(max_examples=examples(15))
@given(data=st.data(), size=st.integers(1, 6))
def test_a_snapshot_anywhere_continues_exactly(data: st.DataObject, size: int) -> None:
    parts = data.draw(cuts(data.draw(events())))
    cut = data.draw(st.integers(0, len(parts)))
    exprs = [pl.col("x").sum(), pl.col("s").first(), pl.col("f").median()]
    operator = window(*exprs, rows=size, by=data.draw(st.sampled_from([["k"], []])))
    straight, first, second = (operator.start(ROWS, context()) for _ in range(3))
    expected = feed(straight, parts) + end(straight)
    out = feed(first, parts[:cut])
    second.restore(first.snapshot())
    out += feed(second, parts[cut:]) + end(second)
    assert_frame_equal(joined(operator, ROWS, out), joined(operator, ROWS, expected))


def test_a_window_comes_as_soon_as_it_is_full() -> None:
    process = window(pl.col("x").sum(), rows=2, by=[]).start(pl.Schema({"x": pl.Int64}), context())
    out = feed(process, [pl.DataFrame({"x": [1, 2, 3]}), 99, pl.DataFrame({"x": [4]})])
    assert [frame.rows() for frame in out] == [[(3,)], [(7,)]]
    assert end(process) == []


def test_in_a_pipeline() -> None:
    source = Source.from_frame(pl.DataFrame({"x": range(5)}))
    assert Pipeline.builder().source(source).window(rows=2).agg("x").collect_sync().rows() == [
        ([0, 1],),
        ([2, 3],),
        ([4],),
    ]


def test_text_and_mistakes() -> None:
    assert window(pl.len(), rows=3).describe() == "window(rows=3, by=[k]).agg(len())"
    assert window(pl.len(), rows=3, by=None).describe() == "window(rows=3).agg(len())"
    with pytest.raises(PlanError, match="at least 1"):
        window(pl.len(), rows=0)
    with pytest.raises(PlanError, match="has no on"):
        windows(print, rows=3, on="ts")
    with pytest.raises(PlanError, match="has no allowed_lateness"):
        windows(print, rows=3, allowed_lateness="1s")


@pytest.mark.parametrize("by", [None, "k"])
def test_an_aggregation_that_needs_a_row_is_one_without_keys_too(by: Any) -> None:
    rows = pl.DataFrame({"k": [1, 1, 1], "x": [5, 6, 7]})
    source = Pipeline.builder().source(Source.from_frame(rows)).batch(rows=1)
    assert source.window(rows=2, by=by).agg(pl.col("x").get(0)).collect_sync()["x"].to_list() == [5, 7]
