"""Functions of numbers."""

from __future__ import annotations

import math
from functools import partial

import polars as pl
from sqlglot import exp

from arrowstream.sql.expressions.functions.call import Call, Function, number
from arrowstream.sql.expressions.operations import calculated
from arrowstream.sql.expressions.typed import Typed


def _abs(call: Call) -> Typed:
    value = call.number(call.takes(1)[0])
    return value if value.is_null else Typed(value.expr.abs(), value.dtype)


def _sign(call: Call) -> Typed:
    value = call.number(call.takes(1)[0])
    return Typed(value.expr.sign().cast(pl.Int64), pl.Int64())


def _round(call: Call) -> Typed:
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


def _to_whole(change: str, call: Call) -> Typed:
    value = call.number(call.takes(1)[0]).cast(pl.Float64())
    return number(getattr(value.expr, change)())


def _double(change: str, call: Call, *arguments: float) -> Typed:
    value = call.number(call.takes(1)[0]).cast(pl.Float64())
    return number(getattr(value.expr, change)(*arguments))


def _log(base: float, call: Call) -> Typed:
    return _double("log", call, base)


def _power(call: Call) -> Typed:
    value, exponent = (call.number(each).cast(pl.Float64()) for each in call.takes(2))
    return number(value.expr.pow(exponent.expr))


def _mod(call: Call) -> Typed:
    value, by = call.takes(2)
    return calculated(call.reader.query, exp.Mod(), call.whole(value), call.whole(by))


NUMBERS: dict[str, Function] = {
    "ABS": _abs,
    "SIGN": _sign,
    "ROUND": _round,
    "FLOOR": partial(_to_whole, "floor"),
    **dict.fromkeys(("CEIL", "CEILING"), partial(_to_whole, "ceil")),
    "SQRT": partial(_double, "sqrt"),
    "EXP": partial(_double, "exp"),
    "LN": partial(_log, math.e),
    "LOG10": partial(_log, 10.0),
    "LOG2": partial(_log, 2.0),
    **dict.fromkeys(("POWER", "POW"), _power),
    "MOD": _mod,
}
