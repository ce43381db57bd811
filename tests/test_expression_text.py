"""Expressions as text: the same on every version of Polars, and close to what a user would write."""

import datetime as dt
import json

import polars as pl
import polars.selectors as cs
import pytest

from arrowstream.expressions.rebuild import NotRebuilt, cast_type, column_types, rebuild
from arrowstream.expressions.text import (
    columns_text,
    conjunction_text,
    expression_text,
    name_text,
    tree_text,
)
from arrowstream.expressions.tree import tree_of

a, b, s, t = pl.col("a"), pl.col("b"), pl.col("s"), pl.col("t")

CASES = {
    "a": a,
    'col("two words")': pl.col("two words"),
    'col("class")': pl.col("class"),
    "a > 100": a > 100,
    "eur = price * 0.908": (pl.col("price") * 0.908).alias("eur"),
    'col("two words") = a': a.alias("two words"),
    '(a + 1).alias("x").abs()': (a + 1).alias("x").abs(),
    "(a > 1) & (b < 2)": (a > 1) & (b < 2),
    "(a == 1) == b": (a == 1) == b,
    "a * 2 + 1": a * 2 + 1,
    "a * (b + 1)": a * (b + 1),
    "a - (b - 1)": a - (b - 1),
    "a // 2 % 3 / 4": a // 2 % 3 / 4,
    "(a | b) ^ a": (a | b) ^ a,
    "a ** 2": a**2,
    "(a ** 2) ** 3": (a**2) ** 3,
    "(-a).abs()": (-a).abs(),
    "(-1).abs()": pl.lit(-1).abs(),
    "~a.is_null()": ~a.is_null(),
    "a.eq_missing(1)": a.eq_missing(1),
    'a == "x"': a == "x",
    "a == None": a == pl.lit(None),
    "a == True": a == pl.lit(True),
    "b'x'": pl.lit(b"x"),
    "{'x': 1}": pl.lit({"x": 1}),
    "a == 2020-01-02": a == dt.date(2020, 1, 2),
    "a == 2020-01-02 03:04:05": a == dt.datetime(2020, 1, 2, 3, 4, 5),
    "a.is_in([1, 2])": a.is_in([1, 2]),
    'a.is_in(["x"])': a.is_in(["x"]),
    "a.is_between(1, 2)": a.is_between(1, 2),
    'a.is_between(1, 2, closed="Left")': a.is_between(1, 2, closed="left"),
    "a.fill_null(0)": a.fill_null(0),
    "a.round(decimals=2)": a.round(2),
    "a.replace([1], [2])": a.replace({1: 2}),
    "a.cast(Int8)": a.cast(pl.Int8),
    "a.cast(Int8, strict=False)": a.cast(pl.Int8, strict=False),
    "a.cast(Int8, wrap_numerical=True)": a.cast(pl.Int8, wrap_numerical=True),
    "(a + 1).cast(List(Int8))": (a + 1).cast(pl.List(pl.Int8)),
    "when(a > 1).then(2).otherwise(None)": pl.when(a > 1).then(2).otherwise(None),
    "len()": pl.len(),
    "a.sum()": a.sum(),
    "a.max()": a.max(),
    "a.std()": a.std(),
    's.str.slice(0, 2)': s.str.slice(0, 2),
    "s.str.strip_chars()": s.str.strip_chars(),
    "s.str.to_uppercase()": s.str.to_uppercase(),
    's.str.contains("x")': s.str.contains("x"),
    's.str.contains("x", literal=True, strict=False)': s.str.contains("x", literal=True),
    's.str.replace("x", "y")': s.str.replace("x", "y"),
    's.str.replace_all("x", "y", literal=True)': s.str.replace_all("x", "y", literal=True),
    's.str.split(",")': s.str.split(","),
    's.str.strptime(Date, "%Y")': s.str.to_date("%Y"),
    'concat_str(a, b, delimiter="-", ignore_nulls=False)': pl.concat_str(a, b, separator="-"),
    "coalesce(a, b, 0)": pl.coalesce(a, b, 0),
    "max_horizontal(a, b)": pl.max_horizontal(a, b),
    "struct(a, b)": pl.struct(a, b),
    's.struct.field("x")': s.struct.field("x"),
    't.dt.truncate("1h")': t.dt.truncate("1h"),
    't.dt.to_string("%Y")': t.dt.to_string("%Y"),
    't.dt.convert_time_zone("UTC")': t.dt.convert_time_zone("UTC"),
    "t.list.len()": t.list.len(),
    "t.list.get(0)": t.list.get(0),
    "t.list.eval(element() + 1)": t.list.eval(pl.element() + 1),
    "a.name.keep()": a.name.keep(),
    'a.name.prefix("x")': a.name.prefix("x"),
    'a.name.suffix("x")': a.name.suffix("x"),
    "all() * 2": pl.all() * 2,
    "a, b": pl.col("a", "b"),
    'cs.matches("^a.*$")': pl.col("^a.*$"),
}  # fmt: skip


RUNNING = {
    "a.cum_sum()": a.cum_sum(),
    "a.cum_max(reverse=True)": a.cum_max(reverse=True),
    "a.shift(1)": a.shift(1),
    "a.diff(2)": a.diff(2),
    "a.pct_change(1)": a.pct_change(),
    "a.forward_fill()": a.forward_fill(),
    "a.backward_fill(3)": a.backward_fill(3),
    'a.fill_null(strategy="zero")': a.fill_null(strategy="zero"),
    "a.rolling_sum(3)": a.rolling_sum(3),
    "a.rolling_min(3, min_samples=1)": a.rolling_min(3, min_samples=1),
    "a.rolling_mean(5, center=True)": a.rolling_mean(5, center=True),
    "a.rolling_quantile(0.5, window_size=9)": a.rolling_quantile(0.5, window_size=9),
    "a.ewm_mean(alpha=0.5)": a.ewm_mean(alpha=0.5),
    "a.ewm_std(alpha=0.5, adjust=False, bias=True, min_periods=2)": a.ewm_std(
        alpha=0.5, adjust=False, bias=True, min_samples=2
    ),
    "a.ewm_var(alpha=0.25, ignore_nulls=True)": a.ewm_var(alpha=0.25, ignore_nulls=True),
    "a - a.cum_sum() / 2": a - a.cum_sum() / 2,
}
AGGREGATES = {
    "a.len()": a.len(),
    "a.count()": a.count(),
    "a.n_unique()": a.n_unique(),
    "a.filter(b > 1).sum() / len()": a.filter(b > 1).sum() / pl.len(),
    "a.top_k(2)": a.top_k(2),
    "a.list.sort()": a.list.sort(),
    "a.list.sort(descending=True)": a.list.sort(descending=True),
}
TEXTS = {
    's.str.extract("(x)", 1)': s.str.extract("(x)"),
    's.str.count_matches("x")': s.str.count_matches("x"),
    's.str.count_matches("x", literal=True)': s.str.count_matches("x", literal=True),
    "s.str.to_titlecase()": s.str.to_titlecase(),
    "s.str.strptime(Date)": s.str.to_date(),
    "s.str.strptime(Datetime(time_unit='us', time_zone=None), \"%Y\")": s.str.to_datetime("%Y"),
    't.dt.timestamp("ms")': t.dt.timestamp("ms"),
    't.dt.replace_time_zone("UTC")': t.dt.replace_time_zone("UTC"),
    "a.is_in([1])": a.is_in(pl.Series([1])),
    "a.is_in([1, 2]).any()": a.is_in(pl.Series([1, 2])).any(),
    "a.is_in([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])": a.is_in(list(range(1, 12))),
    "a.is_in([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ... 1,990 more])": a.is_in(list(range(2000))),
}
SQL = {
    "a * 2 + b": "a * 2 + b",
    "(a + 1) * b": "(a + 1) * b",
    "m = a / 60": "a / 60 AS m",
    "a % 2 == 1": "a % 2 = 1",
    "a.round(decimals=2)": "round(a, 2)",
    "a ** 2": "power(a, 2)",
    "a.is_in([1, 2])": "a IN (1, 2)",
    '~s.is_in(["x", "y"])': "s NOT IN ('x', 'y')",
    "(a >= 1) & (a <= 5)": "a BETWEEN 1 AND 5",
    's.str.to_uppercase() == "X"': "upper(s) = 'X'",
    "when(a > 1).then(b).otherwise(0)": "CASE WHEN a > 1 THEN b ELSE 0 END",
    "coalesce(a, 0)": "coalesce(a, 0)",
    "s.cast(Int64, strict=False)": "TRY_CAST(s AS BIGINT)",
    "a.is_null()": "a IS NULL",
    "t.dt.year()": "extract(year FROM t)",
}  # fmt: skip
CASES |= RUNNING | AGGREGATES | TEXTS


@pytest.mark.parametrize("text", SQL)
def test_sql_is_shown_like_other_expressions(text: str) -> None:
    assert expression_text(pl.sql_expr(SQL[text])) == text


def test_division_of_whole_numbers_in_sql() -> None:
    # Which rounds to zero; Polars before 2 has no node of its own for that.
    assert expression_text(pl.sql_expr("a // 2")).startswith(("a // 2", "(a // 2).cast(Int64"))


@pytest.mark.parametrize("text", CASES)
def test_text(text: str) -> None:
    assert expression_text(CASES[text]) == text


@pytest.mark.parametrize(
    "expr",
    [
        pl.lit(float("inf")) + a,  # JSON has no infinity
        a.over("b"),
        a.hash(),
        s.str.extract_groups("(x)"),
        a.map_elements(lambda x: x, return_dtype=pl.Int64),
        cs.numeric(),
        pl.when(a.over("b") > 1).then(1),
    ],
)
def test_what_has_no_short_form_is_shown_in_polars_words(expr: pl.Expr) -> None:
    assert expression_text(expr) == " ".join(str(expr).split())


@pytest.mark.parametrize("function", [{"StringExpr": ["new"]}, {"New": [1]}])
def test_a_node_of_another_version_is_shown_as_it_is(function: dict[str, object]) -> None:
    tree = {"Function": {"input": [{"Column": "a"}], "function": function}}
    assert tree_text(tree) == json.dumps(tree)[:80]


def test_a_part_of_a_tree() -> None:
    assert tree_text({"Column": "a"}) == "a"
    over = pl.col("a").over("b")
    assert tree_text({"Column": "two words"}) == 'col("two words")'
    assert tree_text(json.loads(over.meta.serialize(format="json"))) == str(over)


def test_rebuilt_trees_are_the_expression() -> None:
    tree = {"BinaryExpr": {"left": {"Column": "a"}, "op": "Plus", "right": {"Literal": {"Dyn": {"Int": 1}}}}}
    assert rebuild(tree).meta.eq(a + 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [None, pl.Float64, pl.Float32])
def test_what_json_cannot_hold_is_never_rebuilt_as_something_else(
    value: float, dtype: type[pl.DataType] | None
) -> None:
    expr = pl.col("x") + pl.lit(value, dtype=dtype)
    with pytest.raises(NotRebuilt):
        rebuild(tree_of(expr))
    assert column_types(tree_of(expr), pl.Schema({"x": pl.Float32()})) == [
        pl.LazyFrame(schema={"x": pl.Float32}).select(expr).collect_schema()["x"]
    ]


def test_a_tree_that_cannot_stand_alone_has_no_types() -> None:
    assert column_types(tree_of(pl.col("y")), pl.Schema({"x": pl.Int8()})) is None
    assert column_types({"Nonsense": 1}, pl.Schema()) is None


@pytest.mark.parametrize(
    ("predicate", "text"),
    [
        (a > 110, "a > 110"),
        ((b == "it (is)") & (a < 2) & pl.col("c"), 'a < 2 & b == "it (is)" & c'),
        ((a + 1 > 5) | (b == "x"), '(a + 1 > 5) | (b == "x")'),
        (a.is_in(["a", "b"]) & (b | a), '(b | a) & a.is_in(["a", "b"])'),
        ((a == '")]) & (') & b, r'a == "\")]) & (" & b'),
        ((a.over("b") > 1) & b, '[(col("a").over([col("b")])) > (dyn int: 1)] & b'),
        ((a > float("inf")) & b, '[([(col("a")) > (dyn float: inf)]) & (col("b"))]'),
    ],
)
def test_a_predicate_is_the_parts_that_are_joined_by_and(predicate: pl.Expr, text: str) -> None:
    assert conjunction_text(predicate) == text


def test_the_type_of_a_cast_may_come_from_a_column() -> None:
    tree = json.loads(a.cast(pl.dtype_of("b")).meta.serialize(format="json"))
    assert cast_type(tree, pl.Schema({"b": pl.Int16})) == pl.Int16()


def test_columns() -> None:
    assert columns_text(["x", "two words", cs.by_name("y")]) == 'x, col("two words"), y'
    assert name_text("x") == "x"
