"""Expressions over batches whose rows all take one branch of a ``when``: a value for every row, whatever the cut.

The oracle is plain Python, a row at a time: Polars itself gives one row for the whole frame in such cases.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import cuts

from arrowstream import Pipeline, Source
from arrowstream.backends import polars as backend
from arrowstream.expressions.every_row import for_every_row, steps_for_every_row
from arrowstream.operators.drop import Drop
from arrowstream.operators.filter import Filter
from arrowstream.operators.rename import Rename
from arrowstream.operators.select import Select
from arrowstream.operators.with_columns import WithColumns

Row = dict[str, Any]


@dataclass(frozen=True)
class Tree:
    """An expression, what it is in Python, and whether any column is in it."""

    expr: pl.Expr
    value: Callable[[Row], Any]
    has_column: bool = True


def _lift(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *values: None if None in values else function(*values)


def _both(expr: pl.Expr, function: Callable[..., Any], *parts: Tree) -> Tree:
    def value(row: Row) -> Any:
        return function(*(part.value(row) for part in parts))

    return Tree(expr, value, any(part.has_column for part in parts))


def _when(predicate: Tree, truthy: Tree, falsy: Tree) -> Tree:
    expr = pl.when(predicate.expr).then(truthy.expr).otherwise(falsy.expr)
    return _both(expr, lambda p, t, f: t if p else f, predicate, truthy, falsy)


def _filled(first: Tree, second: Tree, coalesce: bool) -> Tree:
    expr = pl.coalesce(first.expr, second.expr) if coalesce else first.expr.fill_null(second.expr)
    return _both(expr, lambda a, b: b if a is None else a, first, second)


CONSTANTS = st.sampled_from([0.5, 1.0, 3.0, 7.0]).map(lambda x: Tree(pl.lit(x), lambda row: x, False))
NULL = Tree(pl.lit(None, pl.Float64), lambda row: None, False)
COLUMN = Tree(pl.col("x"), lambda row: row["x"])
LEAVES = st.one_of(CONSTANTS, st.just(COLUMN), st.just(NULL))
COMPARISONS: list[tuple[Callable[..., Any], Callable[..., Any]]] = [
    (lambda a, b: a == b, _lift(lambda a, b: a == b)),
    (lambda a, b: a < b, _lift(lambda a, b: a < b)),
    (lambda a, b: a >= b, _lift(lambda a, b: a >= b)),
    (lambda a, b: a != b, _lift(lambda a, b: a != b)),
    (lambda a, b: a.eq_missing(b), lambda a, b: a == b),
    (lambda a, b: a.ne_missing(b), lambda a, b: a != b),
]


@st.composite
def booleans(draw: st.DrawFn, depth: int) -> Tree:
    if depth == 0:
        return Tree(pl.col("x") > 3.0, lambda row: None if row["x"] is None else row["x"] > 3.0)
    left, right = draw(numbers(depth - 1)), draw(numbers(depth - 1))
    expr, function = draw(st.sampled_from(COMPARISONS))
    return _both(expr(left.expr, right.expr), function, left, right)


@st.composite
def numbers(draw: st.DrawFn, depth: int) -> Tree:
    if depth == 0:
        return draw(LEAVES)
    kind = draw(st.sampled_from(["when", "when", "fill_null", "coalesce", "add", "divide", "round", "leaf"]))
    first, second = draw(numbers(depth - 1)), draw(numbers(depth - 1))
    match kind:
        case "when":
            return _when(draw(booleans(depth - 1)), first, second)
        case "fill_null" | "coalesce":
            return _filled(first, second, kind == "coalesce")
        case "add":
            return _both(first.expr + second.expr, _lift(lambda a, b: a + b), first, second)
        # Polars multiplies with the reciprocal of a constant divisor, which is another function.
        case "divide" if second.has_column and first.has_column:
            return _both(
                first.expr / (second.expr.abs() + 1.0), _lift(lambda a, b: a / (abs(b) + 1.0)), first, second
            )
        case "round":
            return _both(first.expr.abs(), _lift(abs), first)
        case _:
            return first


TREES = st.one_of(numbers(3), booleans(3)).filter(lambda tree: tree.has_column)
FRAMES = st.lists(st.sampled_from([1.0, 2.0, 4.0, 5.0, None]), min_size=1, max_size=8).map(
    lambda xs: pl.DataFrame({"row": range(len(xs)), "x": xs}, schema={"row": pl.Int64, "x": pl.Float64})
)


def run(parts: list[pl.DataFrame], steps: Callable[[Any], Any], pin: str | None) -> pl.DataFrame:
    builder = steps(Pipeline.builder().source(Source.from_frame(parts)))
    return (builder if pin is None else builder.backend(pin)).collect_sync()


@settings(max_examples=examples(60))
@given(st.data(), TREES, FRAMES, st.sampled_from([1, 20_000]), st.sampled_from(["auto", "polars"]))
def test_every_row_has_its_own_value(
    data: st.DataObject, tree: Tree, frame: pl.DataFrame, lazy_from: int, pin: str
) -> None:
    parts = data.draw(cuts(frame))
    want = [tree.value(row) for row in frame.iter_rows(named=True)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "_LAZY_FROM", lazy_from)
        added = run(parts, lambda b: b.with_columns(o=tree.expr), pin)
        assert added["o"].to_list() == want
        assert added.drop("o").equals(frame)
        assert run(parts, lambda b: b.select(o=tree.expr), pin)["o"].to_list() == want
        later = run(
            parts,
            lambda b: b.with_columns(o=tree.expr).select(p=pl.lit(1.5) < pl.col("o").cast(pl.Float64)),
            pin,
        )
        assert later["p"].to_list() == [None if value is None else value > 1.5 for value in want]


@settings(max_examples=examples(40))
@given(
    st.data(), booleans(3).filter(lambda tree: tree.has_column), FRAMES, st.sampled_from(["auto", "polars"])
)
def test_filters_and_splits_send_every_row_its_own_way(
    data: st.DataObject, tree: Tree, frame: pl.DataFrame, pin: str
) -> None:
    parts = data.draw(cuts(frame))
    want = [row["row"] for row in frame.iter_rows(named=True) if tree.value(row)]
    assert run(parts, lambda b: b.filter(tree.expr), pin)["row"].to_list() == want
    mapped = run(parts, lambda b: b.filter_map(tree.expr, o=tree.expr), pin)
    assert (mapped["row"].to_list(), mapped["o"].to_list()) == (want, [True] * len(want))
    split = (
        Pipeline.builder()
        .source(Source.from_frame(parts))
        .split(tree.expr)
        .branch("true")
        .otherwise(lambda b: b.filter(pl.lit(False) & (pl.col("row") < 0)))
    )
    assert sorted(split.merge().collect_sync()["row"].to_list()) == want


@settings(max_examples=examples(40))
@given(st.data(), TREES, FRAMES, st.booleans())
def test_running_values_and_aggregations_count_every_row(
    data: st.DataObject, tree: Tree, frame: pl.DataFrame, by_key: bool
) -> None:
    frame = frame.with_columns(k=pl.lit(0, pl.Int64))
    parts = data.draw(cuts(frame))
    want = [tree.value(row) for row in frame.iter_rows(named=True)]
    valid = [value is not None for value in want]
    by = "k" if by_key else None
    scanned = run(
        parts, lambda b: b.scan(n=tree.expr.is_not_null().cast(pl.Int64).cum_sum(), o=tree.expr, by=by), None
    )
    assert scanned["o"].to_list() == want
    assert scanned["n"].to_list() == [sum(valid[: place + 1]) for place in range(len(valid))]
    counts = {
        "n": tree.expr.count(),
        "all": pl.col("row").filter(tree.expr.is_not_null()).len(),
        "last": tree.expr.last(),
    }
    for steps in (
        lambda b: b.reduce(**counts, by=by),
        lambda b: b.window(rows=frame.height).agg(**counts),
    ):
        found = run(parts, steps, None).row(0, named=True)
        assert (found["n"], found["all"], found["last"]) == (sum(valid), sum(valid), want[-1])


NULL_NUMBER, NULL_TEXT = pl.lit(None, pl.Float64), pl.lit(None, pl.String)
WITH_NULL = {
    "equal": pl.col("x") == NULL_NUMBER,
    "less": pl.col("x") > NULL_NUMBER,
    "not": ~(pl.col("x") == pl.lit(None)),
    "power": pl.col("x") ** NULL_NUMBER,
    "item": pl.col("l").list.get(pl.lit(None, pl.Int64)),
    "matches": pl.col("s").str.count_matches(NULL_TEXT),
    "text": pl.format("{}{}", pl.col("s"), NULL_TEXT).cast(pl.Float64, strict=False),
    "a field": pl.struct(pl.col("x") == NULL_NUMBER).struct.field("x"),
    "a sum": pl.col("x") == NULL_NUMBER + 1,
    "no number": pl.col("x") == pl.lit("a").cast(pl.Float64, strict=False),
    "a power of no number": pl.col("x") ** pl.lit("a").cast(pl.Float64, strict=False),
    "no date": pl.lit("a").str.to_date("%Y", strict=False) == pl.col("d"),
}


@pytest.mark.parametrize("pin", ["auto", "polars"])
@pytest.mark.parametrize("name", WITH_NULL)
def test_a_null_constant_gives_every_row_its_null(name: str, pin: str) -> None:
    frame = pl.DataFrame({"x": [1.0, 2.0], "s": ["a", "b"], "l": [[1], [2]], "d": [date(2026, 1, 1)] * 2})
    null = WITH_NULL[name].cast(pl.Float64)
    for steps in (
        lambda b: b.select(p=pl.lit(1.5) < null),
        lambda b: b.with_columns(o=null).select(p=pl.lit(1.5) < pl.col("o")),
    ):
        assert run([frame], steps, pin)["p"].to_list() == [None, None]
    assert run([frame], lambda b: b.filter((pl.lit(1.5) < null).is_null()), pin).height == 2


def test_a_read_that_takes_over_the_steps_gives_every_row(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [1.0, 2.0, 5.0] * 3, "kind": ["a", "a", "b"] * 3})
    frame.filter(pl.col("kind") == "a").write_parquet(tmp_path / "x.parquet")
    side = pl.when(pl.col("x") > 3).then(pl.lit("high")).otherwise(pl.lit("low"))
    source = Source.from_file(tmp_path / "x.parquet")
    built = Pipeline.builder().source(source).select(is_high=pl.lit("high") == side)
    assert built.collect_sync()["is_high"].to_list() == [False] * 6


def test_columns_of_folders_are_computed_with_as_any_others(tmp_path: Path) -> None:
    years = [2023, 2024]
    for year in years:
        folder = tmp_path / f"year={year}"
        folder.mkdir()
        pl.DataFrame({"x": [5.0, 7.0, 9.0]}).write_parquet(folder / "x.parquet")
    source = Source.from_file(tmp_path)
    rows = [(x, year) for year in years for x in (5.0, 7.0, 9.0)]
    side = pl.when(pl.col("year") > 2023).then(pl.lit(9)).otherwise(pl.lit(2))
    for builder in (
        Pipeline.builder().source(source),
        Pipeline.builder().source(source).filter(pl.col("x") > 0),
    ):
        found = builder.select(
            a=pl.col("x") / pl.col("year"), b=pl.lit(5) < side, c=pl.lit(2023) < pl.col("year")
        )
        assert found.collect_sync().rows() == [(x / year, year > 2023, year > 2023) for x, year in rows]
        assert builder.select((pl.all() / 2).name.keep()).collect_sync().height == 6
        for predicate in (pl.lit(2023) < pl.col("year"), pl.lit(5) < side):
            kept = builder.filter(predicate).select("x", "year").collect_sync()
            assert kept.rows() == [row for row in rows if row[1] > 2023]


def test_a_constant_divides_by_the_branch_that_all_rows_take_as_by_a_column() -> None:
    frame = pl.DataFrame({"x": [5.0, 5.0, 5.0], "k": [0, 0, 1]})
    third = pl.col("x") / pl.when(pl.col("k") > 0).then(7.0).otherwise(3.0)
    for pin in ("auto", "polars", "arrow"):
        for parts in ([frame], [frame[:2], frame[2:]], [frame[:1], frame[1:]]):
            assert run(parts, lambda b: b.select(o=third), pin)["o"].to_list() == [5 / 3, 5 / 3, 5 / 7]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_constant_that_is_not_finite_keeps_every_row_too(value: float) -> None:
    frame = pl.DataFrame({"x": [1.0, 2.0]})
    expr = pl.lit(3.0) < pl.when(pl.col("x") > 1e9).then(pl.col("x")).otherwise(value)
    assert run([frame], lambda b: b.select(o=expr), "polars")["o"].to_list() == [True, True]
    several = pl.all() < pl.when(pl.col("x") > 1e9).then(pl.col("x")).otherwise(value)
    assert for_every_row(several, frame.schema) is several


def test_a_constant_that_cannot_be_computed_may_be_null() -> None:
    frame = pl.DataFrame({"x": [1.0, 2.0]})
    failing = pl.lit(1.0) < (pl.col("x") + pl.lit("a").cast(pl.Float64) * pl.lit(None, pl.Float64))
    assert for_every_row(failing, frame.schema) is not failing


def test_what_needs_no_change_stays_the_same_expression() -> None:
    for expr in (
        pl.col("x") + 1,
        pl.when(pl.col("x") > 1).then(pl.lit("a")).otherwise(pl.lit("b")).alias("o"),
        pl.when(pl.col("x") > 1).then(pl.col("x")).otherwise(pl.col("y")) + 1,
        pl.col("x").fill_null(0) * 2,
        pl.when(pl.col("x") > 1).then(pl.col("x").alias("y")).otherwise(pl.col("y").name.keep()) + 1,
        pl.col("x") // 2,
        pl.col("x").map_elements(lambda x: x, return_dtype=pl.Int64),
    ):
        assert for_every_row(expr, pl.Schema({"x": pl.Int64(), "y": pl.Int64()})) is expr


SIDE = pl.when(pl.col("x") > 3).then(pl.lit("high")).otherwise(pl.lit("low"))
LEFT = pl.lit("high") == SIDE
SAME = pl.DataFrame({"x": [1.0, 2.0], "xs": [[1.0], [9.0, 1.0]], "st": [{"a": 1.0}, {"a": 2.0}]})


@pytest.mark.untraced
@pytest.mark.parametrize(
    ("expr", "name", "values"),
    [
        (LEFT, "literal", [False, False]),
        (LEFT.alias("o"), "o", [False, False]),
        (LEFT.cast(pl.Int8).name.suffix("_"), "literal_", [0, 0]),
        (pl.lit("high") == SIDE, "literal", [False, False]),
        (SIDE.str.len_bytes() + pl.lit(1), "literal", [4, 4]),
        (pl.coalesce(pl.lit(1.0), "x") + pl.col("x"), "literal", [2.0, 3.0]),
        (pl.lit(5.0) < pl.coalesce(pl.lit(None), pl.lit(2.0), "x"), "literal", [False, False]),
        (pl.lit(5.0) < pl.lit(2.0).fill_null(pl.col("x")), "literal", [False, False]),
        (pl.lit(5.0) < (pl.lit(2.0).fill_null(pl.col("x")) + pl.lit(1.0)), "literal", [False, False]),
        (
            pl.lit(5.0)
            < pl.when(pl.col("x") > 3).then(pl.lit(1.0).cast(pl.Float64)).otherwise(pl.lit(1.0) + 1.0),
            "literal",
            [False, False],
        ),
        (
            pl.lit(5.0)
            < pl.when(pl.col("x") > 3).then(pl.when(pl.col("x") > 4).then(6.0).otherwise(7.0)).otherwise(8.0),
            "literal",
            [True, True],
        ),
        (
            pl.col("xs")
            .list.eval(pl.lit(2.0) < pl.when(pl.element() > 90).then(1.0).otherwise(3.0))
            .list.all(),
            "xs",
            [True, True],
        ),
        (
            pl.lit(2.0)
            < pl.when(pl.col("xs").list.eval(pl.element() > 90).list.any()).then(1.0).otherwise(3.0),
            "literal",
            [True, True],
        ),
        (
            pl.col("st")
            .struct.with_fields(b=pl.lit(2.0) < pl.when(pl.field("a") > 9).then(1.0).otherwise(3.0))
            .struct.field("b"),
            "b",
            [True, True],
        ),
        (
            pl.lit(3.0) == pl.when(pl.col("x") > 9).then(pl.col("x")).otherwise(3.0).name.keep().abs(),
            "literal",
            [True, True],
        ),
    ],
)
def test_forms_in_which_all_rows_go_one_way(expr: pl.Expr, name: str, values: list[Any]) -> None:
    for parts in ([SAME], [SAME[:1], SAME[1:]], [SAME[:0], SAME]):
        found = run(parts, lambda b: b.select(expr), "polars")
        assert (found.columns, found.to_series().to_list()) == ([name], values)
        assert run(parts, lambda b: b.with_columns(expr), "polars")[name].to_list() == values


def test_elements_that_all_go_one_way_keep_their_lists() -> None:
    kept = pl.when(pl.element() < 90).then(pl.element()).otherwise(3.0)
    found = run([SAME], lambda b: b.select(o=pl.col("xs").list.eval(pl.lit(2.0) < kept)), "polars")
    assert found["o"].to_list() == [[False], [True, False]]


def test_a_length_of_arrays_is_compared_row_by_row() -> None:
    frame = pl.DataFrame({"a": pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int64, 2))})
    assert (
        run([frame], lambda b: b.select(o=pl.lit(1) < pl.col("a").arr.len()), "polars")["o"].to_list()
        == [True] * 2
    )


def test_a_choice_of_columns_is_left_as_it_is() -> None:
    frame = pl.DataFrame({"x": [1.0, 5.0], "y": [2.0, 6.0]})
    chosen = pl.when(pl.all() > 3).then(pl.all()).otherwise(0.0) + 1.0
    assert run([frame], lambda b: b.select(chosen), "polars").rows() == [(1.0, 1.0), (6.0, 7.0)]


def test_what_a_later_step_computes_with_is_a_column_and_what_it_passes_on_is_not_changed() -> None:
    frame = pl.DataFrame({"x": [5.0, 5.0], "k": [0, 0]})
    third = pl.when(pl.col("k") > 0).then(7.0).otherwise(3.0)
    for later in (pl.col("x") / pl.col("d"), pl.col("x") / pl.nth(2), (pl.col("x") / pl.col("d")).alias("e")):
        steps = (WithColumns.of(d=third), Select.of(later))
        assert steps_for_every_row(steps, frame.schema)[0].exprs[0] is not steps[0].exprs[0]
        found = run([frame], lambda b, later=later: b.with_columns(d=third).select(o=later), "polars")
        assert found["o"].to_list() == [5 / 3, 5 / 3]
    passed = (WithColumns.of(d=third), Filter.of(pl.col("x") > 1), Select.of("d", "x"))
    assert steps_for_every_row(passed, frame.schema)[0].exprs[0] is passed[0].exprs[0]
    several = (WithColumns.of(d=third), Select.of(pl.all() + 1))
    assert steps_for_every_row(several, frame.schema)[0].exprs[0] is not several[0].exprs[0]


def test_steps_that_compute_nothing_are_left_as_they_are() -> None:
    frame = pl.DataFrame({"x": [5.0], "y": [1]})
    steps = (Rename.of({"x": "z"}), Drop.of("y"))
    assert all(map(operator.is_, steps_for_every_row(steps, frame.schema), steps))
    for step in steps:
        assert step.with_expressions(step.expressions()) is step
