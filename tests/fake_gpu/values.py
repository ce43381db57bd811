"""Values of device columns as NumPy arrays, and back: fixed-width types only."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pylibcudf.types import DataType, TypeId

from fake_gpu.types import NUMPY, TICKS, arrow_type

Array = np.ndarray[Any, Any]


def validity(array: pa.Array) -> Array | None:
    """Give which values are valid, or None if all are."""
    if not array.null_count:
        return None
    return np.asarray(pc.is_valid(array).to_numpy(zero_copy_only=False))


def numbers(array: pa.Array, dtype: DataType) -> Array:
    """Give the values of a fixed-width array; what lies under a null is anything."""
    kind = NUMPY.get(dtype.id())
    if kind is None:
        raise NotImplementedError(f"the fake computes no numbers of {dtype.id().name}")
    if dtype.id() == TypeId.BOOL8:
        return np.asarray(array.fill_null(False).to_numpy(zero_copy_only=False), np.bool_)
    data = array.buffers()[1]
    if data is None:
        return np.zeros(len(array), kind)
    return np.frombuffer(data, kind)[array.offset : array.offset + len(array)]


def array_of(values: Array, valid: Array | None, dtype: DataType) -> pa.Array:
    """Make an Arrow array of values; nullable only if one is null."""
    rows = len(values)
    values = np.ascontiguousarray(values, NUMPY[dtype.id()])
    data = np.packbits(values, bitorder="little") if dtype.id() == TypeId.BOOL8 else values
    mask = None
    nulls = 0
    if valid is not None and not valid.all():
        mask = pa.py_buffer(np.packbits(valid, bitorder="little"))
        nulls = rows - int(np.count_nonzero(valid))
    return pa.Array.from_buffers(arrow_type(dtype), rows, [mask, pa.py_buffer(data)], nulls)


def both(left: Array | None, right: Array | None) -> Array | None:
    """Give what is valid on both sides; None stands for all."""
    if left is None or right is None:
        return right if left is None else left
    return left & right


def to_type(values: Array, source: TypeId, target: TypeId) -> Array:
    """Convert values as C++'s static_cast does on the device.

    Integers wrap around. Of times, the unit changes; it may only become finer. A float becomes an integer as
    PTX's cvt does (PTX ISA, "cvt"): cut off towards zero, clamped to the range; NaN is 0 from float32 to 32 bits,
    else the value whose highest bit alone is set; for small types, the 32-bit result wraps around.
    """
    kind = NUMPY[target]
    if source == target:
        return values
    with np.errstate(all="ignore"):
        if source in TICKS and target in TICKS:
            return values.astype(kind) * np.dtype(kind).type(TICKS[source] // TICKS[target])
        if target == TypeId.BOOL8:
            return values != 0
        if values.dtype.kind == "f" and np.dtype(kind).kind in "iu":
            return _cut(values, kind)
        return values.astype(kind)


def _cut(values: Array, kind: Any) -> Array:
    wide: Any = kind if np.dtype(kind).itemsize >= 4 else np.int32
    limits = np.iinfo(wide)
    cut = np.trunc(values.astype(np.float64))
    low, high, nan = cut <= float(limits.min), cut >= float(limits.max), np.isnan(cut)
    found = np.where(low | high | nan, 0, cut).astype(wide)
    found = np.where(low, wide(limits.min), np.where(high, wide(limits.max), found))
    if values.dtype.itemsize == 8 or np.dtype(wide).itemsize == 8:
        highest_bit = limits.min if limits.min < 0 else 1 << (8 * np.dtype(wide).itemsize - 1)
        found = np.where(nan, wide(highest_bit), found)
    return found.astype(kind)
