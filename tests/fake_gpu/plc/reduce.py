"""One value of a whole column."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pylibcudf import traits
from pylibcudf.reduce import ScanType
from pylibcudf.types import DataType, NanPolicy, NullPolicy, TypeId

from fake_gpu.calls import call
from fake_gpu.plc.aggregation import Aggregation, Kind
from fake_gpu.plc.column import Column
from fake_gpu.plc.scalar import Scalar
from fake_gpu.types import NUMPY, arrow_type
from fake_gpu.values import array_of, numbers, to_type, validity

__all__ = ["ScanType", "distinct_count", "minmax", "reduce"]


@call
def reduce(col: Column, agg: Aggregation, data_type: DataType, stream: Any = None, mr: Any = None) -> Scalar:
    """Reduce over the values that are valid (cpp/src/reductions/reductions.cpp, simple.cuh).

    If none is, there is no sum and no extreme: null. ANY is false then, and ALL is true.
    """
    return Scalar._made(_reduced(col, agg.kind(), data_type), data_type, stream)


def _reduced(col: Column, kind: Kind, out: DataType) -> pa.Scalar:
    if kind in (Kind.COUNT_ALL, Kind.COUNT_VALID):
        count = col.size() - (col.null_count() if kind == Kind.COUNT_VALID else 0)
        return pa.scalar(count, arrow_type(out))
    if kind in (Kind.ANY, Kind.ALL) and out.id() != TypeId.BOOL8:
        raise RuntimeError("CUDF failure: any() operation can be applied with output type `bool8` only")
    if kind in (Kind.MIN, Kind.MAX):
        if out != col.type():
            raise RuntimeError("CUDF failure: min/max requires the output type to be the column's")
        return _extreme(col, kind)
    if not traits.is_numeric(col.type()):
        raise NotImplementedError(f"the fake reduces no {col.type().id().name} by {kind.name}")
    valid = validity(col.array())
    values = numbers(col.array(), col.type())
    values = values if valid is None else values[valid]
    if not len(values):
        return pa.scalar(kind == Kind.ALL if kind in (Kind.ANY, Kind.ALL) else None, arrow_type(out))
    with np.errstate(all="ignore"):
        return array_of(np.atleast_1d(_folded(values, kind, col.type(), out)), None, out)[0]


def _folded(values: Any, kind: Kind, source: DataType, out: DataType) -> Any:
    if kind == Kind.ANY:
        return (values != 0).any()
    if kind == Kind.ALL:
        return (values != 0).all()
    if kind == Kind.MEAN:
        return values.astype(np.float64).mean()
    # In the column's own type if that is wanted, else in 64 bits; the result is converted then.
    within = source.id()
    if out != source:
        within = TypeId.INT64 if values.dtype.kind in "iub" else TypeId.FLOAT64
    terms = to_type(values, source.id(), within)
    if kind == Kind.SUM:
        found = np.add.reduce(terms, dtype=NUMPY[within])
    elif kind == Kind.PRODUCT:
        found = np.multiply.reduce(terms, dtype=NUMPY[within])
    elif kind == Kind.SUM_OF_SQUARES:
        found = np.add.reduce(terms * terms, dtype=NUMPY[within])
    else:
        raise NotImplementedError(f"the fake has no reduction by {kind.name}")
    return to_type(np.atleast_1d(found), within, out.id())


def _extreme(col: Column, kind: Kind) -> pa.Scalar:
    array = col.array()
    if traits.is_floating_point(col.type()) and pc.any(pc.is_nan(array)).as_py():
        raise NotImplementedError(
            "the least or greatest of values with NaN depends on their order on a device"
        )
    found: pa.Scalar = (pc.min if kind == Kind.MIN else pc.max)(array)
    return found


@call
def minmax(col: Column, stream: Any = None, mr: Any = None) -> tuple[Scalar, Scalar]:
    least, most = (Scalar._made(_extreme(col, kind), col.type(), stream) for kind in (Kind.MIN, Kind.MAX))
    return least, most


@call
def distinct_count(
    source: Column, null_handling: NullPolicy, nan_handling: NanPolicy, stream: Any = None
) -> int:
    """Count different values; read from the device: waits for the stream."""
    stream.queue.synchronize()
    array = source.array()
    if nan_handling == NanPolicy.NAN_IS_NULL and traits.is_floating_point(source.type()):
        array = pc.if_else(pc.is_nan(array), None, array)
    return int(
        pc.count_distinct(array, mode="all" if null_handling == NullPolicy.INCLUDE else "only_valid").as_py()
    )
