"""A program's expressions compiled into functions of a record batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from operator import methodcaller
from types import MethodType
from typing import TypeVar

import pyarrow as pa

from arrowstream.backends.arrow.kernels.base import Evaluate, Values
from arrowstream.backends.arrow.kernels.conversion import convert
from arrowstream.backends.arrow.kernels.registry import KERNELS
from arrowstream.backends.arrow.kernels.scalars import scalar
from arrowstream.expressions.program import Call, Cast, Column, Expression, Literal, is_constant

Evaluated = Callable[[pa.RecordBatch], Values]
"""Computes the values of an expression for the rows of a record batch."""

Parts = TypeVar("Parts")
Result = TypeVar("Result")

_NOTHING = pa.NULL


class ExpressionCompiler:
    """The compilation of the expressions of one step.

    Parameters
    ----------
    schema
        Schema of the record batches that come in.
    reasons
        A list to which every reason is added why an expression cannot be computed with Polars' exact result.
    """

    def __init__(self, schema: pa.Schema, reasons: list[str]) -> None:
        self._schema = schema
        self._reasons = reasons

    def expression(self, expression: Expression) -> Evaluated | pa.Scalar:
        """Compile an expression to a function, or to a scalar if it is constant; a refused one becomes null."""
        match expression:
            case Column():
                return _column(self._schema.get_field_index(expression.name))
            case Literal():
                return self._literal(expression)
            case Cast():
                return self._cast(expression)
        return self._call(expression)

    def column(self, expression: Expression) -> Evaluated:
        """Compile an expression to a function that gives an array with a value for every row of the record batch."""
        value = self.expression(expression)
        if callable(value):
            return value
        if not value.is_valid:
            dtype = expression.dtype
            return lambda record: pa.nulls(record.num_rows, dtype)
        return lambda record: pa.repeat(value, record.num_rows)

    def _refuse(self, reason: str) -> pa.Scalar:
        self._reasons.append(reason)
        return _NOTHING

    def _literal(self, literal: Literal) -> pa.Scalar:
        try:
            return scalar(literal.value, literal.dtype)
        except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
            return self._refuse(
                f"the constant {literal.value!r} has no exact form as {literal.dtype}: {error}"
            )

    def _cast(self, cast: Cast) -> Evaluated | pa.Scalar:
        value = self.expression(cast.input)
        evaluate = convert(cast.input.dtype, cast.dtype, cast.strict)
        if isinstance(evaluate, str):
            return self._refuse(evaluate)
        if callable(value):
            return _applied(evaluate, [value])
        try:
            return evaluate(pa.repeat(value, 1))[0]
        except pa.ArrowException as error:
            return self._refuse(f"a constant cannot be cast: {error}")

    def _call(self, call: Call) -> Evaluated | pa.Scalar:
        name = call.function
        kernel = KERNELS.get(name)
        if kernel is None:
            return self._refuse(f"{name} is not offered by Arrow")
        if is_constant(call):
            return self._refuse(f"{name} of constants only")
        arguments = [self.expression(argument) for argument in call.arguments]
        evaluate = kernel(call)
        if isinstance(evaluate, str):
            return self._refuse(f"{name}: {evaluate}")
        return _applied(evaluate, arguments)


@lru_cache(maxsize=512)
def _column(place: int) -> Evaluated:
    """Return a function that gives the column at `place`; all expressions that read this place share it."""
    return methodcaller("column", place)


def bound(
    function: Callable[[Parts, pa.RecordBatch], Result], parts: Parts
) -> Callable[[pa.RecordBatch], Result]:
    """Bind the first argument of `function`.

    The result is a bound method, because a pipeline keeps one for each call: it takes half the memory of a closure,
    two thirds of that of a partial, and is the fastest to call.
    """
    return MethodType(function, parts)


def _applied(evaluate: Evaluate, arguments: list[Evaluated | pa.Scalar]) -> Evaluated:
    """Compose `evaluate` with its arguments; common shapes of arguments need no list and no unpacking."""
    match arguments:
        case [first] if callable(first):
            return bound(_of_one, (evaluate, first))
        case [first, second] if callable(first) and callable(second):
            return bound(_of_two, (evaluate, first, second))
        case [first, constant] if callable(first):
            return bound(_with_constant, (evaluate, first, constant))
        case _:
            return bound(_of_any, (evaluate, arguments))


def _of_one(parts: tuple[Evaluate, Evaluated], record: pa.RecordBatch) -> Values:
    evaluate, first = parts
    return evaluate(first(record))


def _of_two(parts: tuple[Evaluate, Evaluated, Evaluated], record: pa.RecordBatch) -> Values:
    evaluate, first, second = parts
    return evaluate(first(record), second(record))


def _with_constant(parts: tuple[Evaluate, Evaluated, pa.Scalar], record: pa.RecordBatch) -> Values:
    evaluate, first, constant = parts
    return evaluate(first(record), constant)


def _of_any(parts: tuple[Evaluate, list[Evaluated | pa.Scalar]], record: pa.RecordBatch) -> Values:
    evaluate, arguments = parts
    return evaluate(*[value(record) if callable(value) else value for value in arguments])
