"""Which Arrow types a column on the device can have, and what they are called there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from arrowstream.gpu import libraries as cuda

if TYPE_CHECKING:
    import pylibcudf as plc

_PLAIN = {
    pa.bool_(): "BOOL8",
    pa.int8(): "INT8",
    pa.int16(): "INT16",
    pa.int32(): "INT32",
    pa.int64(): "INT64",
    pa.uint8(): "UINT8",
    pa.uint16(): "UINT16",
    pa.uint32(): "UINT32",
    pa.uint64(): "UINT64",
    pa.float32(): "FLOAT32",
    pa.float64(): "FLOAT64",
    pa.large_string(): "STRING",
    pa.date32(): "TIMESTAMP_DAYS",
}

_UNITS = {"s": "SECONDS", "ms": "MILLISECONDS", "us": "MICROSECONDS", "ns": "NANOSECONDS"}


def device_type(dtype: pa.DataType) -> plc.DataType | None:
    """Return the type of a device's column that holds every value of an Arrow type, or None if there is none.

    A time zone is not part of it: instants are held as they are, in UTC. Types without one, such as categories,
    decimals, times of day and nested types, go round the device.
    """
    name = _PLAIN.get(dtype)
    if pa.types.is_timestamp(dtype):
        name = f"TIMESTAMP_{_UNITS[dtype.unit]}"
    elif pa.types.is_duration(dtype):
        name = f"DURATION_{_UNITS[dtype.unit]}"
    return None if name is None else cuda.plc.DataType(cuda.plc.TypeId[name])


def is_fixed_width(dtype: pa.DataType) -> bool:
    """Return whether every value of a type on the device takes the same number of bytes."""
    return device_type(dtype) is not None and not pa.types.is_large_string(dtype)


def held_types() -> tuple[str, ...]:
    """Return the names of the Arrow types that the device holds; columns of other types go round it."""
    return (*map(str, _PLAIN), *(f"{kind}[{unit}]" for kind in ("timestamp", "duration") for unit in _UNITS))
