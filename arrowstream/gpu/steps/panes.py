"""The panes of time in which rows on the device lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from arrowstream.core.rows.grouping import Panes
from arrowstream.gpu import libraries as cuda
from arrowstream.gpu.rows import DeviceRows

if TYPE_CHECKING:
    import pylibcudf as plc

    from arrowstream.gpu.device import Device


@dataclass(frozen=True, slots=True)
class RowPanes:
    """The panes of rows that all have a time for which groups are wanted.

    Parameters
    ----------
    device
        The device.
    panes
        How time is divided.
    ticks
        The time of each row, as int64.
    low, high
        The first and the last pane.
    """

    device: Device
    panes: Panes
    ticks: plc.Column
    low: int
    high: int

    @classmethod
    def of(cls, rows: DeviceRows, panes: Panes) -> RowPanes | None:
        """Return the panes of at least one row, or None if a time is null or not wanted; waits for the device."""
        ticks, stream = _ticks(rows, panes.column), rows.device.compute
        if ticks.null_count():
            return None
        first, last = (end.to_py(stream=stream) for end in cuda.plc.reduce.minmax(ticks, stream=stream))
        assert isinstance(first, int) and isinstance(last, int), "the column has values"
        if first < panes.first or last > panes.last:
            return None
        low, high = ((end - panes.start) // panes.length for end in (first, last))
        return cls(rows.device, panes, ticks, low, high)

    def column(self) -> plc.Column:
        """Return the pane of each row, as int64."""
        stream, operators = self.device.compute, cuda.plc.binaryop.BinaryOperator
        start, length = (
            self.device.scalar(value, pa.int64()) for value in (self.panes.start, self.panes.length)
        )
        integers = cuda.plc.DataType(cuda.plc.TypeId.INT64)
        # Times are far enough from the ends of 64 bits: see `Panes.first` and `last`.
        since = cuda.plc.binaryop.binary_operation(self.ticks, start, operators.SUB, integers, stream=stream)
        return cuda.plc.binaryop.binary_operation(since, length, operators.FLOOR_DIV, integers, stream=stream)


def _ticks(rows: DeviceRows, name: str) -> plc.Column:
    """Return a column of timestamps, dates or integers as int64, in its own unit."""
    times, dtype, stream = rows.resident[name], rows.schema.field(name).type, rows.device.compute
    ticks, days = (cuda.plc.DataType(cuda.plc.TypeId[width]) for width in ("INT64", "INT32"))
    if dtype == pa.int64():
        return times
    if pa.types.is_timestamp(dtype):
        return cuda.plc.unary.bit_cast(times, ticks, stream=stream)
    if pa.types.is_date32(dtype):
        times = cuda.plc.unary.bit_cast(times, days, stream=stream)
    return cuda.plc.unary.cast(times, ticks, stream=stream)
