"""Lowering of expressions: from the typed nodes of Polars' plan to those of a program."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa

from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.errors import SchemaError
from arrowstream.expressions.names import snake_case
from arrowstream.expressions.program import Call, Cast, Column, Expression, Literal
from arrowstream.plan.lowering.names import function_name, operator_name
from arrowstream.plan.lowering.polars_plan import Visitor

_STRICT, _NON_STRICT, _WRAPPING = 0, 1, 2
"""The numbers of the kinds of cast in Polars' plan."""

_EPOCH = datetime.datetime(1970, 1, 1)
_TICK = {"ms": datetime.timedelta(milliseconds=1), "us": datetime.timedelta(microseconds=1)}


class Unlowered(Exception):
    """An expression has no counterpart in a program; the message is the reason."""


_DEEPEST = 100
"""Largest depth of an expression, in levels: backends compile and run it by recursion."""

_NOTHING = Literal(None, pa.null())
"""Stands in for an expression that cannot be lowered."""


class ExpressionLowering:
    """The lowering of the expressions of one step.

    Parameters
    ----------
    visitor
        Polars' visitor of the plan.
    before
        The number of the step whose output the expressions read: types are looked up in its schema.
    reasons
        A list to which every reason why something cannot be lowered is added.
    """

    def __init__(self, visitor: Visitor, before: int, reasons: list[str]) -> None:
        self._visitor = visitor
        self._before = before
        self._reasons = reasons

    def lower(self, root: int) -> Expression:
        """Lower the expression with the number `root`; a part that cannot be lowered becomes a null."""
        self._visitor.set_node(self._before)
        nodes: list[tuple[int, Any, Any, str | None]] = []
        pending = [(root, 1)]
        while pending:
            number, depth = pending.pop()
            if depth > _DEEPEST:
                self._reasons.append(f"an expression has more than {_DEEPEST} levels")
                return _NOTHING
            node, dtype, reason = self._seen(number)
            nodes.append((number, node, dtype, reason))
            pending += [(part, depth + 1) for part in reversed(_parts(node))]
        lowered: dict[int, Expression] = {}
        reasons = []
        for number, node, dtype, reason in reversed(nodes):
            try:
                if reason is not None:
                    raise Unlowered(reason)
                lowered[number] = self._lowered(node, dtype, [lowered[part] for part in _parts(node)])
            except Unlowered as error:
                reasons.append(str(error))
                lowered[number] = _NOTHING
        self._reasons += reversed(reasons)
        return lowered[root]

    def _seen(self, number: int) -> tuple[Any, Any, str | None]:
        """Return a node, its type and None; or None twice and the reason why Polars does not show them."""
        try:
            return self._visitor.view_expression(number), self._visitor.get_dtype(number), None
        except (NotImplementedError, pl.exceptions.PolarsError, OverflowError, ValueError) as error:
            return None, None, f"Polars does not show an expression of the plan: {error}"

    def _lowered(self, node: Any, dtype: pl.DataType, parts: list[Expression]) -> Expression:
        match type(node).__name__:
            case "Column":
                return Column(node.name, arrow_type(dtype))
            case "Literal":
                return literal(node.value, dtype)
            case "BinaryExpr":
                return Call(operator_name(node.op), tuple(parts), arrow_type(dtype))
            case "Ternary":
                return Call("when", tuple(parts), arrow_type(dtype))
            case "Cast":
                return self._cast(node, *parts)
            case "Function":
                # Some functions are shown without options as a bare name.
                data = node.function_data
                kind, *options = data if isinstance(data, tuple) else (data,)
                if kind == "fused":
                    return _two_operations(options, parts, arrow_type(dtype))
                return Call(function_name(kind), tuple(parts), arrow_type(dtype), tuple(options))
            case other:
                raise Unlowered(f"a program has no {snake_case(other)} expression")

    def _cast(self, node: Any, value: Expression) -> Expression:
        target = arrow_type(node.dtype)
        if node.options == _WRAPPING:
            # Unlike a cast it never fails.
            return Call("wrapping_cast", (value,), target)
        if node.options not in (_STRICT, _NON_STRICT):
            raise Unlowered(f"a cast with options {node.options!r} is not known")
        return Cast(value, target, strict=node.options == _STRICT)


def _two_operations(options: list[Any], parts: list[Expression], dtype: pa.DataType) -> Call:
    """Return a product and a sum that Polars' plan has fused; Polars rounds both, as if they were apart."""
    match options, parts:
        case ["fma"], [left, right, addend]:
            return Call("add", (Call("multiply", (left, right), dtype), addend), dtype)
        case ["fms"], [left, right, subtrahend]:
            return Call("subtract", (Call("multiply", (left, right), dtype), subtrahend), dtype)
        case ["fsm"], [minuend, left, right]:
            return Call("subtract", (minuend, Call("multiply", (left, right), dtype)), dtype)
    raise Unlowered(f"fused arithmetic {options!r} is not known")


def literal(value: Any, dtype: pl.DataType) -> Literal:
    """Return a constant of a program; dates, times and durations become the integers that Arrow stores.

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
    # The plan shows nanoseconds rounded, and an Enum's categories have no scalar form in a program.
    raise Unlowered(f"a constant of type {dtype} is not shown exactly by Polars' plan")


def arrow_type(dtype: pl.DataType) -> pa.DataType:
    """Return the Arrow type of columns of a Polars type between stages.

    Raises
    ------
    Unlowered
        The type has no Arrow form.
    """
    try:
        return arrow_schema(pl.Schema({"": dtype})).field(0).type
    except SchemaError as error:
        raise Unlowered(f"{dtype} has no Arrow form") from error


def _parts(node: Any) -> list[int]:
    """Return the numbers of the expressions directly inside a node."""
    match type(node).__name__:
        case "BinaryExpr":
            return [node.left, node.right]
        case "Ternary":
            return [node.predicate, node.truthy, node.falsy]
        case "Cast":
            return [node.expr]
        case "Function":
            return list(node.input)
        case _:
            return []
