"""Joins as gather maps (cpp/src/join): numbers of rows, INT32, in no order.

NaN equals NaN among keys, 0.0 equals -0.0.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from pylibcudf.types import DataType, NullEquality, TypeId

from fake_gpu.calls import call
from fake_gpu.keys import columns_of, groups, shuffled
from fake_gpu.plc.column import Column, made
from fake_gpu.plc.table import Table
from fake_gpu.values import Array

NO_MATCH = np.iinfo(np.int32).min
"""What stands for the row that a row without a match has on the other side (cudf/join/join.hpp: JoinNoMatch)."""


@call
def inner_join(
    left_keys: Table, right_keys: Table, nulls_equal: NullEquality, stream: Any = None, mr: Any = None
) -> tuple[Column, Column]:
    """Numbers of the left and of the right row of each pair."""
    left, right = _pairs(left_keys, right_keys, nulls_equal)
    order = shuffled(len(left))
    return _numbers(left[order], stream), _numbers(right[order], stream)


@call
def left_join(
    left_keys: Table, right_keys: Table, nulls_equal: NullEquality, stream: Any = None, mr: Any = None
) -> tuple[Column, Column]:
    """The pairs, and the left rows without a match, whose right row is none: out of bounds for a gather."""
    left, right = _pairs(left_keys, right_keys, nulls_equal)
    alone = np.setdiff1d(np.arange(left_keys.num_rows()), left)
    left = np.concatenate([left, alone])
    right = np.concatenate([right, np.full(len(alone), NO_MATCH)])
    order = shuffled(len(left))
    return _numbers(left[order], stream), _numbers(right[order], stream)


@call
def left_semi_join(
    left_keys: Table, right_keys: Table, nulls_equal: NullEquality, stream: Any = None, mr: Any = None
) -> Column:
    """Numbers of the left rows that have a match."""
    rows = np.unique(_pairs(left_keys, right_keys, nulls_equal)[0])
    return _numbers(rows[shuffled(len(rows))], stream)


@call
def left_anti_join(
    left_keys: Table, right_keys: Table, nulls_equal: NullEquality, stream: Any = None, mr: Any = None
) -> Column:
    """Numbers of the left rows that have none."""
    matched = _pairs(left_keys, right_keys, nulls_equal)[0]
    rows = np.setdiff1d(np.arange(left_keys.num_rows()), matched)
    return _numbers(rows[shuffled(len(rows))], stream)


def _pairs(left: Table, right: Table, nulls_equal: NullEquality) -> tuple[Array, Array]:
    if [column.type() for column in left.columns()] != [column.type() for column in right.columns()]:
        raise TypeError("CUDF failure: Mismatch in joining column data types")
    both = [
        (pa.concat_arrays([ours, theirs]), dtype)
        for (ours, dtype), (theirs, _) in zip(columns_of(left), columns_of(right), strict=True)
    ]
    codes, null = groups(both)
    if nulls_equal == NullEquality.UNEQUAL:
        # A row with a null equals no other.
        codes = np.where(null, len(codes) + np.arange(len(codes)), codes)
    here, there = codes[: left.num_rows()], codes[left.num_rows() :]
    order = np.argsort(there, kind="stable")
    first = np.searchsorted(there[order], here, "left")
    count = np.searchsorted(there[order], here, "right") - first
    rows = np.repeat(np.arange(len(here)), count)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
    return rows, order[np.repeat(first, count) + within]


def _numbers(rows: Array, stream: Any) -> Column:
    return made(pa.array(rows.astype(np.int32)), DataType(TypeId.INT32), stream)
