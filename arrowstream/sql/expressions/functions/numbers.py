"""Functions of numbers."""

from __future__ import annotations

import math
from functools import partial

import polars as pl
from sqlglot import exp

from arrowstream.sql.expressions.functions.call import Function, FunctionCall, number, truth
from arrowstream.sql.expressions.operations import calculated
from arrowstream.sql.expressions.typed import Typed


def _abs(call: FunctionCall) -> Typed:
    value = call.number(call.takes(1)[0])
    if value.is_integer:
        # The least number of a type has no positive one in it.
        value = value.cast(pl.Int64())
    return value if value.is_null else Typed(value.expr.abs(), value.dtype)


def _sign(call: FunctionCall) -> Typed:
    value = call.number(call.takes(1)[0])
    sign = value.expr.sign()
    if value.is_float:
        sign = sign.fill_nan(0.0)
    return Typed(sign.cast(pl.Int64), pl.Int64())


def _round(call: FunctionCall) -> Typed:
    """Round; a half goes away from zero."""
    value, *digits = call.takes(1, 2)
    value = call.number(value)
    places = call.written(digits[0], int, "ROUND(x, 2)") if digits else 0
    assert isinstance(places, int)
    if places < 0:
        raise call.error("ROUND takes decimals", expected="0 or more", found=str(places))
    if value.is_integer:
        return value
    return Typed(value.expr.round(places, mode="half_away_from_zero"), value.dtype)


def _to_whole(change: str, call: FunctionCall) -> Typed:
    value = call.number(call.takes(1)[0]).cast(pl.Float64())
    return number(getattr(value.expr, change)())


def _towards_zero(call: FunctionCall) -> Typed:
    value = call.number(call.takes(1)[0]).cast(pl.Float64()).expr
    return number(pl.when(value < 0).then(value.ceil()).otherwise(value.floor()))


def _kind(question: str, call: FunctionCall) -> Typed:
    value = call.number(call.takes(1)[0]).cast(pl.Float64())
    return truth(getattr(value.expr, question)())


def _pi(call: FunctionCall) -> Typed:
    call.takes(0)
    return Typed(pl.lit(math.pi, pl.Float64), pl.Float64(), math.pi, True)


def _double(change: str, call: FunctionCall, *arguments: float) -> Typed:
    value = call.number(call.takes(1)[0]).cast(pl.Float64())
    return number(getattr(value.expr, change)(*arguments))


def _log(base: float, call: FunctionCall) -> Typed:
    return _double("log", call, base)


def _power(call: FunctionCall) -> Typed:
    value, exponent = (call.number(each).cast(pl.Float64()) for each in call.takes(2))
    return number(value.expr.pow(exponent.expr))


def _mod(call: FunctionCall) -> Typed:
    value, by = call.takes(2)
    return calculated(call.reader.query, exp.Mod(), call.whole(value), call.whole(by))


NUMBERS: dict[str, Function] = {
    "ABS": _abs,
    "SIGN": _sign,
    "ROUND": _round,
    "FLOOR": partial(_to_whole, "floor"),
    **dict.fromkeys(("CEIL", "CEILING"), partial(_to_whole, "ceil")),
    "TRUNC": _towards_zero,
    "SQRT": partial(_double, "sqrt"),
    "EXP": partial(_double, "exp"),
    "LN": partial(_log, math.e),
    "LOG10": partial(_log, 10.0),
    "LOG2": partial(_log, 2.0),
    **dict.fromkeys(("POWER", "POW"), _power),
    "MOD": _mod,
    "ISNAN": partial(_kind, "is_nan"),
    "ISINF": partial(_kind, "is_infinite"),
    "ISFINITE": partial(_kind, "is_finite"),
    "PI": _pi,
}
