"""Expressions of a query as expressions of Polars that give what SQL says, whatever Polars does by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import polars as pl
from sqlglot import exp

from arrowstream.errors import QueryError
from arrowstream.sql.expressions import literals, operations
from arrowstream.sql.expressions.casts import cast, type_of
from arrowstream.sql.expressions.comparisons import compared, operands
from arrowstream.sql.expressions.functions.call import FunctionCall
from arrowstream.sql.expressions.functions.table import FUNCTIONS, unknown_function
from arrowstream.sql.expressions.patterns import like
from arrowstream.sql.expressions.refused import refused
from arrowstream.sql.expressions.typed import Typed, common, name_of
from arrowstream.sql.places import QueryText


@dataclass(frozen=True, slots=True)
class ExpressionReader:
    """Reads expressions whose columns are those of a builder.

    Parameters
    ----------
    query
        The text, for errors.
    schema
        Names and types of the columns.
    known
        Columns by the expressions that they hold, such as aggregates that are computed before.
    missing
        Makes the error for a column that is not in `schema`; None if there can be none.
    """

    query: QueryText
    schema: Mapping[str, pl.DataType]
    known: Mapping[exp.Expr, str] = field(default_factory=dict)
    missing: Callable[[exp.Expr], QueryError] | None = None

    def read(self, node: exp.Expr) -> Typed:
        """Return an expression of the query.

        Raises
        ------
        QueryError
            A function is unknown, types do not fit, or it is nothing that looks at one row.
        """
        if (name := self.known.get(node)) is not None:
            return Typed(pl.col(name), self.schema[name])
        reader = _READERS.get(type(node))
        if reader is None:
            raise refused(self.query, node)
        return reader(self, node)

    def condition(self, node: exp.Expr) -> Typed:
        """Return an expression that is true, false or NULL."""
        found = self.read(node)
        if found.dtype not in (pl.Boolean, pl.Null):
            raise self.query.error(
                node,
                "a condition is true or false",
                expected="BOOLEAN",
                found=f"{name_of(found.dtype)}, {self.query.source(node)}",
                hint="compare it with something, such as x <> 0",
            )
        return found.cast(pl.Boolean())

    def unified(self, node: exp.Expr, found: list[Typed]) -> list[Typed]:
        """Return values in the type that holds all of them."""
        dtype: pl.DataType = pl.Null()
        for each in found:
            both = common(dtype, each.dtype)
            if both is None:
                raise self.query.error(
                    node,
                    "values of these types do not go together",
                    expected="values of one type",
                    found=f"{name_of(dtype)} and {name_of(each.dtype)}",
                    hint="write CAST(... AS ...) around one of them",
                )
            dtype = both
        return [each.cast(dtype) for each in found]


def _column(self: ExpressionReader, node: exp.Expr) -> Typed:
    dtype = self.schema.get(node.name)
    if dtype is None:
        assert self.missing is not None, "columns are bound before they are read"
        raise self.missing(node)
    return Typed(pl.col(node.name), dtype)


def _inside(self: ExpressionReader, node: exp.Expr) -> Typed:
    return self.read(node.this)


def _and(self: ExpressionReader, node: exp.Expr) -> Typed:
    both = [self.condition(part).expr for part in node.flatten()]
    return Typed(reduce(lambda one, other: one & other, both), pl.Boolean())


def _or(self: ExpressionReader, node: exp.Expr) -> Typed:
    both = [self.condition(part).expr for part in node.flatten()]
    return Typed(reduce(lambda one, other: one | other, both), pl.Boolean())


def _not(self: ExpressionReader, node: exp.Expr) -> Typed:
    return Typed(~self.condition(node.this).expr, pl.Boolean())


def _compare(self: ExpressionReader, node: exp.Expr) -> Typed:
    if isinstance(node, exp.EQ | exp.NEQ) and (multiple := _multiple(self, node)) is not None:
        return multiple
    return compared(self.query, node, type(node), self.read(node.this), self.read(node.expression))


def _multiple(self: ExpressionReader, node: exp.Expr) -> Typed | None:
    """Return ``x % n = 0``, for which the sign of the remainder does not matter; None for other comparisons."""
    one, zero = node.this.unnest(), node.expression
    if not isinstance(zero, exp.Literal) or zero.is_string or zero.name != "0":
        return None
    is_mod = isinstance(one, exp.Anonymous) and one.name == "MOD" and len(one.expressions) == 2
    if one in self.known or not (isinstance(one, exp.Mod) or is_mod):
        return None
    parts = one.expressions if is_mod else [one.this, one.expression]
    value, by = (self.read(part) for part in parts)
    if not value.is_integer or not by.is_integer:
        return None
    rest = value.cast(pl.Int64()).expr % by.cast(pl.Int64()).expr
    return Typed(rest == 0 if isinstance(node, exp.EQ) else rest != 0, pl.Boolean())


def _between(self: ExpressionReader, node: exp.Expr) -> Typed:
    value = self.read(node.this)
    low = compared(self.query, node, exp.GTE, value, self.read(node.args["low"]))
    high = compared(self.query, node, exp.LTE, value, self.read(node.args["high"]))
    return _negated(node, low.expr & high.expr)


def _negated(node: exp.Expr, expr: pl.Expr) -> Typed:
    return Typed(~expr if node.args.get("negate") else expr, pl.Boolean())


def _in(self: ExpressionReader, node: exp.Expr) -> Typed:
    if node.args.get("query") is not None:
        raise self.query.error(
            node,
            "IN takes values",
            expected="such as x IN (1, 2, 3)",
            found="a subquery",
            hint="write SEMI JOIN (SELECT ...) AS t ON x = t.y, or ANTI JOIN for NOT IN",
        )
    if not node.expressions:
        raise self.query.error(
            node, "IN takes values", expected="such as x IN (1, 2, 3)", found=self.query.source(node)
        )
    value = self.read(node.this)
    pairs = [operands(self.query, node, value, self.read(each)) for each in node.expressions]
    others = [other for _, other in pairs]
    if len(others) > 1 and all(other.constant and _fits(other, own) for own, other in pairs):
        return _negated(node, pairs[0][0].expr.is_in([other.value for other in others]))
    equal = (compared(self.query, node, exp.EQ, own, other).expr for own, other in pairs)
    return _negated(node, reduce(lambda one, other: one | other, equal))


def _fits(value: Typed, own: Typed) -> bool:
    """Return whether Polars compares a value as it is with those of a column."""
    same = (value.is_integer and own.is_integer) or value.dtype == own.dtype == pl.String
    return same and value.value is not None


def _is(self: ExpressionReader, node: exp.Expr) -> Typed:
    value = self.read(node.this)
    match node.expression:
        case exp.Null():
            return _negated(node, value.expr.is_null())
        case exp.Boolean() as wanted:
            truth = self.condition(node.this).expr
            return _negated(node, truth.eq_missing(pl.lit(bool(wanted.this))))
    raise self.query.error(
        node,
        "IS compares with NULL, TRUE or FALSE",
        found=self.query.source(node),
        hint="write = for other values",
    )


def _case(self: ExpressionReader, node: exp.Expr) -> Typed:
    of = node.this
    conditions = [
        self.condition(each.this).expr
        if of is None
        else compared(self.query, each, exp.EQ, self.read(of), self.read(each.this)).expr
        for each in node.args["ifs"]
    ]
    default = node.args.get("default")
    values = [self.read(each.args["true"]) for each in node.args["ifs"]]
    values.append(literals.null() if default is None else self.read(default))
    return _chosen(self, node, conditions, values)


def _if(self: ExpressionReader, node: exp.Expr) -> Typed:
    other = node.args.get("false")
    values = [self.read(node.args["true"]), literals.null() if other is None else self.read(other)]
    return _chosen(self, node, [self.condition(node.this).expr], values)


def _chosen(self: ExpressionReader, node: exp.Expr, conditions: list[pl.Expr], values: list[Typed]) -> Typed:
    *chosen, rest = self.unified(node, values)
    made: Any = pl
    for condition, value in zip(conditions, chosen, strict=True):
        made = made.when(condition).then(value.expr)
    return Typed(made.otherwise(rest.expr), rest.dtype)


def _like(self: ExpressionReader, node: exp.Expr) -> Typed:
    escape = None
    if isinstance(node, exp.Escape):
        escape, node = self.read(node.expression), node.this
    found = like(self.query, node, self.read(node.this), self.read(node.expression), escape)
    return _negated(node, found)


def _arithmetic(self: ExpressionReader, node: exp.Expr) -> Typed:
    if isinstance(node.expression, exp.Interval) or isinstance(node.this, exp.Interval):
        return self_shifted(self, node)
    return operations.calculated(self.query, node, self.read(node.this), self.read(node.expression))


def self_shifted(self: ExpressionReader, node: exp.Expr) -> Typed:
    """Return a time plus or minus an interval."""
    time, interval = node.this, node.expression
    if isinstance(time, exp.Interval):
        time, interval = interval, time
    return operations.shifted(self.query, node, self.read(time), interval)


def _negative(self: ExpressionReader, node: exp.Expr) -> Typed:
    return operations.negative(self.query, node, self.read(node.this))


def _concatenated(self: ExpressionReader, node: exp.Expr) -> Typed:
    parts = [self.read(part) for part in node.flatten()]
    return operations.concatenated(self.query, node, parts)


def _cast(self: ExpressionReader, node: exp.Expr) -> Typed:
    target = type_of(self.query, node)
    return cast(self.query, node, self.read(node.this), target, strict=not isinstance(node, exp.TryCast))


def _literal(self: ExpressionReader, node: exp.Expr) -> Typed:
    return literals.read(self.query, node)


def _function(self: ExpressionReader, node: exp.Expr) -> Typed:
    name = node.name.upper()
    function = FUNCTIONS.get(name)
    if function is None:
        raise unknown_function(self.query, node, name)
    return function(FunctionCall(self, node, name, tuple(node.expressions)))


def _named(name: str, *parts: str) -> Callable[[ExpressionReader, exp.Expr], Typed]:
    """Return the reader of a function that SQL writes in a way of its own, such as ``POSITION(x IN y)``."""

    def read(self: ExpressionReader, node: exp.Expr) -> Typed:
        given = [node.args.get(part) for part in parts]
        return FUNCTIONS[name](
            FunctionCall(self, node, name, tuple(each for each in given if each is not None))
        )

    return read


def _extract(self: ExpressionReader, node: exp.Expr) -> Typed:
    part = exp.Literal.string(node.name)
    return FUNCTIONS["DATE_PART"](FunctionCall(self, node, "EXTRACT", (part, node.expression)))


def _trim(self: ExpressionReader, node: exp.Expr) -> Typed:
    name = {"LEADING": "LTRIM", "TRAILING": "RTRIM"}.get((node.args.get("position") or "").upper(), "TRIM")
    given = [node.this, node.args.get("expression")]
    return FUNCTIONS[name](FunctionCall(self, node, name, tuple(each for each in given if each is not None)))


_Reader = Callable[[ExpressionReader, exp.Expr], Typed]
_READERS: dict[type[exp.Expr], _Reader] = {
    exp.Column: _column,
    exp.Paren: _inside,
    exp.And: _and,
    exp.Or: _or,
    exp.Not: _not,
    **dict.fromkeys(
        (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ), _compare
    ),
    exp.Between: _between,
    exp.In: _in,
    exp.Is: _is,
    exp.Case: _case,
    exp.If: _if,
    **dict.fromkeys((exp.Like, exp.ILike, exp.Escape), _like),
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod), _arithmetic),
    exp.Neg: _negative,
    exp.DPipe: _concatenated,
    **dict.fromkeys((exp.Cast, exp.TryCast), _cast),
    **dict.fromkeys((exp.Literal, exp.Boolean, exp.Null), _literal),
    exp.Anonymous: _function,
    exp.Extract: _extract,
    exp.Substring: _named("SUBSTRING", "this", "start", "length"),
    exp.StrPosition: _named("STRPOS", "this", "substr"),
    exp.Trim: _trim,
    exp.Pow: _named("POWER", "this", "expression"),
    exp.Ceil: _named("CEIL", "this"),
    exp.Floor: _named("FLOOR", "this"),
}
