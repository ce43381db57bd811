"""Membership, and places in sorted tables."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pylibcudf import traits
from pylibcudf.types import DataType, NullOrder, Order, TypeId

from fake_gpu.calls import call
from fake_gpu.keys import normal
from fake_gpu.plc.column import Column, made
from fake_gpu.plc.table import Table


@call
def contains(haystack: Column, needles: Column, stream: Any = None, mr: Any = None) -> Column:
    """Tell for each needle whether it is in the haystack; null for a null (cpp/src/search/contains_column.cu).

    NaN equals NaN, 0.0 equals -0.0.
    """
    if haystack.type() != needles.type():
        raise TypeError("CUDF failure: DataType mismatch")
    if traits.is_nested(needles.type()):
        raise NotImplementedError("the fake searches no nested columns")
    wanted = normal(needles.array(), needles.type())
    found = pc.is_in(wanted, value_set=normal(haystack.array(), haystack.type()).drop_null())
    return made(pc.if_else(wanted.is_valid(), found, None), DataType(TypeId.BOOL8), stream)


@call
def lower_bound(
    haystack: Table,
    needles: Table,
    column_order: list[Order],
    null_precedence: list[NullOrder],
    stream: Any = None,
    mr: Any = None,
) -> Column:
    """Find the first row of a sorted table that is not before each needle (cpp/src/search/search_ordered.cu)."""
    if len(column_order) != haystack.num_columns() or len(null_precedence) != haystack.num_columns():
        raise RuntimeError("CUDF failure: Mismatch between number of columns and column order.")
    if any(order != Order.ASCENDING for order in column_order) or NullOrder.AFTER in null_precedence:
        raise NotImplementedError("the fake searches tables in ascending order, nulls first")
    rows = haystack.num_rows()
    ranks = np.zeros(rows + needles.num_rows(), np.int64)
    for column, wanted in zip(haystack.columns(), needles.columns(), strict=True):
        if column.type() != wanted.type():
            raise TypeError("CUDF failure: DataType mismatch")
        if traits.is_floating_point(column.type()):
            raise NotImplementedError("the fake searches no floats in order")
        both = pa.concat_arrays([column.array(), wanted.array()])
        own = pc.rank(both, tiebreaker="dense").to_numpy().astype(np.int64)
        own[np.asarray(both.is_null().to_numpy(zero_copy_only=False))] = 0
        # Dense again after each column, so that no product is too large.
        ranks = np.unique(ranks * (len(ranks) + 1) + own, return_inverse=True)[1]
    if (np.diff(ranks[:rows]) < 0).any():
        stream.queue.machine.violate("lower_bound is given a table that is not sorted")
    places = np.searchsorted(ranks[:rows], ranks[rows:], "left").astype(np.int32)
    return made(pa.array(places), DataType(TypeId.INT32), stream)
