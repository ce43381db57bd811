"""Rows on the device brought back into host memory, in one download where there is room for it."""

from __future__ import annotations

import logging
from collections.abc import Collection

import pyarrow as pa

from arrowstream.gpu.rows import ROW_NUMBER, DeviceRows

_LOG = logging.getLogger("arrowstream.gpu")

_NUMBERS = pa.field("", ROW_NUMBER)


def brought_back(rows: DeviceRows) -> pa.RecordBatch:
    """Return the rows as a record, from any thread. If the device fails, the CPU makes them of what came in.

    Work is queued, so that a failure of an earlier call may show only here.
    """
    try:
        return rows.device.run(lambda: in_host_memory(rows))
    except (MemoryError, RuntimeError) as error:
        if not rows.steps:
            raise
        # Without the calls that it came through, which hold what they had made.
        failed = error.with_traceback(None)
    _LOG.warning("the GPU could not give back %d rows, the CPU computes them: %s", rows.num_rows, failed)
    rows.device.breaker.failed(failed)
    return rows.on_cpu()


def in_host_memory(rows: DeviceRows) -> pa.RecordBatch:
    """Return the rows as a record; called on the device's thread.

    This may take memory on the device, for the bits of booleans: if there is none, each half is brought back for
    itself.
    """
    try:
        return _downloaded(rows)
    except MemoryError:
        rows.device.synchronize()
        half = rows.num_rows // 2
        if not half:
            raise
        parts = [in_host_memory(rows.sliced(*part)) for part in ((0, half), (half, rows.num_rows - half))]
        return pa.Table.from_batches(parts).combine_chunks().to_batches()[0]


def downloaded_bytes(rows: DeviceRows) -> int:
    """Return the bytes that come from the device for the rows to be in host memory."""
    columns = _from_device(rows)
    numbers = 0 if rows.kept is None or len(columns) == len(rows.schema) else 4 * rows.num_rows
    return numbers + sum(rows.resident[field.name].device_buffer_size() for field in columns)


def _from_device(rows: DeviceRows) -> list[pa.Field]:
    # Without a filter, the column that came in is still there as it was.
    return [
        field for field in rows.schema if not (field.name in rows.unchanged and _as_it_came(rows, field.name))
    ]


def _downloaded(rows: DeviceRows) -> pa.RecordBatch:
    from_device = _from_device(rows)
    around = [name for name in rows.schema.names if name not in {field.name for field in from_device}]
    columns = [rows.resident[field.name] for field in from_device]
    host = rows.host
    arrays: dict[str, pa.Array] = {}
    if rows.kept is not None and around:
        found = rows.device.download([*columns, rows.kept], pa.schema([*from_device, _NUMBERS]))
        host = _taken(rows, around, found.columns[-1])
    elif columns:
        found = rows.device.download(columns, pa.schema(from_device))
    if columns:
        arrays = {field.name: found.column(place) for place, field in enumerate(from_device)}
    arrays |= {name: host.column(rows.unchanged[name]) for name in around}
    return pa.RecordBatch.from_arrays([arrays[name] for name in rows.schema.names], schema=rows.schema)


def _as_it_came(rows: DeviceRows, name: str) -> bool:
    return rows.kept is None or name not in rows.resident


def _taken(rows: DeviceRows, names: Collection[str], numbers: pa.Array) -> pa.RecordBatch:
    """Return the rows that are left, of the columns that stayed in host memory."""
    return rows.host.select(sorted({rows.unchanged[name] for name in names})).take(numbers)
