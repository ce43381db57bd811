"""Records in pinned host memory, from which the GPU copies by itself and several times as fast."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from arrowstream.gpu import libraries as cuda

_AROUND = 1_024
"""Bytes for what the format writes between the schema and the record, and after it."""


def in_pinned_memory(record: pa.RecordBatch) -> pa.RecordBatch:
    """Return the same rows with all buffers in one stretch of pinned memory, without rows outside of a slice.

    CuPy keeps pinned memory that is let go, so that the next record takes it over.
    """
    size = record.schema.serialize().size + pa.ipc.get_record_batch_size(record) + _AROUND
    memory = pa.py_buffer(cuda.cupyx.empty_pinned((size,), dtype=np.uint8))
    with pa.ipc.new_stream(pa.FixedSizeBufferWriter(memory), record.schema) as writer:
        writer.write_batch(record)
    return pa.ipc.open_stream(memory).read_next_batch()
