"""Operations on two columns, or a column and a scalar."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pylibcudf import traits
from pylibcudf.binaryop import BinaryOperator, is_supported_operation
from pylibcudf.types import DataType, TypeId

from fake_gpu import arithmetic
from fake_gpu.calls import call
from fake_gpu.plc.column import Column, made
from fake_gpu.plc.scalar import Scalar
from fake_gpu.types import DURATIONS, TIMESTAMPS, common_type
from fake_gpu.values import Array, array_of, both, numbers, to_type, validity

__all__ = ["BinaryOperator", "binary_operation", "is_supported_operation"]

_STRING_COMPARISONS = {
    BinaryOperator.EQUAL: pc.equal,
    BinaryOperator.NOT_EQUAL: pc.not_equal,
    BinaryOperator.LESS: pc.less,
    BinaryOperator.GREATER: pc.greater,
    BinaryOperator.LESS_EQUAL: pc.less_equal,
    BinaryOperator.GREATER_EQUAL: pc.greater_equal,
}

_EXTREMES = {
    BinaryOperator.NULL_MAX: pc.max_element_wise,
    BinaryOperator.NULL_MIN: pc.min_element_wise,
}

_MAKES_BOOLEANS = {*_STRING_COMPARISONS, BinaryOperator.NULL_EQUALS, BinaryOperator.NULL_NOT_EQUALS}


@call
def binary_operation(
    lhs: Column | Scalar,
    rhs: Column | Scalar,
    op: BinaryOperator,
    output_type: DataType,
    stream: Any = None,
    mr: Any = None,
) -> Column:
    """Compute in C++'s common type of output and operands, then convert (cpp/src/binaryop/compiled)."""
    if isinstance(lhs, Scalar) and isinstance(rhs, Scalar):
        raise TypeError("Invalid arguments lhs and rhs")
    if isinstance(lhs, Column) and isinstance(rhs, Column) and lhs.size() != rhs.size():
        raise ValueError("CUDF failure: Column sizes don't match")
    strings = lhs.type().id() == rhs.type().id() == output_type.id() == TypeId.STRING
    rows = lhs.size() if isinstance(lhs, Column) else rhs.size()  # type: ignore[union-attr]
    if strings and op in _EXTREMES:
        return made(_extreme(op, lhs, rhs, rows), output_type, stream)
    if not is_supported_operation(output_type, lhs.type(), rhs.type(), op):
        raise TypeError("CUDF failure: Unsupported operator for these types")
    if op in _EXTREMES:
        return made(_extreme(op, lhs, rhs, rows), output_type, stream)
    if lhs.type().id() == TypeId.STRING:
        return made(_strings(op, lhs, rhs, rows), output_type, stream)
    left, left_valid = _operand(lhs, rows)
    right, right_valid = _operand(rhs, rows)
    found = arithmetic.null_aware(op.name, left, right, left_valid, right_valid)
    if found is not None:
        (values, valid), result = found, TypeId.BOOL8
    else:
        valid = both(left_valid, right_valid)
        values, result = _compute(op, left, lhs.type().id(), right, rhs.type().id(), output_type.id())
    return made(array_of(to_type(values, result, output_type.id()), valid, output_type), output_type, stream)


def _extreme(op: BinaryOperator, lhs: Column | Scalar, rhs: Column | Scalar, rows: int) -> pa.Array:
    """Take the larger or smaller value, or the one that is valid (operation.cuh: NullMax); strings by their bytes."""
    if lhs.type() != rhs.type() or traits.is_floating_point(lhs.type()):
        raise NotImplementedError(f"the fake has no {op.name} of {lhs.type().id().name}")
    return _EXTREMES[op](*(_array(operand, rows) for operand in (lhs, rhs)))


def _array(operand: Column | Scalar, rows: int) -> pa.Array:
    return operand.array() if isinstance(operand, Column) else pa.repeat(operand.value, rows)


def _operand(operand: Column | Scalar, rows: int) -> tuple[Array, Array | None]:
    array = _array(operand, rows)
    return numbers(array, operand.type()), validity(array)


def _compute(
    op: BinaryOperator, left: Array, left_id: TypeId, right: Array, right_id: TypeId, out: TypeId
) -> tuple[Array, TypeId]:
    """Compute values, and give the type that they have in C++."""
    shared = common_type(left_id, right_id)
    if shared is None:
        return _times_and_numbers(op, left, left_id, right, right_id)
    wider = common_type(out, left_id)
    with_output = None if wider is None else common_type(wider, right_id)
    common = with_output if with_output is not None else shared
    left, right = to_type(left, left_id, common), to_type(right, right_id, common)
    values, result = arithmetic.binary(op.name, left, right, common)
    if op in _MAKES_BOOLEANS or common not in TIMESTAMPS:
        return values, result
    # The difference of two timestamps is a duration.
    return values, TypeId[common.name.replace("TIMESTAMP", "DURATION")]


def _times_and_numbers(
    op: BinaryOperator, left: Array, left_id: TypeId, right: Array, right_id: TypeId
) -> tuple[Array, TypeId]:
    """Compute what std::chrono allows of operands without a common type."""
    if (left_id in TIMESTAMPS and right_id in DURATIONS) or (left_id in DURATIONS and right_id in TIMESTAMPS):
        units = [TypeId[id_.name.replace("TIMESTAMP", "DURATION")] for id_ in (left_id, right_id)]
        common = common_type(*units)
        assert common is not None
        values, _ = arithmetic.binary(
            op.name, to_type(left, units[0], common), to_type(right, units[1], common), TypeId.INT64
        )
        return values, TypeId[common.name.replace("DURATION", "TIMESTAMP")]
    if left_id in DURATIONS or right_id in DURATIONS:
        values, _ = arithmetic.binary(op.name, left.astype("i8"), right.astype("i8"), TypeId.INT64)
        return values, left_id if left_id in DURATIONS else right_id
    raise NotImplementedError(f"the fake has no {op.name} of {left_id.name} and {right_id.name}")


def _strings(op: BinaryOperator, lhs: Column | Scalar, rhs: Column | Scalar, rows: int) -> pa.Array:
    """Compare strings by their bytes."""
    left, right = _array(lhs, rows), _array(rhs, rows)
    if op in _STRING_COMPARISONS:
        return _STRING_COMPARISONS[op](left, right)
    if op in (BinaryOperator.NULL_EQUALS, BinaryOperator.NULL_NOT_EQUALS):
        nulls = pc.and_(left.is_null(), right.is_null())
        same = pc.or_(nulls, pc.fill_null(pc.equal(left, right), False))
        return same if op == BinaryOperator.NULL_EQUALS else pc.invert(same)
    raise NotImplementedError(f"the fake has no {op.name} of strings")
