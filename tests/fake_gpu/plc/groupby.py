"""Aggregates of rows with equal keys, by hashing: groups come in no order."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pylibcudf import traits
from pylibcudf.types import DataType, NullOrder, NullPolicy, Order, Sorted, TypeId

from fake_gpu.calls import Handle, call, memories
from fake_gpu.memory import Memory
from fake_gpu.plc.aggregation import Aggregation, Kind
from fake_gpu.plc.column import Column, made
from fake_gpu.plc.table import Table
from fake_gpu.values import Array, array_of, numbers

__all__ = ["GroupBy", "GroupByRequest"]

_COUNT = DataType(TypeId.INT32)


class GroupByRequest(Handle):
    """Values, and the aggregates that are wanted of them."""

    def __init__(self, values: Column, aggregations: list[Aggregation]) -> None:
        self._values = values
        self._aggregations = aggregations

    def memories(self) -> Iterator[Memory]:
        yield from self._values.memories()


class GroupBy(Handle):
    """Rows grouped by their keys (cpp/src/groupby/hash/groupby.cu); null equals null among the keys."""

    def __init__(
        self,
        keys: Table,
        null_handling: NullPolicy = NullPolicy.EXCLUDE,
        keys_are_sorted: Sorted = Sorted.NO,
        column_order: list[Order] | None = None,
        null_precedence: list[NullOrder] | None = None,
    ) -> None:
        if keys_are_sorted == Sorted.YES or column_order or null_precedence:
            raise NotImplementedError("the fake groups by hashing only")
        if any(traits.is_floating_point(column.type()) for column in keys.columns()):
            raise NotImplementedError("of 0.0 and -0.0, and of NaNs, a device keeps any one as the key")
        self._keys = keys
        self._null_handling = null_handling

    def memories(self) -> Iterator[Memory]:
        yield from memories(self._keys)

    @call
    def aggregate(
        self, requests: list[GroupByRequest], stream: Any = None, mr: Any = None
    ) -> tuple[Table, list[Table]]:
        """Aggregate; a table of one column for each aggregate for each request."""
        keys = self._keys.columns()
        rows = self._keys.num_rows()
        if any(request._values.size() != rows for request in requests):
            raise RuntimeError("CUDF failure: Size mismatch between request values and groupby keys.")
        arrays = [column.array() for column in keys]
        kept = np.ones(rows, np.bool_)
        if self._null_handling == NullPolicy.EXCLUDE:
            for array in arrays:
                kept &= np.asarray(array.is_valid().to_numpy(zero_copy_only=False))
        ids = np.zeros(rows, np.int64)
        for array in arrays:
            codes = array.dictionary_encode(null_encoding="encode").indices.to_numpy(zero_copy_only=False)
            # Dense again after each key, so that no product is too large.
            ids = np.unique(ids * rows + codes, return_inverse=True)[1]
        places = np.flatnonzero(kept)
        _, firsts, groups = np.unique(ids[kept], return_index=True, return_inverse=True)
        # In no order, but the same in every run.
        order = np.random.default_rng(len(firsts)).permutation(len(firsts))
        groups = np.argsort(order)[groups]
        firsts = pa.array(places[firsts[order]])
        found = Table(
            [made(array.take(firsts), key.type(), stream) for array, key in zip(arrays, keys, strict=True)]
        )
        results = []
        for request in requests:
            values = request._values.array().filter(pa.array(kept))
            aggregates = (
                _aggregate(values, request._values.type(), each, groups, len(firsts))
                for each in request._aggregations
            )
            results.append(Table([made(array, dtype, stream) for array, dtype in aggregates]))
        return found, results


def _aggregate(
    values: pa.Array, dtype: DataType, aggregation: Aggregation, groups: Array, count: int
) -> tuple[pa.Array, DataType]:
    """Aggregate the values of each group: null values are left out; of none, only counts are not null."""
    kind = aggregation.kind()
    valid = np.asarray(values.is_valid().to_numpy(zero_copy_only=False))
    there = np.bincount(groups[valid], minlength=count).astype(np.int32)
    if kind == Kind.COUNT_ALL:
        return pa.array(np.bincount(groups, minlength=count).astype(np.int32)), _COUNT
    if kind == Kind.COUNT_VALID:
        return pa.array(there), _COUNT
    if kind == Kind.SUM:
        return _sum(values, dtype, groups, valid, there > 0)
    if kind in (Kind.MIN, Kind.MAX):
        return _extreme(values, dtype, kind, groups, valid, there > 0), dtype
    raise NotImplementedError(f"the fake groups by no {kind.name}")


def _sum(
    values: pa.Array, dtype: DataType, groups: Array, valid: Array, some: Array
) -> tuple[pa.Array, DataType]:
    """Add: integers of any width in 64 bits, with a sign (target_type_impl in detail/aggregation/aggregation.hpp)."""
    if traits.is_floating_point(dtype):
        raise NotImplementedError("a device adds floats in another order each time")
    if not (traits.is_integral(dtype) or dtype.id() == TypeId.BOOL8 or traits.is_duration(dtype)):
        raise RuntimeError("CUDF failure: Invalid type/aggregation combination.")
    out = dtype if traits.is_duration(dtype) else DataType(TypeId.INT64)
    totals = np.zeros(len(some), np.int64)
    with np.errstate(all="ignore"):
        np.add.at(totals, groups[valid], numbers(values, dtype)[valid].astype(np.int64))
    return array_of(totals, some, out), out


def _extreme(
    values: pa.Array, dtype: DataType, kind: Kind, groups: Array, valid: Array, some: Array
) -> pa.Array:
    if traits.is_floating_point(dtype):
        floats = numbers(values, dtype)[valid]
        if np.isnan(floats).any() or (np.signbit(floats) & (floats == 0)).any():
            raise NotImplementedError("of 0.0 and -0.0 a device keeps any one; NaN compares with nothing")
    # Strings are compared by their bytes, as Arrow compares them.
    ranks = pc.rank(values, tiebreaker="dense").to_numpy().astype(np.int64)
    places = np.full(len(some), -1)
    best = np.full(len(some), np.iinfo(np.int64).max if kind == Kind.MIN else -1)
    fold = np.minimum if kind == Kind.MIN else np.maximum
    fold.at(best, groups[valid], ranks[valid])
    holds = valid & (ranks == best[groups])
    places[groups[holds]] = np.flatnonzero(holds)
    return values.take(pa.array(places, mask=~some))
