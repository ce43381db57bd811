"""Python values as Arrow scalars, without pandas.

`pyarrow.scalar` and `pyarrow.array` of Python values import pandas where it is installed, to know its kinds of null:
0.3 s of processor time in the first pipeline of a process, and seconds where the disk is slow.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, Final

import pyarrow as pa

_INTEGERS: Final = {8: "b", 16: "h", 32: "i", 64: "q"}
_FLOATS: Final = {pa.float32(): ("f", 1 << 24), pa.float64(): ("d", 1 << 53)}
"""Format of a float, and up to which integer it holds every one."""
_OF_PYTHON: Final = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
_OFFSETS: Final = {
    pa.string(): "2i",
    pa.binary(): "2i",
    pa.large_string(): "2q",
    pa.large_binary(): "2q",
}
_FEW: Final = 10_000
"""Values that are converted one by one, in 6 us each; with more, importing pandas is cheaper."""
_types = pa.types


def scalar(value: Any, dtype: pa.DataType | None = None) -> pa.Scalar:
    """Return a Python value as `pyarrow.scalar` does.

    Parameters
    ----------
    value
        A value, or None for null.
    dtype
        Type of the scalar; None for that of the value.

    Raises
    ------
    pyarrow.ArrowException, OverflowError, TypeError, ValueError
        The type does not hold the value.

    Examples
    --------
    >>> scalar(3), scalar("tea", pa.large_string()), scalar(None, pa.int8())
    (<pyarrow.Int64Scalar: 3>, <pyarrow.LargeStringScalar: 'tea'>, <pyarrow.Int8Scalar: None>)
    """
    dtype = dtype or _OF_PYTHON.get(type(value))
    if dtype is None:
        return pa.scalar(value)
    if value is None:
        return pa.nulls(1, dtype)[0]
    if type(value) is tuple and (_types.is_list(dtype) or _types.is_large_list(dtype)):
        ends = struct.pack("2i" if _types.is_list(dtype) else "2q", 0, len(value))
        items = array(value, dtype.value_type)
        return pa.Array.from_buffers(dtype, 1, [None, pa.py_buffer(ends)], children=[items])[0]
    buffers = _buffers(value, dtype)
    if buffers is None:  # other values and types, and all that do not fit
        return pa.scalar(value, dtype)
    return pa.Array.from_buffers(dtype, 1, [None, *map(pa.py_buffer, buffers)])[0]


def array(values: Iterable[Any], dtype: pa.DataType) -> pa.Array:
    """Return Python values as `pyarrow.array` does. Raises as `scalar` does."""
    values = list(values)
    if len(values) > _FEW:
        return pa.array(values, dtype)
    parts = [pa.repeat(scalar(value, dtype), 1) for value in values]
    return pa.concat_arrays(parts) if parts else pa.nulls(0, dtype)


def _buffers(value: Any, dtype: pa.DataType) -> tuple[bytes, ...] | None:
    """Return the buffers of an array of this value, after that of its nulls; None where pyarrow shall convert it."""
    kind = type(value)
    if kind is bool:
        return (bytes([value]),) if _types.is_boolean(dtype) else None
    if dtype in _FLOATS:
        code, whole = _FLOATS[dtype]
        exact = (kind is float and (code == "d" or _is_single(value))) or (
            kind is int and abs(value) <= whole
        )
        return (struct.pack(code, value),) if exact else None
    if dtype in _OFFSETS:
        text = _types.is_string(dtype) or _types.is_large_string(dtype)
        if kind is not (str if text else bytes):
            return None
        content = value.encode() if text else value
        return struct.pack(_OFFSETS[dtype], 0, len(content)), content
    if kind is int and (_types.is_integer(dtype) or _types.is_temporal(dtype)):
        return _integer(value, dtype)
    return None


def _integer(value: int, dtype: pa.DataType) -> tuple[bytes, ...] | None:
    signed = not _types.is_unsigned_integer(dtype)
    code = _INTEGERS.get(dtype.bit_width)
    if code is None:  # an interval of months, days and nanoseconds
        return None
    half = 1 << dtype.bit_width - signed
    if not (-half if signed else 0) <= value < half:
        return None
    return (struct.pack(code if signed else code.upper(), value),)


def _is_single(value: float) -> bool:
    """Return whether single precision holds a float, or rounds it as C does."""
    return value != value or abs(value) < 3.4e38
