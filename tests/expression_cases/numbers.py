"""Expressions of numbers, logic and casts, each with the function that it must be lowered to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl
from strategies import DATETIMES, DURATIONS, FLOATS, INTEGERS, NUMBERS, PLAIN, SIGNED

from arrowstream.backends.arrow.kernels import mathematics

A, B, C = pl.col("a"), pl.col("b"), pl.col("c")
F64, F32, I64, BOOL, TEXT, DATE = (
    pl.Float64(),
    pl.Float32(),
    pl.Int64(),
    pl.Boolean(),
    pl.String(),
    pl.Date(),
)
ULPS = 2
"""Units in the last place by which results of the C mathematics library may differ."""

MIXED_SUMS_ARE_WIDENED = (
    "cast" in pl.LazyFrame(schema={"a": pl.Int8, "b": pl.Int64}).select(pl.sum_horizontal("a", "b")).explain()
)
"""Whether Polars' plan says how it adds different types. Polars 1.35 keeps that to itself, and the sum."""


@dataclass(frozen=True, eq=False)
class Case:
    """An expression over columns a, b and c of these types, and the function that it must be lowered to."""

    function: str
    expression: pl.Expr
    types: tuple[pl.DataType, ...]
    ulps: int = 0

    @property
    def schema(self) -> pl.Schema:
        return pl.Schema(dict(zip("abc", self.types, strict=False)))

    def __str__(self) -> str:
        return f"{self.function}: {self.expression} of {', '.join(map(str, self.types))}".replace("\n", " ")


def arithmetic_cases() -> Iterator[Case]:
    for dtype in NUMBERS:
        both = (dtype, dtype)
        yield Case("add", A + B, both)
        yield Case("subtract", A - B, both)
        yield Case("multiply", A * B, both)
        yield Case("floor_divide", A // B, both)
        yield Case("modulo", A % B, both)
        yield Case("abs", A.abs(), both)
        yield Case("sign", A.sign(), both)
        yield Case("clip", A.clip(2, 20), both)
        for number in (2, 3, 7):
            yield Case("multiply", A * number, both)
            yield Case("true_divide", A / number, both)
            yield Case("floor_divide", A // number, both)
            yield Case("modulo", A % number, both)
        yield Case("floor_divide", 7 // A, both)
        yield Case("modulo", 7 % A, both)
        if dtype != F32:  # Polars 1.35 announces double precision for it, and gives single
            yield Case("true_divide", 7 / A, both)
        yield Case("floor_divide", A // 0, both)
        yield Case("modulo", A % 0, both)
        yield Case("true_divide", A / 0, both)
        yield Case("true_divide", A / B, both)
        yield Case("floor", A.floor(), both)
        yield Case("ceil", A.ceil(), both)
        yield Case("round", A.round(), both)
        yield Case("round", A.round(2), both)
        yield Case("sqrt", A.sqrt(), both)
        yield Case("exp", A.exp(), both, ULPS)
    for dtype in (*SIGNED, *FLOATS):
        yield Case("negate", -A, (dtype,))
        yield Case("floor_divide", A // -1, (dtype,))
        yield Case("modulo", A % -3, (dtype,))
    yield Case("clip", A.clip(lower_bound=1.5), (F64,))
    yield Case("clip", A.clip(upper_bound=1.5), (F64,))
    for dtype in FLOATS:
        for number in (0, -0.0, 1.5, 1e-310):
            constant = pl.lit(number, dtype)
            yield Case("add", A + constant, (dtype,))
            yield Case("add", constant + A, (dtype,))
            yield Case("subtract", A - constant, (dtype,))
            yield Case("subtract", constant - A, (dtype,))
    for unit in ("ms", "us", "ns"):
        length = pl.Duration(unit)
        for zone in (None, "Europe/Amsterdam"):
            moment = pl.Datetime(unit, zone)
            yield Case("add", A + B, (moment, length))
            yield Case("add", A + B, (length, moment))
            yield Case("subtract", A - B, (moment, length))
            yield Case("subtract", A - B, (moment, moment))
        yield Case("add", A + B, (length, length))
        yield Case("subtract", A - B, (length, length))
        yield Case("negate", -A, (length,))
        yield Case("abs", A.abs(), (length,))
        yield Case("multiply", A * B, (length, I64))
        yield Case("multiply", B * A, (length, pl.Int8()))
        yield Case("multiply", A * 3, (length,))
    yield Case("add", A + dt.timedelta(hours=1), (pl.Datetime("us"),))
    yield Case("subtract", A - dt.datetime(2020, 1, 1), (pl.Datetime("us"),))
    yield Case("subtract", A - B, (DATE, DATE))
    yield Case("subtract", A - dt.date(2020, 1, 1), (DATE,))


def mathematics_cases() -> Iterator[Case]:
    for name in mathematics._FUNCTIONS:
        for dtype in (*FLOATS, I64, pl.UInt8()):
            yield Case(name, getattr(A, name)(), (dtype,), ULPS)
    for dtype in FLOATS:
        for base in (2, 10, 2.718281828459045, 1.5):
            yield Case("log", A.log(base), (dtype,), ULPS)
        for power in (0, 1, 2, 3, 4, 0.5, -1, 2.5, -0.5):
            yield Case("pow", A**power, (dtype,), ULPS)
        for digits in (0, 1, 3):
            yield Case("round", A.round(digits), (dtype,))
            if dtype == F64 or digits == 0:
                yield Case("round", A.round(digits, mode="half_away_from_zero"), (dtype,))
    yield Case("log", A.log(), (I64,), ULPS)
    yield Case("degrees", A.degrees(), (F64,))
    yield Case("radians", A.radians(), (F64,))


# ruff: noqa: SIM300 — an expression is to be compared with a constant, not the other way round
def comparison_cases() -> Iterator[Case]:
    names = {"eq": A == B, "ne": A != B, "lt": A < B, "le": A <= B, "gt": A > B, "ge": A >= B}
    for dtype in PLAIN:
        for name, expression in names.items():
            yield Case(name, expression, (dtype, dtype))
        yield Case("eq_missing", A.eq_missing(B), (dtype, dtype))
        yield Case("ne_missing", A.ne_missing(B), (dtype, dtype))
        yield Case("is_between", A.is_between(B, C), (dtype, dtype, dtype))
    for dtype in NUMBERS:
        for name, expression in {"eq": A == 2, "ne": A != 2, "lt": A < 2, "gt": A > 2}.items():
            yield Case(name, expression, (dtype,))
        yield Case("le", A <= 2, (dtype,))
        yield Case("ge", A >= 2, (dtype,))
        yield Case("lt", pl.lit(2) < A, (dtype,))
        yield Case("eq_missing", A.eq_missing(2), (dtype,))
        yield Case("is_in", A.is_in(pl.lit([1, 2, 50, None], pl.List(dtype))), (dtype,))
        yield Case("is_in", A.is_in(pl.lit([1, None], pl.List(dtype)), nulls_equal=True), (dtype,))
        yield Case("is_in", A.is_in(pl.lit([1, 0], pl.List(dtype)), nulls_equal=True), (dtype,))
        yield Case("is_in", A.is_in(pl.lit([], pl.List(dtype))), (dtype,))
    for number in (float("nan"), 0.0, -0.0, float("inf")):
        yield Case("gt", A > number, (F64,))
        yield Case("le", A <= number, (F64,))
        yield Case("eq", A == number, (F64,))
        yield Case("is_in", A.is_in([number, None]), (F64,))
    for closed in ("both", "left", "right", "none"):
        yield Case("is_between", A.is_between(1, 50, closed=closed), (I64,))
        yield Case("is_between", A.is_between(-0.5, 2.5, closed=closed), (F64,))
    many = [*range(-2, 8), 50, 100]
    for dtype in (I64, pl.UInt8(), *FLOATS):
        known = [number for number in many if number >= 0 or dtype != pl.UInt8()]
        yield Case("is_in", A.is_in(pl.lit([*known, None], pl.List(dtype))), (dtype,))
        yield Case("is_in", A.is_in(pl.lit([*known, None], pl.List(dtype)), nulls_equal=True), (dtype,))
    yield Case("is_in", A.is_in([*map(float, many), float("nan"), float("inf")]), (F64,))
    yield Case("is_in", A.is_in([*"abcdefghi", "", "é"]), (TEXT,))
    yield Case("is_in", A.is_in([dt.date(1970, 1, day) for day in range(1, 15)], nulls_equal=True), (DATE,))
    yield Case("eq", A == "a", (TEXT,))
    yield Case("lt", A < "a", (TEXT,))
    yield Case("is_in", A.is_in(["a", "é", None]), (TEXT,))
    yield Case("is_in", A.is_in([dt.date(1970, 1, 1)]), (DATE,))
    yield Case("gt", A > dt.date(2000, 1, 1), (DATE,))
    yield Case("gt", A > dt.datetime(1950, 1, 1, 0, 0, 0, 7), (pl.Datetime("us"),))
    yield Case("ne", A != dt.timedelta(days=-1), (pl.Duration("us"),))


def logic_cases() -> Iterator[Case]:
    for dtype in (BOOL, *INTEGERS):
        yield Case("and", A & B, (dtype, dtype))
        yield Case("or", A | B, (dtype, dtype))
        yield Case("xor", A ^ B, (dtype, dtype))
        yield Case("not", ~A, (dtype,))
    yield Case("and", pl.all_horizontal(A, B, C), (BOOL, BOOL, BOOL))
    yield Case("or", pl.any_horizontal(A, B, C), (BOOL, BOOL, BOOL))
    for dtype in PLAIN:
        yield Case("is_null", A.is_null(), (dtype,))
        yield Case("is_not_null", A.is_not_null(), (dtype,))
        yield Case("fill_null", A.fill_null(B), (dtype, dtype))
        yield Case("coalesce", pl.coalesce(A, B, C), (dtype, dtype, dtype))
        yield Case("when", pl.when(C).then(A).otherwise(B), (dtype, dtype, BOOL))
        yield Case("when", pl.when(C).then(A), (dtype, dtype, BOOL))
    for dtype in FLOATS:
        yield Case("is_nan", A.is_nan(), (dtype,))
        yield Case("is_not_nan", A.is_not_nan(), (dtype,))
        yield Case("is_finite", A.is_finite(), (dtype,))
        yield Case("is_infinite", A.is_infinite(), (dtype,))
        yield Case("when", A.fill_nan(None), (dtype,))
        yield Case("when", A.fill_nan(1), (dtype,))
    for dtype in (*INTEGERS, TEXT, DATE, *DURATIONS, *DATETIMES):
        yield Case("max_horizontal", pl.max_horizontal(A, B), (dtype, dtype))
        yield Case("min_horizontal", pl.min_horizontal(A, B, C), (dtype, dtype, dtype))
    for dtype in NUMBERS:
        yield Case("sum_horizontal", pl.sum_horizontal(A, B), (dtype, dtype))
        yield Case("sum_horizontal", pl.sum_horizontal(A, B, ignore_nulls=False), (dtype, dtype))
    if MIXED_SUMS_ARE_WIDENED:
        yield Case("sum_horizontal", pl.sum_horizontal(A, B, C), (pl.Int8(), I64, pl.UInt8()))
        yield Case("sum_horizontal", pl.sum_horizontal(A, B), (pl.Int8(), F64))
        yield Case("sum_horizontal", pl.sum_horizontal(A, B), (pl.Int32(), pl.UInt32()))
    yield Case("max_horizontal", pl.max_horizontal(A, B), (pl.Int8(), I64))
    yield Case("fill_null", A.fill_null(7), (I64,))
    yield Case("fill_null", A.fill_null("x"), (TEXT,))
    yield Case(
        "when", pl.when(A > 1).then(pl.lit("x")).when(A < 0).then(pl.lit("y")).otherwise(B), (I64, TEXT)
    )
    record = pl.Struct({"x": I64, "y": TEXT})
    yield Case("struct.field_by_name", A.struct.field("x"), (record,))
    yield Case("struct.field_by_name", A.struct.field("y"), (record,))


def conversion_cases() -> Iterator[Case]:
    for source in INTEGERS:
        for target in INTEGERS:
            yield Case("wrapping_cast", A.cast(target, wrap_numerical=True), (source,))
    for source in (BOOL, *NUMBERS):
        for target in (BOOL, *NUMBERS):
            if source != target:
                yield Case("cast", A.cast(target), (source,))
                yield Case("cast", A.cast(target, strict=False), (source,))
    for source in (BOOL, *INTEGERS):
        yield Case("cast", A.cast(TEXT), (source,))
    yield Case("cast", A.cast(pl.Binary()), (TEXT,))
    for unit in ("ms", "us", "ns"):
        yield Case("cast", A.cast(pl.Datetime(unit)), (DATE,))
        for other in ("ms", "us", "ns"):
            if unit != other:
                yield Case("cast", A.cast(pl.Datetime(other)), (pl.Datetime(unit),))
                yield Case("cast", A.cast(pl.Datetime(other, "UTC")), (pl.Datetime(unit, "UTC"),))
                yield Case("cast", A.cast(pl.Duration(other)), (pl.Duration(unit),))
        for moment in (pl.Datetime(unit), pl.Datetime(unit, "UTC"), pl.Duration(unit)):
            yield Case("cast", A.cast(I64), (moment,))
            yield Case("cast", A.cast(moment), (I64,))
        yield Case("cast", A.cast(DATE), (pl.Datetime(unit),))
    yield Case("cast", A.cast(pl.Int32()), (DATE,))
    for target in (I64, TEXT, DATE, pl.Datetime("us")):
        yield Case("cast", A.cast(target), (pl.Null(),))


CASES = [
    *arithmetic_cases(),
    *mathematics_cases(),
    *comparison_cases(),
    *logic_cases(),
    *conversion_cases(),
]
