"""Functions that choose one of their arguments."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import polars as pl
from sqlglot import exp

from arrowstream.sql.expressions.comparisons import compared
from arrowstream.sql.expressions.functions.call import Function, FunctionCall
from arrowstream.sql.expressions.typed import Typed


def _coalesce(call: FunctionCall) -> Typed:
    found = call.reader.unified(call.node, call.takes(1, 100))
    return Typed(pl.coalesce([each.expr for each in found]), found[0].dtype)


def _nullif(call: FunctionCall) -> Typed:
    value, other = call.takes(2)
    equal = compared(call.reader.query, call.node, exp.EQ, value, other)
    return Typed(pl.when(~equal.expr.fill_null(False)).then(value.expr), value.dtype)


def _extreme(function: Callable[..., pl.Expr], call: FunctionCall) -> Typed:
    """Take the greatest or the least of the arguments that are not NULL."""
    found = call.reader.unified(call.node, call.takes(1, 100))
    if found[0].is_float or found[0].dtype in (pl.Categorical, pl.Enum):
        # NaN is greater than all numbers in SQL, and is left out in Polars.
        raise call.error(
            f"{call.name} is for whole numbers, text and times",
            hint="write CASE WHEN a > b THEN a ELSE b END",
        )
    return Typed(function([each.expr for each in found]), found[0].dtype)


CHOICES: dict[str, Function] = {
    **dict.fromkeys(("COALESCE", "IFNULL"), _coalesce),
    "NULLIF": _nullif,
    "GREATEST": partial(_extreme, pl.max_horizontal),
    "LEAST": partial(_extreme, pl.min_horizontal),
}
