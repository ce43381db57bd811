"""NumPy arrays as the values of records."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

_TIMES = "mM"
"""Kinds of NumPy types whose values are integers in a list, if their unit is nanoseconds."""


def are_of_one_array_type(values: list[Any]) -> bool:
    """Return whether all values that are not None are arrays of one dimension and one type."""
    arrays = [value for value in values if value is not None]
    return _are_flat_arrays(arrays) and len({array.dtype for array in arrays}) == 1


def have_type(values: list[Any], dtype: pa.DataType) -> bool:
    """Return whether all values that are not None are arrays of one dimension and exactly this type of numbers."""
    if not (pa.types.is_integer(dtype) or pa.types.is_floating(dtype)):
        return False
    arrays = [value for value in values if value is not None]
    return _are_flat_arrays(arrays) and {array.dtype for array in arrays} == {
        np.dtype(dtype.to_pandas_dtype())
    }


def without_arrays(values: list[Any]) -> list[Any]:
    """Return the values with lists in place of arrays, at any depth.

    Examples
    --------
    >>> without_arrays([np.array([1, 2], np.int8), {"x": [np.array([[0.5]])]}, None])
    [[1, 2], {'x': [[[0.5]]]}, None]
    """
    return list(map(_without_arrays, values))


def _without_arrays(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.kind not in _TIMES:
        return value.tolist()
    if isinstance(value, list | tuple):
        return list(map(_without_arrays, value))
    if isinstance(value, dict):
        return {key: _without_arrays(inner) for key, inner in value.items()}
    return value


def _are_flat_arrays(values: list[Any]) -> bool:
    return all(type(value) is np.ndarray and value.ndim == 1 for value in values)
