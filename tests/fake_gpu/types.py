"""Types of device columns: what Arrow and NumPy call them, and C++'s common type of two."""

import numpy as np
import pyarrow as pa
from pylibcudf.types import DataType, TypeId

NUMPY = {
    TypeId.INT8: np.int8,
    TypeId.INT16: np.int16,
    TypeId.INT32: np.int32,
    TypeId.INT64: np.int64,
    TypeId.UINT8: np.uint8,
    TypeId.UINT16: np.uint16,
    TypeId.UINT32: np.uint32,
    TypeId.UINT64: np.uint64,
    TypeId.FLOAT32: np.float32,
    TypeId.FLOAT64: np.float64,
    TypeId.BOOL8: np.bool_,
    TypeId.TIMESTAMP_DAYS: np.int32,
    TypeId.TIMESTAMP_SECONDS: np.int64,
    TypeId.TIMESTAMP_MILLISECONDS: np.int64,
    TypeId.TIMESTAMP_MICROSECONDS: np.int64,
    TypeId.TIMESTAMP_NANOSECONDS: np.int64,
    TypeId.DURATION_DAYS: np.int32,
    TypeId.DURATION_SECONDS: np.int64,
    TypeId.DURATION_MILLISECONDS: np.int64,
    TypeId.DURATION_MICROSECONDS: np.int64,
    TypeId.DURATION_NANOSECONDS: np.int64,
}
"""How the values of fixed-width columns lie in memory."""

NANOSECONDS = {
    "DAYS": 86_400 * 10**9,
    "SECONDS": 10**9,
    "MILLISECONDS": 10**6,
    "MICROSECONDS": 10**3,
    "NANOSECONDS": 1,
}

TIMESTAMPS = {TypeId[f"TIMESTAMP_{unit}"]: tick for unit, tick in NANOSECONDS.items()}
DURATIONS = {TypeId[f"DURATION_{unit}"]: tick for unit, tick in NANOSECONDS.items()}
TICKS = TIMESTAMPS | DURATIONS
"""Nanoseconds of one tick, by type of time."""

_ARROW = {
    pa.int8(): TypeId.INT8,
    pa.int16(): TypeId.INT16,
    pa.int32(): TypeId.INT32,
    pa.int64(): TypeId.INT64,
    pa.uint8(): TypeId.UINT8,
    pa.uint16(): TypeId.UINT16,
    pa.uint32(): TypeId.UINT32,
    pa.uint64(): TypeId.UINT64,
    pa.float32(): TypeId.FLOAT32,
    pa.float64(): TypeId.FLOAT64,
    pa.bool_(): TypeId.BOOL8,
    pa.string(): TypeId.STRING,
    pa.large_string(): TypeId.STRING,
    pa.string_view(): TypeId.STRING,
    pa.date32(): TypeId.TIMESTAMP_DAYS,
    pa.duration("s"): TypeId.DURATION_SECONDS,
    pa.duration("ms"): TypeId.DURATION_MILLISECONDS,
    pa.duration("us"): TypeId.DURATION_MICROSECONDS,
    pa.duration("ns"): TypeId.DURATION_NANOSECONDS,
    pa.null(): TypeId.EMPTY,
}

_UNITS = {"s": "SECONDS", "ms": "MILLISECONDS", "us": "MICROSECONDS", "ns": "NANOSECONDS"}
_PRECISION = {TypeId.DECIMAL32: 9, TypeId.DECIMAL64: 18, TypeId.DECIMAL128: 38}


def device_type(kind: pa.DataType) -> DataType:
    """Give the type that a column of an Arrow type has on the device.

    Raises
    ------
    TypeError
        libcudf's from_arrow refuses the type (cpp/src/interop/arrow_utilities.cpp: arrow_to_cudf_type).
    """
    found = _ARROW.get(kind)
    if found is not None:
        return DataType(found)
    if pa.types.is_timestamp(kind):
        return DataType(TypeId[f"TIMESTAMP_{_UNITS[kind.unit]}"])
    if pa.types.is_decimal(kind) and not pa.types.is_decimal256(kind):
        return DataType(
            {4: TypeId.DECIMAL32, 8: TypeId.DECIMAL64, 16: TypeId.DECIMAL128}[kind.byte_width], -kind.scale
        )
    if pa.types.is_struct(kind):
        for field in kind:
            device_type(field.type)
        return DataType(TypeId.STRUCT)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        device_type(kind.value_type)
        return DataType(TypeId.LIST)
    if pa.types.is_dictionary(kind) and not str(kind.index_type).startswith("uint"):
        device_type(kind.value_type)
        return DataType(TypeId.DICTIONARY32)
    raise TypeError(f"CUDF failure: Unsupported type_id conversion to cudf from arrow type ({kind})")


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Give the Arrow type that a column of an Arrow type comes back with, if nothing is said about it."""
    if kind in (pa.large_string(), pa.string_view()):
        return pa.string()
    if pa.types.is_timestamp(kind):
        return pa.timestamp(kind.unit)
    if pa.types.is_decimal(kind):
        return decimal_type(device_type(kind))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field("", plain_type(field.type)) for field in kind])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(pa.field("", plain_type(kind.value_type)))
    if pa.types.is_dictionary(kind):
        return pa.dictionary(pa.int32(), plain_type(kind.value_type))
    return kind


def decimal_type(dtype: DataType, precision: int | None = None) -> pa.DataType:
    """Give the Arrow type of a decimal, of the greatest precision unless one is given."""
    make = {TypeId.DECIMAL32: pa.decimal32, TypeId.DECIMAL64: pa.decimal64, TypeId.DECIMAL128: pa.decimal128}
    return make[dtype.id()](precision or _PRECISION[dtype.id()], -dtype.scale())


def arrow_type(dtype: DataType) -> pa.DataType:
    """Give the Arrow type of a device column of a type without children."""
    if dtype.id() in _PRECISION:
        return decimal_type(dtype)
    if dtype.id() == TypeId.DURATION_DAYS:
        raise NotImplementedError("the fake has no durations in days: Arrow has none")
    return _BACK[dtype.id()]


_BACK = {id_: kind for kind, id_ in _ARROW.items() if kind not in (pa.large_string(), pa.string_view())} | {
    TypeId[f"TIMESTAMP_{unit}"]: pa.timestamp(short) for short, unit in _UNITS.items()
}

_RANK = [TypeId.INT32, TypeId.UINT32, TypeId.INT64, TypeId.UINT64, TypeId.FLOAT32, TypeId.FLOAT64]
_SMALL = {TypeId.BOOL8, TypeId.INT8, TypeId.INT16, TypeId.UINT8, TypeId.UINT16}


def promoted(id_: TypeId) -> TypeId:
    """Give what C++ makes of a value before it does arithmetic: what is smaller than int is int."""
    return TypeId.INT32 if id_ in _SMALL else id_


def common_type(left: TypeId, right: TypeId) -> TypeId | None:
    """Give C++'s std::common_type of two types, or None where there is none."""
    if left == right:
        return left
    if (left in TIMESTAMPS and right in TIMESTAMPS) or (left in DURATIONS and right in DURATIONS):
        return min(left, right, key=TICKS.__getitem__)
    left, right = promoted(left), promoted(right)
    if left in _RANK and right in _RANK:
        return max(left, right, key=_RANK.index)
    return None
