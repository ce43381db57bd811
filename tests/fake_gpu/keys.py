"""Values that are equal, as libcudf's hash tables and sorts see it."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pylibcudf import traits
from pylibcudf.types import DataType, TypeId

from fake_gpu.values import Array, array_of, numbers, validity


def normal(array: pa.Array, dtype: DataType) -> pa.Array:
    """Make equal values the same bits: one NaN, and no -0.0."""
    if not traits.is_floating_point(dtype):
        return array
    values = numbers(array, dtype)
    values = np.where(np.isnan(values), np.nan, values + values.dtype.type(0)).astype(values.dtype)
    return array_of(values, validity(array), dtype)


def ranks(array: pa.Array, dtype: DataType) -> tuple[Array, Array | None]:
    """Number the values of a column in their order, from 0, NaN last; and tell which are valid."""
    array = normal(array, dtype)
    valid = validity(array)
    if dtype.id() == TypeId.STRING or traits.is_fixed_point(dtype):
        encoded = array.dictionary_encode()
        places = np.empty(len(encoded.dictionary), np.int64)
        places[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(places))
        codes = encoded.indices.fill_null(0).to_numpy() if len(places) else np.zeros(len(array), np.int64)
        return (places[codes] if len(places) else codes), valid
    values = numbers(array, dtype)
    return np.unique(values, return_inverse=True)[1].astype(np.int64), valid


def groups(columns: list[tuple[pa.Array, DataType]]) -> tuple[Array, Array]:
    """Number the different rows of some columns; nulls are a value of their own.

    Returns
    -------
    tuple
        The number of each row, and whether it has a null.
    """
    rows = len(columns[0][0])
    codes = np.zeros(rows, np.int64)
    null = np.zeros(rows, np.bool_)
    for array, dtype in columns:
        places, valid = ranks(array, dtype)
        if valid is not None:
            places = np.where(valid, places, -1)
            null |= ~valid
        pairs = np.stack([codes, places])
        codes = np.unique(pairs, axis=1, return_inverse=True)[1].reshape(-1) if rows else codes
    return codes, null


def shuffled(length: int) -> Array:
    """An order that nobody expects, always the same one: what a hash table leaves open."""
    return np.random.default_rng(length).permutation(length)


def columns_of(table: Any) -> list[tuple[pa.Array, DataType]]:
    """The columns of a table, for `groups`."""
    return [(column.array(), column.type()) for column in table.columns()]
