"""Copies of rows."""

import itertools
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pylibcudf import traits
from pylibcudf.copying import MaskAllocationPolicy, OutOfBoundsPolicy
from pylibcudf.types import TypeId

from fake_gpu.calls import call
from fake_gpu.plc.column import Column, made
from fake_gpu.plc.scalar import Scalar
from fake_gpu.plc.table import Table
from fake_gpu.values import numbers

__all__ = [
    "MaskAllocationPolicy",
    "OutOfBoundsPolicy",
    "copy_if_else",
    "empty_like",
    "gather",
    "get_element",
    "slice",
    "split",
]


@call
def gather(
    source_table: Table,
    gather_map: Column,
    bounds_policy: OutOfBoundsPolicy,
    stream: Any = None,
    mr: Any = None,
) -> Table:
    """Take rows by number (cpp/src/copying/gather.cu): negative numbers count from the end."""
    if gather_map.null_count():
        raise ValueError("CUDF failure: gather_map contains nulls")
    if not traits.is_index_type(gather_map.type()):
        raise TypeError("CUDF failure: Invalid type of gather_map")
    rows = source_table.num_rows()
    wanted = numbers(gather_map.array(), gather_map.type()).astype(np.int64)
    wanted = np.where(wanted < 0, wanted + rows, wanted)
    outside = (wanted < 0) | (wanted >= rows)
    if bounds_policy == OutOfBoundsPolicy.DONT_CHECK and outside.any():
        raise IndexError("gather reads memory outside of the table: DONT_CHECK with a row that is not there")
    indices = pa.array(np.where(outside, 0, wanted), mask=outside)
    return Table(
        [made(column.array().take(indices), column.type(), stream) for column in source_table.columns()]
    )


@call
def copy_if_else(
    lhs: Column | Scalar, rhs: Column | Scalar, boolean_mask: Column, stream: Any = None, mr: Any = None
) -> Column:
    """Take the left where the mask is true, else the right: where it is null, too (cpp/src/copying/copy.cu)."""
    if boolean_mask.type().id() != TypeId.BOOL8:
        raise TypeError("CUDF failure: Boolean mask column must be of type type_id::BOOL8")
    if any(isinstance(side, Column) and side.size() != boolean_mask.size() for side in (lhs, rhs)):
        raise ValueError("CUDF failure: Boolean mask column must be the same size as lhs and rhs columns")
    if lhs.type() != rhs.type():
        raise TypeError("CUDF failure: Both inputs must be of the same type")
    rows = boolean_mask.size()
    left, right = (
        side.array() if isinstance(side, Column) else pa.repeat(side.value, rows) for side in (lhs, rhs)
    )
    chosen = pc.if_else(boolean_mask.array().fill_null(False), left, right)
    return made(chosen, lhs.type(), stream)


@call
def slice(input: Any, indices: list[int], stream: Any = None) -> list[Any]:
    """Views of [begin, end) for each pair of indices; no copies."""
    if len(indices) % 2:
        raise ValueError("CUDF failure: indices size must be even")
    ranges = list(zip(indices[::2], indices[1::2], strict=True))
    if isinstance(input, Column):
        return [input._slice(begin, end) for begin, end in ranges]
    return [Table([column._slice(begin, end) for column in input.columns()]) for begin, end in ranges]


@call
def split(input: Any, splits: list[int], stream: Any = None) -> list[Any]:
    """Views between neighbouring positions, of which the first and the last are added; no copies."""
    rows = input.size() if isinstance(input, Column) else input.num_rows()
    bounds = [0, *splits, rows]
    ranges = list(itertools.pairwise(bounds))
    if isinstance(input, Column):
        return [input._slice(begin, end) for begin, end in ranges]
    return [Table([column._slice(begin, end) for column in input.columns()]) for begin, end in ranges]


@call
def empty_like(input: Any, stream: Any = None, mr: Any = None) -> Any:
    if isinstance(input, Column):
        return made(input.array().slice(0, 0), input.type(), stream)
    return Table([made(column.array().slice(0, 0), column.type(), stream) for column in input.columns()])


@call
def get_element(input_column: Column, index: int, stream: Any = None, mr: Any = None) -> Scalar:
    if not 0 <= index < input_column.size():
        raise IndexError("CUDF failure: Index out of bounds")
    return Scalar._made(input_column.array()[index], input_column.type(), stream)
