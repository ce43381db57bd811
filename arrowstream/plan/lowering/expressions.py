"""Lowering of expressions: from the typed nodes of Polars' plan to those of a program."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import arrow_schema
from arrowstream.errors import SchemaError
from arrowstream.expressions.program import Call, Cast, Column, Expression, Literal
from arrowstream.plan.lowering.names import function_name, operator_name, snake_case
from arrowstream.plan.lowering.polars_plan import Visitor

_STRICT, _NON_STRICT, _WRAPPING = 0, 1, 2
"""How Polars' plan numbers the ways of a cast."""

_EPOCH = datetime.datetime(1970, 1, 1)
_TICK = {"ms": datetime.timedelta(milliseconds=1), "us": datetime.timedelta(microseconds=1)}


class Unlowered(Exception):
    """An expression has no counterpart in a program; the message is the reason."""


class ExpressionLowering:
    """Lowers the expressions of one step.

    Parameters
    ----------
    visitor
        Polars' visitor of the plan.
    before
        The step whose output the expressions read: types are looked up in its schema.
    reasons
        Where every reason why something cannot be lowered is added.
    """

    def __init__(self, visitor: Visitor, before: int, reasons: list[str]) -> None:
        self._visitor = visitor
        self._before = before
        self._reasons = reasons

    def lower(self, root: int) -> Expression:
        """The expression with the number `root`; a null where there was a reason not to."""
        self._visitor.set_node(self._before)
        return self._lower(root)

    def _lower(self, root: int) -> Expression:
        try:
            return self._node(root)
        except Unlowered as reason:
            self._reasons.append(str(reason))
            return Literal(None, pa.null())

    def _node(self, root: int) -> Expression:
        with _shown("an expression"):
            node = self._visitor.view_expression(root)
            dtype = self._visitor.get_dtype(root)
        match type(node).__name__:
            case "Column":
                return Column(node.name, arrow_type(dtype))
            case "Literal":
                return literal(node.value, dtype)
            case "BinaryExpr":
                sides = (self._lower(node.left), self._lower(node.right))
                return Call(operator_name(node.op), sides, arrow_type(dtype))
            case "Ternary":
                parts = (self._lower(node.predicate), self._lower(node.truthy), self._lower(node.falsy))
                return Call("when", parts, arrow_type(dtype))
            case "Cast":
                return self._cast(node)
            case "Function":
                kind, *options = node.function_data
                arguments = tuple([self._lower(argument) for argument in node.input])
                return Call(function_name(kind), arguments, arrow_type(dtype), tuple(options))
            case other:
                raise Unlowered(f"a program has no {snake_case(other)} expression")

    def _cast(self, node: Any) -> Expression:
        value = self._lower(node.expr)
        target = arrow_type(node.dtype)
        if node.options == _WRAPPING:
            # The same name a backend would give the function; it differs from a cast by never failing.
            return Call("wrapping_cast", (value,), target)
        if node.options not in (_STRICT, _NON_STRICT):
            raise Unlowered(f"a cast with options {node.options!r} is not known")
        return Cast(value, target, strict=node.options == _STRICT)


def literal(value: Any, dtype: pl.DataType) -> Literal:
    """A constant as a program holds it: dates and times as the integers Arrow stores.

    Raises
    ------
    Unlowered
        The plan does not show the constant exactly, or programs have no constants of its type.
    """
    return Literal(_plain(value, dtype), arrow_type(dtype))


def _plain(value: Any, dtype: pl.DataType) -> Any:
    if value is None:
        return None
    if isinstance(dtype, pl.List) and isinstance(value, list):
        inner = dtype.inner if isinstance(dtype.inner, pl.DataType) else dtype.inner()
        return tuple(_plain(element, inner) for element in value)
    if isinstance(dtype, pl.Datetime) and dtype.time_unit in _TICK and isinstance(value, datetime.datetime):
        epoch = _EPOCH if value.tzinfo is None else _EPOCH.replace(tzinfo=datetime.UTC)
        return (value - epoch) // _TICK[dtype.time_unit]
    if dtype == pl.Date and isinstance(value, datetime.date):
        return (value - _EPOCH.date()).days
    if isinstance(dtype, pl.Duration) and isinstance(value, int):
        return value
    if isinstance(value, bool | int | float | Decimal | str | bytes) and (
        dtype.is_numeric() or dtype in (pl.Boolean, pl.String, pl.Binary)
    ):
        return value
    # Nanoseconds are shown rounded, and the categories of an Enum have no scalar form here.
    raise Unlowered(f"a constant of type {dtype} is not shown exactly by Polars' plan")


def arrow_type(dtype: pl.DataType) -> pa.DataType:
    """The Arrow type that columns of a Polars type have on an edge."""
    try:
        return arrow_schema(pl.Schema({"": dtype})).field(0).type
    except SchemaError as error:
        raise Unlowered(f"{dtype} has no Arrow form") from error


@contextmanager
def _shown(what: str) -> Iterator[None]:
    """Polars' ways to say that the visitor has no form for something, as a reason."""
    try:
        yield
    except (NotImplementedError, pl.exceptions.PolarsError, OverflowError, ValueError) as error:
        raise Unlowered(f"Polars does not show {what} of the plan: {error}") from error
