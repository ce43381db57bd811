"""Order of rows (cpp/src/sort, cpp/include/cudf/detail/row_operator): NaN is above all, null where it is told to be.

Where the order of equal rows is left open, it is the opposite of theirs, so that nobody relies on it.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from pylibcudf.types import DataType, NullOrder, Order, TypeId

from fake_gpu.calls import call
from fake_gpu.keys import columns_of, ranks
from fake_gpu.plc.column import Column, made
from fake_gpu.plc.table import Table
from fake_gpu.values import Array


@call
def sorted_order(
    source_table: Table,
    column_order: list[Order],
    null_precedence: list[NullOrder],
    stream: Any = None,
    mr: Any = None,
) -> Column:
    """Numbers of the rows in their order, as INT32."""
    return _numbers(_order(source_table, column_order, null_precedence, stable=False), stream)


@call
def stable_sorted_order(
    source_table: Table,
    column_order: list[Order],
    null_precedence: list[NullOrder],
    stream: Any = None,
    mr: Any = None,
) -> Column:
    """Numbers of the rows in their order, equal ones as they came, as INT32."""
    return _numbers(_order(source_table, column_order, null_precedence, stable=True), stream)


@call
def is_sorted(
    tbl: Table, column_order: list[Order], null_precedence: list[NullOrder], stream: Any = None
) -> bool:
    """Read from the device: waits for the stream."""
    stream.queue.synchronize()
    order = _order(tbl, column_order, null_precedence, stable=True)
    return bool((order == np.arange(len(order))).all())


@call
def sort_by_key(
    values: Table,
    keys: Table,
    column_order: list[Order],
    null_precedence: list[NullOrder],
    stream: Any = None,
    mr: Any = None,
) -> Table:
    _same_rows(values, keys)
    return _taken(values, _order(keys, column_order, null_precedence, stable=False), stream)


@call
def stable_sort_by_key(
    values: Table,
    keys: Table,
    column_order: list[Order],
    null_precedence: list[NullOrder],
    stream: Any = None,
    mr: Any = None,
) -> Table:
    _same_rows(values, keys)
    return _taken(values, _order(keys, column_order, null_precedence, stable=True), stream)


@call
def sort(
    source_table: Table,
    column_order: list[Order],
    null_precedence: list[NullOrder],
    stream: Any = None,
    mr: Any = None,
) -> Table:
    return _taken(source_table, _order(source_table, column_order, null_precedence, stable=False), stream)


@call
def stable_sort(
    source_table: Table,
    column_order: list[Order],
    null_precedence: list[NullOrder],
    stream: Any = None,
    mr: Any = None,
) -> Table:
    return _taken(source_table, _order(source_table, column_order, null_precedence, stable=True), stream)


def _order(table: Table, orders: list[Order], precedences: list[NullOrder], stable: bool) -> Array:
    columns = columns_of(table)
    if (orders and len(orders) != len(columns)) or (precedences and len(precedences) != len(columns)):
        raise RuntimeError("CUDF failure: Mismatch between number of columns and column order.")
    levels = []
    for at, (array, dtype) in enumerate(columns):
        places, valid = ranks(array, dtype)
        if valid is not None:
            before = not precedences or precedences[at] == NullOrder.BEFORE
            places = np.where(valid, places, -1 if before else len(places) + 1)
        # What is below when ascending, nulls too, is above when descending.
        levels.append(-places if orders and orders[at] == Order.DESCENDING else places)
    rows = np.arange(table.num_rows())
    return np.lexsort((rows if stable else -rows, *reversed(levels)))


def _numbers(order: Array, stream: Any) -> Column:
    return made(pa.array(order.astype(np.int32)), DataType(TypeId.INT32), stream)


def _taken(table: Table, order: Array, stream: Any) -> Table:
    indices = pa.array(order)
    return Table([made(column.array().take(indices), column.type(), stream) for column in table.columns()])


def _same_rows(values: Table, keys: Table) -> None:
    if values.num_rows() != keys.num_rows():
        raise RuntimeError("CUDF failure: Mismatch in number of rows for values and keys")
