"""Rows on the device grouped there, so that a few groups are downloaded in place of all rows.

libcudf groups by hashing (``cpp/src/groupby/hash``): groups come in no order, null equals null among the keys, and a
sum of integers of any width is made in 64 bits, where it wraps around.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.core.rows.grouping import Aggregate, Grouping
from arrowstream.gpu import libraries as cuda
from arrowstream.gpu.download import downloaded_bytes
from arrowstream.gpu.rows import ROW_NUMBER, DeviceRows, row_numbers
from arrowstream.gpu.steps.attempt import attempt
from arrowstream.gpu.steps.panes import RowPanes
from arrowstream.gpu.types import device_type
from arrowstream.gpu.work import Work

if TYPE_CHECKING:
    import pylibcudf as plc

GROUPED_BYTES = 400
"""Bytes assumed to cross to the device while the CPU groups a row: 20 ns, measured on 2 cores, at 20 GB/s, which is
assumed as in `GpuBackend.upload_cost`."""

_BITS = {pa.float32(): pa.int32(), pa.float64(): pa.int64()}
"""The integers with as many bits as a float."""


def grouped(rows: DeviceRows, grouping: Grouping) -> pa.RecordBatch | None:
    """Return the groups of rows on the device, as `core.rows.forms.Form.grouped` does; None: the CPU groups them."""
    device = rows.device
    if (
        device.breaker.is_open
        or not rows.num_rows
        or not _offered(rows, grouping)
        or not _saves(rows, grouping)
    ):
        return None

    def work() -> pa.RecordBatch | None:
        there = rows.with_resident(grouping.reads)
        return device.run(lambda: _grouped(there, grouping))

    return attempt(device, f"group {rows.num_rows} rows", work)


def _offered(rows: DeviceRows, grouping: Grouping) -> bool:
    """Return whether the device has the types of all columns, and the times fit its 64 bits with a sign."""
    types = {name: rows.schema.field(name).type for name in grouping.reads}
    wide = grouping.panes is not None and types[grouping.panes.column] == pa.uint64()
    return not wide and all(device_type(dtype) is not None for dtype in types.values())


def _saves(rows: DeviceRows, grouping: Grouping) -> bool:
    """Return whether grouping on the device is assumed to take less time than to download the rows and group them."""
    downloaded = downloaded_bytes(rows)
    absent = [rows.unchanged[name] for name in grouping.reads if name not in rows.resident]
    uploaded = int(rows.host.select(absent).nbytes)
    return downloaded > 0 and uploaded < downloaded + GROUPED_BYTES * rows.num_rows


def _grouped(rows: DeviceRows, grouping: Grouping) -> pa.RecordBatch | None:
    made = rows.device.using(rows, lambda: _made(rows, grouping))
    if made is None:
        return None
    columns, schema, pane = made
    return _finished(rows.device.download(columns, schema), grouping, pane)


def _made(rows: DeviceRows, grouping: Grouping) -> tuple[list[plc.Column], pa.Schema, int] | None:
    """Return the columns of the groups and the first pane; None if a time is null or not wanted, or order decides."""
    device, stream = rows.device, rows.device.compute
    if _order_decides(rows, grouping):
        return None
    panes = None if grouping.panes is None else RowPanes.of(rows, grouping.panes)
    if panes is None and grouping.panes is not None:
        return None
    keys = {name: (rows.resident[name], rows.schema.field(name).type) for name in grouping.keys}
    if panes is not None and panes.low < panes.high:
        keys[panes.panes.name] = (panes.column(), pa.int64())
    if not keys:
        any_key = device.scalar(0, pa.int8())
        keys[""] = (cuda.plc.Column.from_scalar(any_key, rows.num_rows, stream=stream), pa.int8())
    numbers = row_numbers(device, rows.num_rows)
    requests = [cuda.plc.groupby.GroupByRequest(numbers, [cuda.plc.aggregation.min()])]
    for each in grouping.aggregates:
        values = numbers if each.column is None else rows.resident[each.column]
        requests.append(cuda.plc.groupby.GroupByRequest(values, [_aggregation(each)]))
    by = cuda.plc.Table([column for column, _ in keys.values()])
    groups = cuda.plc.groupby.GroupBy(by, null_handling=cuda.plc.types.NullPolicy.INCLUDE)
    found, results = groups.aggregate(requests, stream=stream)
    columns = [*found.columns(), *(result.columns()[0] for result in results)]
    fields = [
        *((name, dtype) for name, (_, dtype) in keys.items()),
        (grouping.row, ROW_NUMBER),
        *((each.name, _device_result(each, rows.schema)) for each in grouping.aggregates),
    ]
    return columns, pa.schema(fields), 0 if panes is None else panes.low


def _order_decides(rows: DeviceRows, grouping: Grouping) -> bool:
    """Return whether a float of which the least or greatest is wanted is NaN, or -0.0, which equals 0.0."""
    work, operators = Work(rows.resident, rows.num_rows, rows.device), cuda.plc.binaryop.BinaryOperator
    boolean = cuda.plc.DataType(cuda.plc.TypeId.BOOL8)
    compared = {each.column for each in grouping.aggregates if each.function in ("min", "max")}
    for name in sorted(name for name in compared if name is not None):
        bits = _BITS.get(rows.schema.field(name).type)
        if bits is not None:
            floats, integers = rows.resident[name], cuda.plc.DataType(cuda.plc.TypeId[str(bits).upper()])
            pattern = cuda.plc.unary.bit_cast(floats, integers, stream=work.stream)
            # Of all integers, the least has the sign bit alone.
            sign = rows.device.scalar(-(2 ** (bits.bit_width - 1)), bits)
            work.doubt(cuda.plc.unary.is_nan(floats, stream=work.stream))
            work.doubt(
                cuda.plc.binaryop.binary_operation(
                    pattern, sign, operators.EQUAL, boolean, stream=work.stream
                )
            )
    return work.in_doubt()


def _aggregation(aggregate: Aggregate) -> plc.aggregation.Aggregation:
    policies = cuda.plc.types.NullPolicy
    match aggregate.function:
        case "sum":
            return cuda.plc.aggregation.sum()
        case "min":
            return cuda.plc.aggregation.min()
        case "max":
            return cuda.plc.aggregation.max()
        case "count":
            return cuda.plc.aggregation.count(policies.EXCLUDE)
        case _:  # "len"
            return cuda.plc.aggregation.count(policies.INCLUDE)


def _device_result(aggregate: Aggregate, schema: pa.Schema) -> pa.DataType:
    """Return the type that comes from the device (``target_type_impl`` in libcudf's ``aggregation.hpp``)."""
    if aggregate.column is None or aggregate.function == "count":
        return ROW_NUMBER
    dtype = schema.field(aggregate.column).type
    return pa.int64() if aggregate.function == "sum" and not pa.types.is_duration(dtype) else dtype


def _finished(found: pa.RecordBatch, grouping: Grouping, pane: int) -> pa.RecordBatch:
    """Return downloaded groups with the columns and types that are wanted."""
    columns: dict[str, pa.Array] = {}
    if grouping.panes is not None:
        name = grouping.panes.name
        one_pane = name not in found.schema.names
        columns[name] = pa.repeat(pa.scalar(pane, pa.int64()), found.num_rows) if one_pane else found[name]
    columns |= {name: found[name] for name in grouping.keys}
    columns[grouping.row] = found[grouping.row].cast(pa.int64())
    columns |= {each.name: _as_wanted(found[each.name], each) for each in grouping.aggregates}
    return pa.RecordBatch.from_pydict(columns)


def _as_wanted(values: pa.Array, aggregate: Aggregate) -> pa.Array:
    if aggregate.function != "sum":
        return values.cast(aggregate.dtype)
    totals = pc.fill_null(values.view(pa.int64()), 0)
    if pa.types.is_duration(aggregate.dtype):
        return totals.view(aggregate.dtype)
    # The lower bits of a sum in 64 bits are the sum that wraps around in fewer.
    return pa.array(totals.to_numpy().astype(aggregate.dtype.to_pandas_dtype()))
