"""Single values on the device."""

import datetime
import decimal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pylibcudf.types import DataType, TypeId

from fake_gpu.calls import Handle, call
from fake_gpu.memory import Memory
from fake_gpu.types import DURATIONS, NUMPY, TICKS, TIMESTAMPS, arrow_type, device_type


class Scalar(Handle):
    """One value, or null, in device memory."""

    def __init__(self) -> None:
        raise ValueError("Scalar should not be constructed directly")

    @classmethod
    def _made(cls, value: pa.Scalar, dtype: DataType, stream: Any) -> "Scalar":
        scalar = cls.__new__(cls)
        scalar._dtype = dtype
        scalar.value = value
        scalar._memory = Memory(stream.queue, 16)
        return scalar

    _dtype: DataType
    value: pa.Scalar
    """For the fake's own functions."""
    _memory: Memory

    def memories(self) -> Iterator[Memory]:
        yield self._memory

    def type(self) -> DataType:
        return self._dtype

    @call
    def is_valid(self, stream: Any = None) -> bool:
        """Read from the device: waits for the stream."""
        stream.queue.synchronize()
        return bool(self.value.is_valid)

    @call
    def to_arrow(self, metadata: Any = None, stream: Any = None) -> pa.Scalar:
        stream.queue.synchronize()
        return self.value

    @staticmethod
    @call
    def from_arrow(pa_val: Any, dtype: DataType | None = None, stream: Any = None) -> "Scalar":
        """Of a pyarrow scalar: not on a stream of one's own.

        pylibcudf/scalar.pyx (_from_arrow, 26.10) uploads an array of one value on the stream, lets the array go,
        and reads the value on the default stream, which does not wait for a non-blocking one. It refuses a dtype.
        """
        if dtype is not None:
            raise NotImplementedError(
                "Creating a Column with the dtype argument specified. (So does pylibcudf. Use Scalar.from_py, or"
                " Column.from_arrow and to_scalar, each with the stream.)"
            )
        stream.queue.machine.violate(
            "Scalar.from_arrow reads the value on the default stream, which does not wait for a non-blocking one;"
            " use Scalar.from_py, or Column.from_arrow and to_scalar, each with the stream"
        )

    @classmethod
    @call
    def from_py(cls, py_val: Any, dtype: DataType | None = None, stream: Any = None) -> "Scalar":
        return _of_python(py_val, dtype, stream)

    @classmethod
    @call
    def from_numpy(cls, np_val: Any, stream: Any = None) -> "Scalar":
        return _of_python(np_val.item(), device_type(pa.from_numpy_dtype(np_val.dtype)), stream)

    @call
    def to_py(self, stream: Any = None) -> Any:
        """Read from the device: waits for the stream."""
        stream.queue.synchronize()
        return self.value.as_py()


def _of_python(value: Any, dtype: DataType | None, stream: Any) -> Scalar:
    """Make a scalar as pylibcudf/scalar.pyx (_from_py) does, with its refusals and its arithmetic."""
    if value is None:
        if dtype is None:
            raise ValueError("Must specify a dtype for a None value.")
        return Scalar._made(pa.scalar(None, arrow_type(dtype)), dtype, stream)
    found = dtype if dtype is not None else DataType(_inferred(value))
    _expect(value, found.id())
    if isinstance(value, decimal.Decimal):
        found = DataType(TypeId.DECIMAL128, value.as_tuple().exponent)
        return Scalar._made(pa.scalar(value, arrow_type(found)), found, stream)
    if isinstance(value, int) and not isinstance(value, bool):
        value = _whole_number(value, found.id())
    elif isinstance(value, float) and found.id() == TypeId.FLOAT32:
        if np.isfinite(value) and abs(value) > np.finfo(np.float32).max:
            raise OverflowError(f"{value} out of range for FLOAT32 scalar")
        value = float(np.float32(value))
    elif isinstance(value, datetime.date | datetime.timedelta):
        value = _ticks(value, found.id())
    kind = arrow_type(found)
    if found.id() in TICKS:
        return Scalar._made(
            pa.scalar(value, pa.from_numpy_dtype(NUMPY[found.id()])).cast(kind), found, stream
        )
    return Scalar._made(pa.scalar(value, kind), found, stream)


def _whole_number(value: int, found: TypeId) -> Any:
    if found in (TypeId.FLOAT32, TypeId.FLOAT64):
        return float(value)
    if found == TypeId.BOOL8:
        if value not in (0, 1):
            raise ValueError(f"Cannot convert {value} to BOOL8 scalar")
        return bool(value)
    limits = np.iinfo(NUMPY[found])
    if limits.min == 0 and value < 0:
        raise ValueError(f"Cannot assign negative value to {found.name} scalar")
    if not limits.min <= value <= limits.max:
        raise OverflowError(f"{value} out of range for {found.name} scalar")
    return value


def _ticks(value: datetime.date | datetime.timedelta, found: TypeId) -> int:
    """Ticks since 1970, or of a span: by seconds as a float, so that microseconds may be one too few."""
    if isinstance(value, datetime.timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, datetime.datetime):
        seconds = (value if value.tzinfo is not None else value.replace(tzinfo=datetime.UTC)).timestamp()
    else:
        seconds = (value - datetime.date(1970, 1, 1)).total_seconds()
    tick = TICKS[found]
    if tick > 10**9:
        return int(seconds // 86_400)
    ticks = int(seconds * (10**9 // tick)) if tick < 10**9 else int(seconds)
    if ticks > np.iinfo(np.int64).max:
        raise OverflowError(f"{ticks} ticks out of range for INT64 limit.")
    return ticks


def _inferred(value: Any) -> TypeId:
    for kind, found in _INFERRED.items():
        if isinstance(value, kind):
            return found
    raise TypeError(f"{type(value).__name__} cannot be converted to pylibcudf.Scalar")


_INFERRED: dict[type, TypeId] = {
    bool: TypeId.BOOL8,
    int: TypeId.INT64,
    float: TypeId.FLOAT64,
    str: TypeId.STRING,
    datetime.date: TypeId.TIMESTAMP_MICROSECONDS,
    datetime.timedelta: TypeId.DURATION_MICROSECONDS,
    decimal.Decimal: TypeId.DECIMAL128,
}

_ALLOWED: dict[type, set[TypeId]] = {
    bool: {TypeId.BOOL8},
    int: set(NUMPY) - set(TIMESTAMPS),
    float: {TypeId.FLOAT32, TypeId.FLOAT64},
    str: {TypeId.STRING},
    datetime.date: set(TIMESTAMPS),
    datetime.timedelta: set(DURATIONS),
    decimal.Decimal: set(TypeId),
}


def _expect(value: Any, found: TypeId) -> None:
    for kind, allowed in _ALLOWED.items():
        if isinstance(value, kind):
            if found not in allowed:
                raise TypeError(f"Cannot convert {kind.__name__} to Scalar with dtype {found.name}")
            return
    raise TypeError(f"{type(value).__name__} cannot be converted to pylibcudf.Scalar")
