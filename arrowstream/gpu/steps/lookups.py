"""Rows on the device looked up in a table that is kept there: the result stays on the device.

A key is found by binary search among the sorted keys of the table, so that a batch costs no more than its own rows;
libcudf's hash joins would hash the table again for each batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import pyarrow as pa

from arrowstream.core.batch import Batch
from arrowstream.core.rows.lookup import LookupTable
from arrowstream.gpu import libraries as cuda
from arrowstream.gpu.device import Device
from arrowstream.gpu.download import downloaded_bytes
from arrowstream.gpu.rows import ROW_NUMBER, DeviceRows
from arrowstream.gpu.steps.attempt import attempt
from arrowstream.gpu.types import device_type

if TYPE_CHECKING:
    import pylibcudf as plc


@dataclass(frozen=True, slots=True)
class _Held:
    """A table on the device.

    Parameters
    ----------
    keys
        The keys, sorted.
    values
        The values, by name.
    """

    keys: plc.Table
    values: dict[str, plc.Column]


_HELD: WeakKeyDictionary[LookupTable, _Held | None] = WeakKeyDictionary()
"""The tables that are on the device; None for one that has no room there, or types that the device does not have."""


def looked_up(rows: DeviceRows, table: LookupTable) -> DeviceRows | None:
    """Return rows with what a table has for them, as `core.rows.forms.Form.looked_up` does; None: the CPU does it."""
    device = rows.device
    if device.breaker.is_open or not rows.num_rows or not downloaded_bytes(rows):
        return None
    if table not in _HELD:
        _HELD[table] = attempt(device, "hold a table to look rows up in", lambda: _upload(table, device))
    held = _HELD[table]
    if held is None:
        return None

    def work() -> DeviceRows:
        there = rows.with_resident(table.keys)
        return device.run(lambda: device.using((there, held), lambda: _looked_up(there, held, table)))

    found = attempt(device, f"look {rows.num_rows} rows up", work)
    return None if found is None else replace(found, steps=(*rows.steps, partial(_on_cpu, table)))


def _on_cpu(table: LookupTable, batch: Batch) -> Batch:
    return batch.with_rows(table.on_cpu(batch.polars()))


def _upload(table: LookupTable, device: Device) -> _Held | None:
    keys, values = table.load()
    if not keys.num_rows or any(
        device_type(dtype) is None for dtype in (*keys.schema.types, *values.schema.types)
    ):
        return None
    names = values.schema.names
    columns = device.upload(values).columns() if names else ()
    return _Held(device.upload(keys), dict(zip(names, columns, strict=True)))


def _looked_up(rows: DeviceRows, held: _Held, table: LookupTable) -> DeviceRows:
    stream, width = rows.device.compute, len(table.keys)
    keys = cuda.plc.Table([rows.resident[name] for name in table.keys])
    order, nulls = cuda.plc.types.Order.ASCENDING, cuda.plc.types.NullOrder.BEFORE
    places = cuda.plc.search.lower_bound(held.keys, keys, [order] * width, [nulls] * width, stream=stream)
    found = _equal(rows.device, keys, _gathered(held.keys, places, rows))
    if table.how == "left":
        # The place after the last one: what is there is null.
        nowhere = rows.device.scalar(held.keys.num_rows(), ROW_NUMBER)
        places = cuda.plc.copying.copy_if_else(places, nowhere, found, stream=stream)
    else:
        if table.how == "anti":
            negation = cuda.plc.unary.UnaryOperator.NOT
            found = cuda.plc.unary.unary_operation(found, negation, stream=stream)
        rows, (places,) = rows.filtered_with(found, places)
    resident = dict(rows.resident)
    if held.values:
        values = _gathered(cuda.plc.Table(list(held.values.values())), places, rows)
        resident |= dict(zip(held.values, values.columns(), strict=True))
    return replace(rows, schema=table.schema, resident=resident)


def _gathered(table: plc.Table, places: plc.Column, rows: DeviceRows) -> plc.Table:
    """Return the table's rows at some places; null at the place after the last one."""
    policy = cuda.plc.copying.OutOfBoundsPolicy.NULLIFY
    return cuda.plc.copying.gather(table, places, policy, stream=rows.device.compute)


def _equal(device: Device, left: plc.Table, right: plc.Table) -> plc.Column:
    """Return which rows are equal; a row with a null is not."""
    stream, operators = device.compute, cuda.plc.binaryop.BinaryOperator
    boolean = cuda.plc.DataType(cuda.plc.TypeId.BOOL8)
    equal: plc.Column | None = None
    for own, other in zip(left.columns(), right.columns(), strict=True):
        same = cuda.plc.binaryop.binary_operation(own, other, operators.EQUAL, boolean, stream=stream)
        if equal is not None:
            both = operators.LOGICAL_AND
            same = cuda.plc.binaryop.binary_operation(equal, same, both, boolean, stream=stream)
        equal = same
    assert equal is not None, "there is a key"
    return cuda.plc.replace.replace_nulls(equal, device.scalar(False, pa.bool_()), stream=stream)
