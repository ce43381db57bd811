"""The form of rows that the GPU computes with: some columns on the device, the others still in host memory.

Only what is read is uploaded. A column that a program passes on goes round the device, and so does one whose type the
device does not have. Once a filter has left some of the rows, their numbers say which ones, for the columns
that are in host memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from arrowstream.core.batch import Batch
from arrowstream.gpu import libraries as cuda
from arrowstream.gpu.device import Device

if TYPE_CHECKING:
    import pylibcudf as plc

ROW_NUMBER = pa.int32()
"""The type of the numbers of rows that are left; the device counts the rows of a column with it, too."""


@dataclass(frozen=True, slots=True)
class DeviceRows:
    """Rows of one batch.

    Parameters
    ----------
    device
        The device.
    schema
        The schema of the rows.
    num_rows
        The number of rows.
    host
        The record that came in, in host memory.
    unchanged
        For each column that is still one of `host`, the name that it has there.
    resident
        The columns on the device, by name. A column may be both.
    kept
        The numbers of the rows of `host` that are left, or None if all are.
    steps
        Functions for the CPU that make these rows of `host`, one after the other.
    """

    device: Device
    schema: pa.Schema
    num_rows: int
    host: pa.RecordBatch
    unchanged: Mapping[str, str]
    resident: Mapping[str, plc.Column]
    kept: plc.Column | None = None
    steps: tuple[Callable[[Batch], Batch], ...] = ()

    @classmethod
    def of(cls, record: pa.RecordBatch, device: Device) -> DeviceRows:
        """Return a record's rows, of which nothing is on the device yet."""
        return cls(
            device, record.schema, record.num_rows, record, {name: name for name in record.schema.names}, {}
        )

    def with_resident(self, names: Collection[str]) -> DeviceRows:
        """Return the same rows with these columns on the device, brought there in one upload."""
        absent = sorted(name for name in names if name not in self.resident)
        if not absent:
            return self
        record = self.host.select([self.unchanged[name] for name in absent])
        table = self.device.upload(record)
        if self.kept is not None:
            table = self.device.run(partial(self._left, table, self.kept))
        brought = dict(zip(absent, table.columns(), strict=True))
        return replace(self, resident={**self.resident, **brought})

    def _left(self, table: plc.Table, kept: plc.Column) -> plc.Table:
        """Return the rows that a filter has left, of columns that come after it."""
        policy = cuda.plc.copying.OutOfBoundsPolicy.DONT_CHECK
        return cuda.plc.copying.gather(table, kept, policy, stream=self.device.compute)

    def filtered(self, mask: plc.Column) -> DeviceRows:
        """Return the rows where a boolean column of the device is true."""
        rows, _ = self.filtered_with(mask)
        return rows

    def filtered_with(self, mask: plc.Column, *others: plc.Column) -> tuple[DeviceRows, list[plc.Column]]:
        """Return the rows where a boolean column of the device is true, and what is left of columns beside them."""
        stream = self.device.compute
        columns = [self._numbers(), *others, *self.resident.values()]
        table = cuda.plc.stream_compaction.apply_boolean_mask(cuda.plc.Table(columns), mask, stream=stream)
        kept, *left = table.columns()
        resident = dict(zip(self.resident, left[len(others) :], strict=True))
        return replace(self, num_rows=table.num_rows(), resident=resident, kept=kept), left[: len(others)]

    def _numbers(self) -> plc.Column:
        """Return the numbers of the rows in `host`."""
        return row_numbers(self.device, self.num_rows) if self.kept is None else self.kept

    def sliced(self, offset: int, length: int) -> DeviceRows:
        """Return some rows, without a copy."""
        offset = min(offset, self.num_rows)
        end = min(offset + length, self.num_rows)
        names, columns = list(self.resident), list(self.resident.values())
        host, kept, steps = self.host, self.kept, self.steps
        if kept is None:
            host = host.slice(offset, end - offset)
        else:
            columns.append(kept)
            steps = (*steps, lambda batch: batch.slice(offset, end - offset))
        if columns:
            parts = cuda.plc.copying.slice(cuda.plc.Table(columns), [offset, end], stream=self.device.compute)
            columns = list(parts[0].columns())
            kept = None if kept is None else columns.pop()
        return replace(
            self,
            num_rows=end - offset,
            host=host,
            resident=dict(zip(names, columns, strict=True)),
            kept=kept,
            steps=steps,
        )

    def on_cpu(self) -> pa.RecordBatch:
        """Return the same rows, made by the CPU of what came in."""
        batch = Batch(self.host)
        for step in self.steps:
            batch = step(batch)
        return batch.arrow()

    @property
    def device_bytes(self) -> int:
        """Bytes of memory that the rows take on the device."""
        return sum(column.device_buffer_size() for column in self.resident.values())

    @property
    def nbytes(self) -> int:
        """Bytes that the rows take, on the device and in host memory."""
        around = [self.unchanged[name] for name in self.unchanged if name not in self.resident]
        return self.device_bytes + int(self.host.select(around).nbytes)


def row_numbers(device: Device, count: int) -> plc.Column:
    """Return the numbers from 0 on, one for each row."""
    zero, one = (device.scalar(value, ROW_NUMBER) for value in (0, 1))
    return cuda.plc.filling.sequence(count, zero, one, stream=device.compute)
