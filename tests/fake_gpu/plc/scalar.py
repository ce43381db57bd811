"""Single values on the device."""

import datetime
import decimal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pylibcudf.types import DataType, TypeId

from fake_gpu.arrow import plain
from fake_gpu.calls import Handle, call
from fake_gpu.memory import Memory
from fake_gpu.types import DURATIONS, NUMPY, TIMESTAMPS, arrow_type, device_type


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
        """Of a pyarrow scalar, or of what `from_py` takes."""
        if not isinstance(pa_val, pa.Scalar):
            raise NotImplementedError("the fake makes scalars of pyarrow's only")
        if dtype is not None:
            raise NotImplementedError("the fake takes the type of the pyarrow scalar")
        found = device_type(pa_val.type)
        return Scalar._made(plain(pa.array([pa_val.as_py()], pa_val.type))[0], found, stream)

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
    """Make a scalar as pylibcudf/scalar.pyx does, with its refusals."""
    if value is None:
        if dtype is None:
            raise ValueError("Must specify a dtype for a None value.")
        return Scalar._made(pa.scalar(None, arrow_type(dtype)), dtype, stream)
    found = dtype if dtype is not None else DataType(_inferred(value))
    _expect(value, found.id())
    if isinstance(value, decimal.Decimal):
        found = DataType(TypeId.DECIMAL128, value.as_tuple().exponent)
    kind = arrow_type(found)
    if isinstance(value, int) and not isinstance(value, bool):
        if found.id() in (TypeId.FLOAT32, TypeId.FLOAT64):
            value = float(value)
        elif found.id() in DURATIONS:
            return Scalar._made(pa.scalar(value, pa.int64()).cast(kind), found, stream)
        elif not np.iinfo(NUMPY[found.id()]).min <= value <= np.iinfo(NUMPY[found.id()]).max:
            raise OverflowError(f"{value} out of range for {found.id().name} scalar")
    if (
        isinstance(value, float)
        and found.id() == TypeId.FLOAT32
        and np.isfinite(value)
        and np.isinf(np.float32(value))
    ):
        raise OverflowError(f"{value} out of range for FLOAT32 scalar")
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        value = value.astimezone(datetime.UTC).replace(tzinfo=None)
    return Scalar._made(pa.scalar(value, kind), found, stream)


def _inferred(value: Any) -> TypeId:
    for kind, found in _INFERRED.items():
        if isinstance(value, kind):
            return found
    raise TypeError(f"{type(value).__name__} cannot be converted to pylibcudf.Scalar")


_INFERRED = {
    bool: TypeId.BOOL8,
    int: TypeId.INT64,
    float: TypeId.FLOAT64,
    str: TypeId.STRING,
    datetime.date: TypeId.TIMESTAMP_MICROSECONDS,
    datetime.timedelta: TypeId.DURATION_MICROSECONDS,
    decimal.Decimal: TypeId.DECIMAL128,
}


def _expect(value: Any, found: TypeId) -> None:
    numeric = {id_ for id_ in NUMPY if id_ not in TIMESTAMPS and id_ not in DURATIONS}
    allowed: dict[type, set[TypeId]] = {
        bool: {TypeId.BOOL8},
        int: numeric - {TypeId.BOOL8} | set(DURATIONS),
        float: {TypeId.FLOAT32, TypeId.FLOAT64},
        str: {TypeId.STRING},
        datetime.date: set(TIMESTAMPS),
        datetime.timedelta: set(DURATIONS),
        decimal.Decimal: {TypeId.DECIMAL128},
    }
    for kind, ids in allowed.items():
        if isinstance(value, kind):
            if found not in ids:
                raise TypeError(f"Cannot convert {kind.__name__} to Scalar with dtype {found.name}")
            return
    raise TypeError(f"{type(value).__name__} cannot be converted to pylibcudf.Scalar")
