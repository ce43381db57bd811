"""Asynchronous copies from the host: they read its memory late, and mind if it is gone by then."""

import weakref
from typing import Any

import pyarrow as pa

from fake_gpu.arrow import copied, plain
from fake_gpu.queues import Queue, covers


class Upload:
    """A copy of a record to the device, the newest work of a queue.

    Parameters
    ----------
    queue
        Where it is done.
    owner
        Whose life tells whether the record's memory is kept: the object that was given to pylibcudf.
    batch
        The same memory.
    """

    def __init__(self, queue: Queue, owner: Any, batch: pa.RecordBatch) -> None:
        self._queue = queue
        self._position = queue.position
        # Other objects over the same memory, so that the owner can go, as it can on a device.
        self._source: pa.RecordBatch | None = pa.RecordBatch.from_arrays(batch.columns, schema=batch.schema)
        self._columns: list[pa.Array] = []
        machine = queue.machine
        with machine.lock:
            machine.pending.append(self)
        weakref.finalize(owner, self._gone).atexit = False

    def read(self) -> list[pa.Array]:
        """Read the host's memory, unless that was done."""
        with self._queue.machine.lock:
            if self._source is not None:
                self._columns = [plain(column) for column in copied(self._source).columns]
                self._source = None
            return self._columns

    def is_done(self) -> bool:
        return covers(self._queue.machine.host, self._queue.number, self._position)

    def _gone(self) -> None:
        machine = self._queue.machine
        with machine.lock:
            if not self.is_done():
                machine.violations.append(
                    "a host record was let go before its asynchronous upload, on stream"
                    f" {self._queue.number}, was synchronised; keep it until then"
                )
