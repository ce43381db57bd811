"""Single operations as calls of libcudf."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pyarrow as pa

from arrowstream.gpu import libraries as cuda
from arrowstream.gpu.kernels.tree import Operation, OperationFunction
from arrowstream.gpu.types import device_type
from arrowstream.gpu.work import Work

if TYPE_CHECKING:
    import pylibcudf as plc

    Value = plc.Column | plc.Scalar

_UNARY = frozenset(("ABS", "FLOOR", "CEIL", "SQRT", "RINT", "NOT", "BIT_INVERT"))

_BINARY_NAMES = {"NULL_EQUAL": "NULL_EQUALS"}
"""Operators that have another name as a call than in a tree."""


def single(operation: Operation) -> OperationFunction:
    """Return what computes one operation from its operands' columns and scalars."""
    if operation.run is not None:
        return operation.run
    name = operation.name
    if name in _OTHERS:
        return _OTHERS[name](operation.dtype)
    return _unary(name) if name in _UNARY else _binary(_BINARY_NAMES.get(name, name), operation.dtype)


def _unary(name: str) -> OperationFunction:
    def run(work: Work, value: plc.Column) -> plc.Column:
        operator = cuda.plc.unary.UnaryOperator[name]
        return cuda.plc.unary.unary_operation(value, operator, stream=work.stream)

    return run


def _binary(name: str, dtype: pa.DataType) -> OperationFunction:
    def run(work: Work, left: Value, right: Value) -> plc.Column:
        if isinstance(left, cuda.plc.Scalar) and isinstance(right, cuda.plc.Scalar):
            left = work.column(left)
        operator = cuda.plc.binaryop.BinaryOperator[name]
        return cuda.plc.binaryop.binary_operation(left, right, operator, known(dtype), stream=work.stream)

    return run


def known(dtype: pa.DataType) -> plc.DataType:
    """Return the device's type of an Arrow type that was found to have one."""
    found = device_type(dtype)
    assert found is not None
    return found


def _is_null(dtype: pa.DataType) -> OperationFunction:
    return lambda work, value: cuda.plc.unary.is_null(value, stream=work.stream)


def _is_valid(dtype: pa.DataType) -> OperationFunction:
    return lambda work, value: cuda.plc.unary.is_valid(value, stream=work.stream)


def _cast(dtype: pa.DataType) -> OperationFunction:
    return lambda work, value: cuda.plc.unary.cast(value, known(dtype), stream=work.stream)


def _bit_cast(dtype: pa.DataType) -> OperationFunction:
    return lambda work, value: cuda.plc.unary.bit_cast(value, known(dtype), stream=work.stream)


def _if_else(dtype: pa.DataType) -> OperationFunction:
    def run(work: Work, mask: plc.Column, left: Value, right: Value) -> plc.Column:
        return cuda.plc.copying.copy_if_else(left, right, mask, stream=work.stream)

    return run


def _coalesce(dtype: pa.DataType) -> OperationFunction:
    def run(work: Work, left: Value, right: Value) -> plc.Column:
        return cuda.plc.replace.replace_nulls(work.column(left), right, stream=work.stream)

    return run


_OTHERS: dict[str, Callable[[pa.DataType], OperationFunction]] = {
    "IS_NULL": _is_null,
    "IS_VALID": _is_valid,
    "CAST": _cast,
    "BIT_CAST": _bit_cast,
    "IF_ELSE": _if_else,
    "COALESCE": _coalesce,
}
