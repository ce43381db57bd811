"""Records in pinned host memory, from which the GPU copies by itself and several times as fast."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from arrowstream.gpu import libraries as cuda

_HEADERS = 65_536
"""Bytes for what the format writes around the buffers."""


MOST_TEXT = 2**31 - 1
"""Bytes of text in a column, at most: with more, libcudf counts in other types."""

MOST_ROWS = 2**31 - 1
"""Rows of a column, at most."""


def check_size(record: pa.RecordBatch) -> None:
    """Refuse a record that is too large for columns of the device.

    Raises
    ------
    OverflowError
        It has too many rows, or a column too many bytes of text.
    """
    if record.num_rows > MOST_ROWS:
        raise OverflowError(f"{record.num_rows:,} rows are more than a column of the GPU can have")
    for field, column in zip(record.schema, record.columns, strict=True):
        if pa.types.is_large_string(field.type) and (size := _text_bytes(column)) > MOST_TEXT:
            raise OverflowError(
                f"{size:,} bytes of text are more than column {field.name!r} can have on the GPU"
            )


def _text_bytes(column: pa.Array) -> int:
    if not len(column):
        return 0
    offsets = np.frombuffer(column.buffers()[1], np.int64)
    return int(offsets[column.offset + len(column)] - offsets[column.offset])


def in_pinned_memory(record: pa.RecordBatch) -> pa.RecordBatch:
    """Return the same rows with all buffers in one stretch of pinned memory, without rows outside of a slice.

    CuPy keeps pinned memory that is let go, so that the next record takes it over.
    """
    size = pa.ipc.get_record_batch_size(record) + _HEADERS
    memory = pa.py_buffer(cuda.cupyx.empty_pinned((size,), dtype=np.uint8))
    with pa.ipc.new_stream(pa.FixedSizeBufferWriter(memory), record.schema) as writer:
        writer.write_batch(record)
    return pa.ipc.open_stream(memory).read_next_batch()
