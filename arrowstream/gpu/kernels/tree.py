"""The tree that an expression becomes: operations of libcudf over columns and constants.

It is made when a pipeline is built. How it is computed, operation by operation or many of them in one call, is
decided afterwards (`arrowstream.gpu.fused`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import pyarrow as pa

from arrowstream.expressions.program import Literal

OperationFunction = Callable[..., Any]
"""Computes an operation that is not an operator: from the `Work`, columns and scalars to a column."""

BOOL = pa.bool_()


@dataclass(frozen=True, slots=True, eq=False)
class InputColumn:
    """A column of the rows."""

    name: str
    dtype: pa.DataType


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """A constant: a Python value, None for null."""

    value: Any
    dtype: pa.DataType

    @property
    def literal(self) -> Literal:
        """The constant as the program's."""
        return Literal(self.value, self.dtype)


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One operation.

    Parameters
    ----------
    name
        The name of libcudf's operator, such as ``"ADD"``, or what `run` does.
    operands
        What it computes with.
    dtype
        The type of the result.
    run
        Computes it, if no operator does.
    """

    name: str
    operands: tuple[Node, ...]
    dtype: pa.DataType
    run: OperationFunction | None = None


Node = InputColumn | Constant | Operation

NodeFunction = Callable[[Node], Node]


def apply(name: str, *operands: Node, dtype: pa.DataType | None = None) -> Operation:
    """Return an operator's result, of the first operand's type unless `dtype` says otherwise."""
    return Operation(name, operands, dtype or operands[0].dtype)


def call(name: str, run: OperationFunction, *operands: Node, dtype: pa.DataType) -> Operation:
    """Return what a function of libcudf gives that is not an operator."""
    return Operation(name, operands, dtype, run)


def test(name: str, *operands: Node) -> Operation:
    """Return an operator's result if that is a boolean: of a comparison, or of logic."""
    return Operation(name, operands, BOOL)


def constant(value: Any, like: Node) -> Constant:
    """Return a constant of a node's type."""
    return Constant(value, like.dtype)


def cast(node: Node, dtype: pa.DataType) -> Node:
    """Return the values converted as C++ does it."""
    return node if node.dtype == dtype else Operation("CAST", (node,), dtype)


def bits(node: Node, dtype: pa.DataType) -> Node:
    """Return the same bits as another type of the same width."""
    return node if node.dtype == dtype else Operation("BIT_CAST", (node,), dtype)


def labelled(node: Node, dtype: pa.DataType) -> Node:
    """Return the same column as another Arrow type that is the same on the device: timestamps of another zone."""
    return node if node.dtype == dtype else call("LABEL", lambda work, values: values, node, dtype=dtype)


def choose(mask: Node, where_true: Node, otherwise: Node) -> Operation:
    """Return one of two values a row; a mask's null counts as false."""
    return Operation("IF_ELSE", (mask, where_true, otherwise), where_true.dtype)


def doubted(value: Node, doubtful: Node) -> Operation:
    """Return the value, but leave batches in which a row is doubtful to Polars."""

    def run(work: Any, values: Any, rows: Any) -> Any:
        work.doubt(rows)
        return values

    return call("DOUBT", run, value, doubtful, dtype=value.dtype)


def outside(node: Node, low: Any | None, high: Any | None) -> Operation | None:
    """Return which values lie below `low` or above `high`; None if neither limit is given."""
    sides = [test("LESS", node, constant(low, node))] if low is not None else []
    if high is not None:
        sides.append(test("GREATER", node, constant(high, node)))
    return reduce(lambda x, y: test("LOGICAL_OR", x, y), sides) if sides else None


def within(node: Node, low: Any | None, high: Any | None) -> Node:
    """Return the values, but leave batches with one outside of ``[low, high]`` to Polars."""
    doubtful = outside(node, low, high)
    return node if doubtful is None else doubted(node, doubtful)
