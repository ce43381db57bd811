"""The GPU of this process: the one thread that calls its libraries, its streams, and its memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from arrowstream.gpu import libraries as cuda
from arrowstream.gpu.breaker import Breaker
from arrowstream.gpu.staging import in_pinned_memory
from arrowstream.gpu.text_limit import check_text, text_sizes

if TYPE_CHECKING:
    import pylibcudf as plc
    from rmm.pylibrmm.stream import Stream

T = TypeVar("T")

MIB = 2**20

MOST_CONSTANTS = 4_096
"""Constants that are kept on the device: those of all pipelines that have run."""

MOST_KEPT = 16
"""Uploads and batches that may wait to be let go, before the device is waited for."""


class Device:
    """One GPU. All calls of CUDA libraries but uploads are made inside `run`, on the device's own thread.

    Work is queued on the stream `compute`, and is done in the order of the calls, after they have returned. Uploads
    have a thread and a stream of their own, so that the next batch comes while this one is computed.

    Parameters
    ----------
    number
        The number of the GPU, from 0.
    memory_mb
        Limit of the memory that batches may take on the GPU, in MiB. A call that needs more raises MemoryError.

    Attributes
    ----------
    compute : rmm.pylibrmm.stream.Stream
        The stream of all work but uploads.
    breaker : Breaker
        Whether the device is given work at all.
    """

    def __init__(self, number: int = 0, memory_mb: int = 1024) -> None:
        self.number = number
        self.breaker = Breaker()
        self._work = ThreadPoolExecutor(1, f"arrowstream-gpu-{number}")
        self._transport = ThreadPoolExecutor(1, f"arrowstream-gpu-{number}-uploads")
        self._kept: list[Any] = []
        self._scalars: dict[tuple[pa.DataType, str], plc.Scalar] = {}
        self._memory_mb = 0
        self.compute: Stream
        self._copies: Stream
        self._thread = -1
        try:
            for thread in (self._work, self._transport):
                thread.submit(cuda.cupy.cuda.Device(number).use).result()
            self.run(lambda: self._open(memory_mb))
        except BaseException:
            self.close()
            raise

    def _open(self, memory_mb: int) -> None:
        self._thread = threading.get_ident()
        flags = cuda.rmm.pylibrmm.stream.CudaStreamFlags.NON_BLOCKING
        self.compute = cuda.rmm.pylibrmm.stream.Stream(flags=flags)
        self._copies = cuda.rmm.pylibrmm.stream.Stream(flags=flags)
        # What is uploaded, and only its memory, is waited for: CuPy knows events, rmm does not.
        self._compute = cuda.cupy.cuda.Stream.from_external(self.compute)
        self._uploads = cuda.cupy.cuda.Stream.from_external(self._copies)
        # The driver's own pool. Never managed memory: asking for more than the card has can hang the whole GPU.
        self._pool = cuda.rmm.mr.CudaAsyncMemoryResource()
        self._limited: dict[int, cuda.rmm.mr.LimitingResourceAdaptor] = {}
        self._limit_memory(memory_mb)

    def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns on the device's thread."""
        if threading.get_ident() == self._thread:
            return work()
        return self._work.submit(work).result()

    def close(self) -> None:
        """End the threads of the device."""
        self._work.shutdown()
        self._transport.shutdown()

    def limit_memory(self, memory_mb: int) -> None:
        """Set the limit for what is allocated from now on, in MiB."""
        if memory_mb != self._memory_mb:
            self.run(lambda: self._limit_memory(memory_mb))

    def _limit_memory(self, memory_mb: int) -> None:
        self._memory_mb = memory_mb
        # One for each limit: pipelines that take turns with different limits are counted on, not from 0 again.
        if memory_mb not in self._limited:
            self._limited[memory_mb] = cuda.rmm.mr.LimitingResourceAdaptor(self._pool, memory_mb * MIB)
        cuda.rmm.mr.set_per_device_resource(self.number, self._limited[memory_mb])

    def upload(self, record: pa.RecordBatch) -> plc.Table:
        """Return a table of a record's columns, whose types must be `device_type`s.

        The copies may not be done when this returns; calls on `compute` that are made later wait for them. May be
        called from any thread.

        Raises
        ------
        MemoryError
            The device has no room for it, or the record more text than a column can have.
        """
        check_text(text_sizes(record))
        return self._transport.submit(self._upload, record).result()

    def _upload(self, record: pa.RecordBatch) -> plc.Table:
        staged = in_pinned_memory(record)
        try:
            table = cuda.plc.Table.from_arrow(staged, stream=self._copies)
        finally:
            # Also if it fails, which it may after it has begun to copy.
            self.retain(staged)
        self.retain(table)
        ready = cuda.cupy.cuda.Event(disable_timing=True)
        ready.record(self._uploads)
        self._compute.wait_event(ready)
        return table

    def retain(self, used: Any) -> None:
        """Keep what queued work reads until that is done, because it was brought by a stream of its own."""
        if len(self._kept) >= MOST_KEPT:
            # Before, not after: more work will be queued that reads what is kept now.
            self.synchronize()
        self._kept.append(used)

    def using(self, brought: Any, work: Callable[[], T]) -> T:
        """Return what `work` returns, and keep what it reads until the work that it has queued is done.

        Also if it fails, as it may have queued some. Memory goes back in the order of the stream that it was brought
        on, which may be ahead of this work. Called on the device's thread.
        """
        try:
            return work()
        finally:
            self.retain(brought)

    def download(self, columns: list[plc.Column], schema: pa.Schema) -> pa.RecordBatch:
        """Return columns in host memory, as `schema` says; waits for all work that was queued."""
        table = cuda.plc.Table(columns)
        metadata: list[plc.interop.ColumnMetadata | str] = [_metadata(field) for field in schema]
        found = table.to_arrow(metadata=metadata, stream=self.compute)
        self.synchronize()
        # The types that the device does not keep: large strings come back as strings, columns without nulls as
        # not nullable.
        arrays = [
            _one(array).cast(field.type) for array, field in zip(pa.table(found).columns, schema, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def synchronize(self) -> None:
        """Wait for all queued work, and let go what it needed."""
        # What comes meanwhile is kept for the next time.
        kept, self._kept = self._kept, []
        self._copies.synchronize()
        self.compute.synchronize()
        kept.clear()

    def scalar(self, value: Any, dtype: pa.DataType) -> plc.Scalar:
        """Return a constant on the device, made once as long as there are not too many."""
        # By its text: 0.0 equals -0.0, and NaN not itself.
        key = (dtype, repr(value))
        if key not in self._scalars:
            if len(self._scalars) == MOST_CONSTANTS:
                self._scalars.clear()
            array = pa.array([value], dtype)
            try:
                # Not `Scalar.from_arrow`, which reads the column that it makes on another stream than it was made on.
                column = cuda.plc.Column.from_arrow(array, stream=self.compute)
                self._scalars[key] = column.to_scalar(stream=self.compute)
            finally:
                self.retain(array)
        return self._scalars[key]


_OPENED: dict[int, Device] = {}
_OPENING = threading.Lock()


def device_of_process(number: int) -> Device:
    """Return the GPU of this process with this number, opened once, whichever threads ask for it first."""
    with _OPENING:
        if number not in _OPENED:
            _OPENED[number] = Device(number)
        return _OPENED[number]


def _one(array: pa.ChunkedArray) -> pa.Array:
    return array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()


def _metadata(field: pa.Field) -> plc.interop.ColumnMetadata:
    """Return what the device does not keep of a field."""
    found = cuda.plc.interop.ColumnMetadata(name=field.name)
    if pa.types.is_timestamp(field.type) and field.type.tz:
        found.timezone = field.type.tz
    return found
