"""Expressions as text: the same on every version of Polars, and close to what a user would write."""

import datetime as dt
import json

import polars as pl
import polars.selectors as cs
import pytest

from arrowstream.expression_text import (
    cast_type,
    columns_text,
    expression_text,
    name_text,
    rebuild,
    tree_text,
)

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


@pytest.mark.parametrize("text", CASES)
def test_text(text: str) -> None:
    assert expression_text(CASES[text]) == text


@pytest.mark.parametrize(
    "expr",
    [
        pl.lit(float("inf")) + a,  # JSON has no infinity
        a.is_in(pl.Series([1])),
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


def test_a_literal_json_cannot_hold_is_rebuilt_as_zero() -> None:
    assert rebuild({"Literal": {"Dyn": {"Float": None}}}).meta.eq(pl.lit(0.0))


def test_the_type_of_a_cast_may_come_from_a_column() -> None:
    tree = json.loads(a.cast(pl.dtype_of("b")).meta.serialize(format="json"))
    assert cast_type(tree, pl.Schema({"b": pl.Int16})) == pl.Int16()


def test_columns() -> None:
    assert columns_text(["x", "two words", cs.by_name("y")]) == 'x, col("two words"), y'
    assert name_text("x") == "x"
