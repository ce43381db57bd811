"""Operations on one column."""

from typing import Any

import numpy as np
import pyarrow as pa
from pylibcudf import traits
from pylibcudf.types import DataType, TypeId
from pylibcudf.unary import UnaryOperator, is_supported_cast

from fake_gpu import arithmetic, decimals
from fake_gpu.calls import call
from fake_gpu.plc.column import Column, made
from fake_gpu.types import NUMPY, TICKS
from fake_gpu.values import Array, array_of, numbers, to_type, validity

__all__ = [
    "UnaryOperator",
    "bit_cast",
    "cast",
    "is_nan",
    "is_not_nan",
    "is_null",
    "is_supported_cast",
    "is_valid",
    "unary_operation",
]

_FLOATS_ONLY = {UnaryOperator.RINT}
_BOOLEAN = DataType(TypeId.BOOL8)


@call
def unary_operation(input: Column, op: UnaryOperator, stream: Any = None, mr: Any = None) -> Column:
    """Compute element by element; functions of reals keep the type of integers too (cpp/src/unary/math_ops.cu)."""
    dtype = input.type()
    if not input.size() and op not in (UnaryOperator.NOT, UnaryOperator.BIT_COUNT):
        return made(input.array(), dtype, stream)
    chrono_negation = op == UnaryOperator.NEGATE and traits.is_duration(dtype)
    if not (traits.is_numeric(dtype) or chrono_negation):
        raise RuntimeError("CUDF failure: Unsupported data type for this operation")
    values = numbers(input.array(), dtype)
    if op == UnaryOperator.BIT_COUNT:
        return _answer(_bit_count(values), TypeId.INT32, input, stream)
    integral = values.dtype.kind in "iub"
    unsigned = op == UnaryOperator.NEGATE and values.dtype.kind in "ub"
    if unsigned or (op in _FLOATS_ONLY and integral) or (op == UnaryOperator.BIT_INVERT and not integral):
        raise RuntimeError("CUDF failure: Unsupported data type for this operation")
    if integral and op not in _WHOLE:
        found, result = arithmetic.unary(op.name, values.astype(np.float64), TypeId.FLOAT64)
    else:
        found, result = arithmetic.unary(op.name, values, dtype.id())
    out = TypeId.BOOL8 if op == UnaryOperator.NOT else dtype.id()
    return _answer(to_type(found, result, out), out, input, stream)


_WHOLE = {UnaryOperator.NOT, UnaryOperator.BIT_INVERT, UnaryOperator.ABS, UnaryOperator.NEGATE}


def _bit_count(values: Array) -> Array:
    if values.dtype.kind == "f":
        raise RuntimeError("CUDF failure: Unsupported datatype for operation")
    return np.bitwise_count(values.view(f"u{values.dtype.itemsize}")).astype(np.int32)


def _answer(values: Array, out: TypeId, input: Column, stream: Any) -> Column:
    dtype = DataType(out)
    return made(array_of(values, validity(input.array()), dtype), dtype, stream)


@call
def is_null(input: Column, stream: Any = None, mr: Any = None) -> Column:
    return made(input.array().is_null(), _BOOLEAN, stream)


@call
def is_valid(input: Column, stream: Any = None, mr: Any = None) -> Column:
    return made(input.array().is_valid(), _BOOLEAN, stream)


@call
def is_nan(input: Column, stream: Any = None, mr: Any = None) -> Column:
    """False for nulls (cpp/src/unary/nan_ops.cu)."""
    return made(array_of(_nan(input), None, _BOOLEAN), _BOOLEAN, stream)


@call
def is_not_nan(input: Column, stream: Any = None, mr: Any = None) -> Column:
    """True for nulls (cpp/src/unary/nan_ops.cu)."""
    return made(array_of(~_nan(input), None, _BOOLEAN), _BOOLEAN, stream)


def _nan(input: Column) -> Array:
    if not traits.is_floating_point(input.type()):
        raise RuntimeError("CUDF failure: NAN is not supported in a Non-floating point type column")
    valid = validity(input.array())
    nan = np.isnan(numbers(input.array(), input.type()))
    return nan if valid is None else nan & valid


@call
def cast(input: Column, data_type: DataType, stream: Any = None, mr: Any = None) -> Column:
    """Convert as C++'s static_cast; times are rounded down to a coarser unit (cpp/src/unary/cast_ops.cu)."""
    source, target = input.type(), data_type
    if not is_supported_cast(source, target):
        raise RuntimeError(
            "CUDF failure: Column type must be numeric or chrono or decimal32/64/128, and timestamps and numbers are"
            " converted by durations only"
        )
    if traits.is_fixed_point(source) or traits.is_fixed_point(target):
        return made(decimals.cast(input.array(), source, target), target, stream)
    values = numbers(input.array(), source)
    if source.id() in TICKS and target.id() in TICKS:
        found = _change_unit(values, TICKS[source.id()], TICKS[target.id()]).astype(NUMPY[target.id()])
    else:
        # Of numbers and durations: the count of ticks.
        names = [
            TypeId.INT64 if id_ in TICKS and NUMPY[id_] is np.int64 else id_
            for id_ in (source.id(), target.id())
        ]
        names = [TypeId.INT32 if id_ in TICKS else id_ for id_ in names]
        found = to_type(values, *names)
    return made(array_of(found, validity(input.array()), target), target, stream)


def _change_unit(values: Array, source: int, target: int) -> Array:
    wide = values.astype(np.int64)
    with np.errstate(all="ignore"):
        return wide * (source // target) if source >= target else np.floor_divide(wide, target // source)


@call
def bit_cast(input: Column, data_type: DataType, stream: Any = None, mr: Any = None) -> Column:
    """Read the same bits as another type of the same width: a copy."""
    if not traits.is_bit_castable(input.type(), data_type):
        raise TypeError("CUDF failure: types are not bit-castable")
    if traits.is_fixed_point(input.type()) or traits.is_fixed_point(data_type):
        raise NotImplementedError("the fake casts no bits of decimals")
    array = input.array()
    values = numbers(array, input.type()).view(NUMPY[data_type.id()])
    result: pa.Array = array_of(values, validity(array), data_type)
    return made(result, data_type, stream)
