"""Times on the device as ticks, and the panes of time in which they lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from arrowstream.core.rows.grouping import Panes
from arrowstream.gpu import libraries as cuda
from arrowstream.gpu.rows import DeviceRows

if TYPE_CHECKING:
    import pylibcudf as plc


def ticks_of(rows: DeviceRows, name: str) -> plc.Column:
    """Return a column of timestamps, dates or integers as int64, in its own unit."""
    times, dtype = rows.resident[name], rows.schema.field(name).type
    ticks, days = (cuda.plc.DataType(cuda.plc.TypeId[width]) for width in ("INT64", "INT32"))
    stream = rows.device.compute
    if dtype == pa.int64():
        return times
    if pa.types.is_timestamp(dtype):
        return cuda.plc.unary.bit_cast(times, ticks, stream=stream)
    if pa.types.is_date32(dtype):
        times = cuda.plc.unary.bit_cast(times, days, stream=stream)
    return cuda.plc.unary.cast(times, ticks, stream=stream)


def span(ticks: plc.Column, panes: Panes, rows: DeviceRows) -> tuple[int, int] | None:
    """Return the first and the last pane of the rows, or None if a time is null or not wanted.

    Waits for the device.
    """
    if ticks.null_count():
        return None
    stream = rows.device.compute
    first, last = (end.to_py(stream=stream) for end in cuda.plc.reduce.minmax(ticks, stream=stream))
    assert isinstance(first, int) and isinstance(last, int), "the column has values"
    if first < panes.first or last > panes.last:
        return None
    return (first - panes.start) // panes.length, (last - panes.start) // panes.length


def panes_of(ticks: plc.Column, panes: Panes, rows: DeviceRows) -> plc.Column:
    """Return the pane of each row, as int64."""
    stream, device = rows.device.compute, rows.device
    operators, integers = cuda.plc.binaryop.BinaryOperator, cuda.plc.DataType(cuda.plc.TypeId.INT64)
    start, length = (device.scalar(value, pa.int64()) for value in (panes.start, panes.length))
    since = cuda.plc.binaryop.binary_operation(ticks, start, operators.SUB, integers, stream=stream)
    return cuda.plc.binaryop.binary_operation(since, length, operators.FLOOR_DIV, integers, stream=stream)
