"""Evaluation of expression trees over a table (cpp/src/ast, cpp/include/cudf/ast/detail, .../detail/operators)."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pylibcudf.expressions import ASTOperator, TableReference
from pylibcudf.types import DataType, TypeId

from fake_gpu import arithmetic
from fake_gpu.plc.expressions import ColumnReference, Expression, Literal, Operation
from fake_gpu.types import DURATIONS, TIMESTAMPS
from fake_gpu.values import Array, array_of, both, numbers, to_type, validity


class Values(NamedTuple):
    """Values of one node; strings as an Arrow array."""

    values: Any
    valid: Array | None
    type: TypeId


def evaluate(expression: Expression, table: Any) -> tuple[pa.Array, DataType]:
    """Compute an expression for each row of a table, and give its type.

    Raises
    ------
    RuntimeError
        Operands of different types, an operator that their type does not have, or a reference that is not there.
    """
    found = _evaluate(expression, table)
    dtype = DataType(found.type)
    if isinstance(found.values, pa.Array):
        raise RuntimeError("CUDF failure: an expression's result must be of fixed width")
    return array_of(found.values, found.valid, dtype), dtype


def _evaluate(expression: Expression, table: Any) -> Values:
    if isinstance(expression, ColumnReference):
        if expression.table_source != TableReference.LEFT:
            raise RuntimeError("CUDF failure: Your expression contains a reference to the RIGHT table")
        if expression.index >= table.num_columns():
            raise IndexError("CUDF failure: the expression refers to a column that the table does not have")
        column = table.columns()[expression.index]
        return _values(column.array(), column.type())
    if isinstance(expression, Literal):
        return _values(pa.repeat(expression.scalar.value, table.num_rows()), expression.scalar.type())
    if isinstance(expression, Operation):
        return _operation(expression.op, [_evaluate(operand, table) for operand in expression.operands])
    raise NotImplementedError(f"the fake has no {type(expression).__name__} over tables")


def _values(array: pa.Array, dtype: DataType) -> Values:
    if dtype.id() == TypeId.STRING:
        return Values(array, validity(array), TypeId.STRING)
    return Values(numbers(array, dtype), validity(array), dtype.id())


def _operation(op: ASTOperator, operands: list[Values]) -> Values:
    if len({operand.type for operand in operands}) > 1:
        raise RuntimeError("CUDF failure: An AST expression was provided non-matching operand types.")
    first = operands[0]
    if op == ASTOperator.IS_NULL:
        return Values(
            np.zeros(len(first.values), np.bool_) if first.valid is None else ~first.valid, None, TypeId.BOOL8
        )
    if len(operands) == 1:
        return _unary(op, first)
    second = operands[1]
    if first.type == TypeId.STRING:
        return _strings(op, first, second)
    found = arithmetic.null_aware(op.name, first.values, second.values, first.valid, second.valid)
    if found is not None:
        return Values(*found, TypeId.BOOL8)
    _require(op, first.type)
    common, result = first.type, None
    if common in TIMESTAMPS or common in DURATIONS:
        common = TypeId.INT64 if first.values.dtype == np.int64 else TypeId.INT32
        result = TypeId[first.type.name.replace("TIMESTAMP", "DURATION")]
    values, computed = arithmetic.binary(op.name, first.values, second.values, common)
    kind = computed if result is None or computed == TypeId.BOOL8 else result
    return Values(values, both(first.valid, second.valid), kind)


def _unary(op: ASTOperator, operand: Values) -> Values:
    if operand.type == TypeId.STRING:
        raise _unsupported(op, operand.type)
    if op.name.startswith("CAST_TO_"):
        target = TypeId[op.name.removeprefix("CAST_TO_")]
        return Values(to_type(operand.values, operand.type, target), operand.valid, target)
    floating = operand.type in (TypeId.FLOAT32, TypeId.FLOAT64)
    if not floating and op not in (
        ASTOperator.IDENTITY,
        ASTOperator.NOT,
        ASTOperator.ABS,
        ASTOperator.BIT_INVERT,
    ):
        raise _unsupported(op, operand.type)
    values, kind = arithmetic.unary(op.name, operand.values, operand.type)
    return Values(values, operand.valid, kind)


def _require(op: ASTOperator, kind: TypeId) -> None:
    """Refuse what C++ has no operator for."""
    name = op.name
    comparison = name in arithmetic.COMPARISONS
    floating = kind in (TypeId.FLOAT32, TypeId.FLOAT64)
    wrong = (
        (kind in TIMESTAMPS and not comparison and name != "SUB")
        or (kind in DURATIONS and not comparison and name not in ("ADD", "SUB", "MOD"))
        or (floating and name.startswith("BITWISE"))
        or (kind == TypeId.BOOL8 and (name.startswith("BITWISE") or name in ("FLOOR_DIV", "POW")))
    )
    if wrong:
        raise _unsupported(op, kind)
    if name == "POW" and not floating:
        raise NotImplementedError("the fake has no POW of integers")


def _unsupported(op: ASTOperator, kind: TypeId) -> RuntimeError:
    return RuntimeError(
        f"CUDF failure: Invalid operation: {op.name} of {kind.name}. Return type cannot be determined."
    )


def _strings(op: ASTOperator, first: Values, second: Values) -> Values:
    compare = {
        "EQUAL": pc.equal,
        "NULL_EQUAL": pc.equal,
        "NOT_EQUAL": pc.not_equal,
        "LESS": pc.less,
        "GREATER": pc.greater,
        "LESS_EQUAL": pc.less_equal,
        "GREATER_EQUAL": pc.greater_equal,
    }.get(op.name)
    if compare is None:
        raise _unsupported(op, TypeId.STRING)
    found = compare(first.values, second.values)
    valid = validity(found)
    values = numbers(found, DataType(TypeId.BOOL8))
    if op.name != "NULL_EQUAL" or valid is None:
        return Values(values, valid, TypeId.BOOL8)
    nulls = numbers(pc.and_(first.values.is_null(), second.values.is_null()), DataType(TypeId.BOOL8))
    return Values(values & valid | nulls, None, TypeId.BOOL8)
