"""Transformations of columns."""

from typing import Any

import numpy as np
from pylibcudf import traits
from pylibcudf.types import DataType, TypeId

from fake_gpu import trees
from fake_gpu.calls import call
from fake_gpu.plc.column import Column, made
from fake_gpu.plc.expressions import Expression
from fake_gpu.plc.gpumemoryview import gpumemoryview
from fake_gpu.plc.null_mask import mask_of
from fake_gpu.plc.table import Table
from fake_gpu.values import Array, array_of, numbers, validity


@call
def compute_column(input: Table, expr: Expression, stream: Any = None, mr: Any = None) -> Column:
    """Compute a tree of expressions for each row."""
    array, dtype = trees.evaluate(expr, input)
    return made(array, dtype, stream)


@call
def bools_to_mask(input: Column, stream: Any = None, mr: Any = None) -> tuple[gpumemoryview, int]:
    """Make a mask of booleans: valid where true; nulls are false (cpp/src/transform/bools_to_mask.cu)."""
    if input.type().id() != TypeId.BOOL8:
        raise RuntimeError("CUDF failure: Input is not of type bool")
    if not input.size():
        return mask_of(np.zeros(0, np.bool_), stream), 0
    values, valid = numbers(input.array(), input.type()), validity(input.array())
    return _mask(values if valid is None else values & valid, stream)


@call
def nans_to_nulls(input: Column, stream: Any = None, mr: Any = None) -> tuple[gpumemoryview, int]:
    """Make the mask of a column in which NaN is null."""
    return _mask(_not_nan(input), stream)


@call
def column_nans_to_nulls(input: Column, stream: Any = None, mr: Any = None) -> Column:
    """Make a column in which NaN is null."""
    dtype = input.type()
    return made(array_of(numbers(input.array(), dtype), _not_nan(input), dtype), dtype, stream)


def _not_nan(input: Column) -> Array:
    dtype: DataType = input.type()
    if not traits.is_floating_point(dtype):
        raise TypeError("CUDF failure: Expects float input")
    values, valid = numbers(input.array(), dtype), validity(input.array())
    return ~np.isnan(values) if valid is None else ~np.isnan(values) & valid


def _mask(valid: Array, stream: Any) -> tuple[gpumemoryview, int]:
    return mask_of(valid, stream), len(valid) - int(np.count_nonzero(valid))
