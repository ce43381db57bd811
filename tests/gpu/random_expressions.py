"""Random steps over a few columns: only of functions that every backend offers."""

from __future__ import annotations

import polars as pl
from hypothesis import strategies as st

from arrowstream.operators.filter import Filter
from arrowstream.operators.with_columns import WithColumns
from arrowstream.plan.segment import Segment

SCHEMA = pl.Schema(
    {
        "i": pl.Int64(),
        "j": pl.Int64(),
        "small": pl.Int8(),
        "tiny": pl.Int8(),
        "x": pl.Float64(),
        "y": pl.Float64(),
        "f": pl.Float32(),
        "g": pl.Float32(),
        "p": pl.Boolean(),
        "q": pl.Boolean(),
        "s": pl.String(),
        "at": pl.Datetime("us"),
        "zoned": pl.Datetime("ms", "Europe/Amsterdam"),
        "list": pl.List(pl.Int64),
        "colour": pl.Enum(["red", "green", "blue"]),
    }
)

_BY_TYPE: dict[pl.DataType, list[str]] = {}
for _name, _dtype in SCHEMA.items():
    _BY_TYPE.setdefault(_dtype, []).append(_name)

NUMBERS = (pl.Int64(), pl.Int8(), pl.Float64(), pl.Float32())


@st.composite
def _number(draw: st.DrawFn, dtype: pl.DataType, depth: int) -> pl.Expr:
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return pl.col(draw(st.sampled_from(_BY_TYPE[dtype])))
    left = draw(_number(dtype, depth - 1))
    kind = draw(st.integers(0, 7))
    if kind == 0:
        return left + draw(st.integers(1, 5))
    if kind == 1:
        return pl.when(draw(_truth(depth - 1))).then(left).otherwise(draw(_number(dtype, depth - 1)))
    if kind == 2:
        return left.fill_null(draw(_number(dtype, depth - 1)))
    if kind == 3:
        return left // draw(_number(dtype, depth - 1))
    if kind == 4:
        return left.abs()
    right = draw(_number(dtype, depth - 1))
    return (left + right, left - right, left * right)[kind - 5]


@st.composite
def _truth(draw: st.DrawFn, depth: int) -> pl.Expr:
    if depth == 0 or draw(st.integers(0, 5)) == 0:
        return pl.col(draw(st.sampled_from(["p", "q"])))
    kind = draw(st.integers(0, 6))
    if kind == 0:
        return ~draw(_truth(depth - 1))
    if kind in (1, 2):
        left, right = draw(_truth(depth - 1)), draw(_truth(depth - 1))
        return left & right if kind == 1 else left | right
    if kind == 3:
        return pl.col(draw(st.sampled_from(SCHEMA.names()[:13]))).is_null()
    if kind == 4:
        return pl.col("s").str.starts_with(draw(st.sampled_from(["", "a", "é"])))
    dtype = draw(st.sampled_from(NUMBERS))
    left, right = draw(_number(dtype, depth - 1)), draw(_number(dtype, depth - 1))
    return draw(st.sampled_from([left < right, left <= right, left == right, left > right, left >= right]))


@st.composite
def chains(draw: st.DrawFn) -> Segment:
    """One to three steps: new columns, or a filter. The columns that no step reads go along."""
    steps: list[Filter | WithColumns] = []
    for place in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            steps.append(Filter.of(draw(_truth(2))))
        else:
            dtype = draw(st.sampled_from(NUMBERS))
            steps.append(WithColumns.of(**{f"new{place}": draw(_number(dtype, 3))}))
    lazy = pl.LazyFrame(schema=SCHEMA)
    for step in steps:
        lazy = step.apply(lazy)
    return Segment(tuple(steps), SCHEMA, lazy.collect_schema())
