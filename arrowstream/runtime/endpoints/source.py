"""A source while it runs: counted, timed, stopped between two batches, with barriers injected between batches."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from arrowstream.core.batch import Barrier, Batch, Element
from arrowstream.core.failures import is_failure
from arrowstream.core.notes import ReaderNote
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.errors import SourceError, StageError
from arrowstream.io.source import BlockingReader, Reader
from arrowstream.metrics.counters import StageCounters
from arrowstream.operators.base import Expressions
from arrowstream.runtime.failure.stage_error import stage_error
from arrowstream.runtime.failure.timeout import end_tasks
from arrowstream.runtime.flow.ports import Received
from arrowstream.runtime.resources import Resources
from arrowstream.runtime.snapshots import Snapshots
from arrowstream.runtime.timed import Suspended

Read = tuple[Element | None, SourcePosition | None]
"""An element, or None at the end, and the position after it; the position is None if not resumable."""


class RunningSource:
    """A reader with counters and a gentle stop between two batches.

    If the run has a snapshot store, the position at each barrier is saved there before the barrier is passed on, and
    a barrier that is injected while the source waits for its next batch is passed on at once.

    Parameters
    ----------
    name
        The source's id in reports, metrics and errors.
    reader
        The open reader; a `BlockingReader` is called on worker threads.
    resources
        The run's clock, threads and snapshot store.
    inside
        The steps that run inside the read, which its errors name.
    state_id
        The id of its saved position.
    """

    __slots__ = (
        "_barriers",
        "_begin_read",
        "_clock",
        "_injected",
        "_inside",
        "_interrupted",
        "_now_ns",
        "_over",
        "_pending",
        "_reader",
        "_reading",
        "_snapshots",
        "_stopped",
        "_threads",
        "_waits",
        "blocking",
        "counters",
        "ended",
        "position",
        "queue",
        "write_bad_rows",
    )

    def __init__(
        self,
        name: str,
        reader: Reader | BlockingReader,
        resources: Resources,
        inside: Sequence[Expressions] = (),
        state_id: str = "source",
    ) -> None:
        self.counters = StageCounters(name)
        self.queue = None
        self.write_bad_rows: Callable[[Batch], Awaitable[None]] | None = None
        """Writes a batch of rows that the reader could not read; None if they are only counted."""
        self._reader = reader
        self._inside = inside
        self._snapshots = Snapshots(name, state_id, resources)
        self._threads = resources.threads
        self._clock = resources.clock
        self._now_ns = resources.clock.now_ns
        self._stopped = False
        self._interrupted = False
        self._over = False
        self._reading: asyncio.Task[object] | None = None
        self._barriers: deque[Barrier] = deque()
        self._injected: asyncio.Future[None] | None = None
        self._pending: asyncio.Task[Read] | None = None
        self.position = reader.position()
        """The position after the last element handed out; only kept up to date if the run has a snapshot store."""
        self.ended = False
        """True if the stream has ended by itself."""
        self.blocking = isinstance(reader, BlockingReader)
        self._waits = self.blocking or self._snapshots.enabled
        """True if a read always waits: for a worker thread, or for a barrier that may come before its batch."""
        self._begin_read: Callable[[], Received] = (
            self._on_thread(reader) if isinstance(reader, BlockingReader) else reader.begin_read
        )

    @property
    def total_rows(self) -> int | None:
        """Number of rows that the source will read in all; None if unknown."""
        return self._reader.total_rows

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        """The reader's notes about rows that it had to change or leave out."""
        return self._reader.notes

    def stop(self) -> None:
        """Stop reading; a source that only waits for its next batch is interrupted."""
        self._stopped = True
        if self._reading is not None and not self._interrupted:
            self._interrupted = True
            self._reading.cancel()

    def inject(self, barrier: Barrier) -> bool:
        """Put `barrier` between the last element that was read and the next one.

        Returns
        -------
        bool
            False if the stream has ended and the barrier will not come out; `position`, which no longer changes, then
            belongs to every later checkpoint.
        """
        if not self._over:
            self._barriers.append(barrier)
            if self._injected is not None and not self._injected.done():
                self._injected.set_result(None)
        return not self._over

    async def receive(self) -> Element | None:
        """Return the next element; None at the end of the stream or after `stop`.

        Raises
        ------
        SourceError
            The read failed. An error of a step inside the read names this step.
        """
        received = self.begin_receive()
        return await received if isinstance(received, Awaitable) else received

    def begin_receive(self) -> Received:
        """Return the result of `receive` if the reader has it at hand, else an awaitable of it."""
        if self._waits or self._stopped or self._barriers:
            return self._receive()
        begin = self._now_ns()
        try:
            read = self._begin_read()
        except BaseException as error:
            if not is_failure(error):
                raise
            raise self._failed(error) from error
        if isinstance(read, Batch):
            # As in `_count`, without a call: every batch passes here.
            counters = self.counters
            read.ingest_ns = end = self._now_ns()
            counters.busy_ns += end - begin
            counters.record_output(read)
            counters.record_call("read")
            counters.rows_in = counters.rows_out
            return read
        if isinstance(read, Awaitable):
            return self._receive(read)
        self.ended = read is None
        self._count(read)
        return read

    async def _receive(self, reading: Awaitable[Element | None] | None = None) -> Element | None:
        """Return the next element where that may wait; `reading` is a read that has begun."""
        if self._barriers:
            element: Element | None = self._barriers.popleft()
        elif self._stopped and self._pending is None and reading is None:
            element = None
        else:
            element = await self._next(reading)
        self._count(element)
        if isinstance(element, Barrier):
            await self._save(element)
        return element

    def _count(self, element: Element | None) -> None:
        """Count an element that is handed out."""
        if isinstance(element, Batch):
            element.ingest_ns = self._now_ns()
            self.counters.record_output(element)
            self.counters.record_call("read")
        elif element is not None:
            self.counters.record_mark(element)
        else:
            self._over = True
        if not self.blocking:
            self.counters.rows_in = self.counters.rows_out

    def on_failure(self, failure: BaseException) -> None:
        """Give the reader the failure that ended the run, before it is closed."""
        if isinstance(self._reader, Reader):
            self._reader.on_failure(failure)

    async def close(self) -> None:
        """Close the reader; cancel a read that is under way first."""
        if self._pending is not None:
            await end_tasks(self._pending)
        try:
            if isinstance(self._reader, BlockingReader):
                await self._threads.call(self._reader.close)
            else:
                await self._reader.close()
        except BaseException as error:
            if not is_failure(error):
                raise
            raise stage_error(self.counters.name, None, error, SourceError) from error

    async def _next(self, reading: Awaitable[Element | None] | None) -> Element | None:
        try:
            if self._snapshots.enabled:
                element = await self._next_or_barrier()
            else:
                element = await (self._read() if reading is None else self._interruptible(reading))
        except BaseException as error:
            if not is_failure(error):
                raise
            raise self._failed(error) from error
        if element is None:
            self.ended = not self._interrupted
        return element

    def _failed(self, error: BaseException) -> BaseException:
        """Count a failure; return the error that names it."""
        self.counters.errors += 1
        return stage_error(self._failing(error), None, error, SourceError)

    async def _next_or_barrier(self) -> Element | None:
        """Return the next element, or a barrier that comes meanwhile; the read then goes on."""
        if self._pending is None:
            self._pending = asyncio.ensure_future(self._read_with_position())
        self._injected = asyncio.get_running_loop().create_future()
        await asyncio.wait((self._pending, self._injected), return_when=asyncio.FIRST_COMPLETED)
        if self._barriers:
            return self._barriers.popleft()
        read, self._pending = self._pending, None
        element, self.position = read.result()
        return element

    async def _read_with_position(self) -> Read:
        return await self._read(), self._reader.position()

    async def _read(self) -> Element | None:
        begin = self._now_ns()
        read = self._begin_read()
        if isinstance(read, Awaitable):
            return await (read if self.blocking else self._interruptible(read))
        self.counters.busy_ns += self._now_ns() - begin
        return read

    async def _save(self, barrier: Barrier) -> None:
        """Save the position at a barrier, if the source is resumable."""
        if self.position is not None:
            await self._snapshots.save_position(barrier.epoch, self.position)

    def _failing(self, error: BaseException) -> str:
        """Return the name of the failing part: the source, or all steps inside its read."""
        if not self._inside or isinstance(error, SourceError) or not isinstance(error, StageError):
            return self.counters.name
        return f"{self.counters.name}, in {', '.join(step.describe() for step in self._inside)}"

    def _on_thread(self, reader: BlockingReader) -> Callable[[], Awaitable[Element | None]]:
        async def read() -> Element | None:
            element = await read_once()
            while reader.empty_is_progress and _is_empty(element):
                if self._stopped:
                    self._interrupted = True
                    return None
                element = await read_once()
            return element

        async def read_once() -> Element | None:
            begin, before_ns = self._clock.now_ns(), reader.waited_ns
            element = await self._threads.call(reader.read)
            counters, took_ns = self.counters, self._clock.now_ns() - begin
            waited_ns = min(took_ns, reader.waited_ns - before_ns)
            counters.waiting_ns += waited_ns
            counters.busy_ns += took_ns - waited_ns
            bad = reader.take_bad_rows()
            if bad is not None:
                await self._leave_out(Batch(bad))
            looked_at = reader.rows_read
            handed_out = counters.rows_out + (element.num_rows if isinstance(element, Batch) else 0)
            handed_out += counters.failed_rows
            counters.rows_in = handed_out if looked_at is None else looked_at
            return element

        return read

    async def _leave_out(self, bad: Batch) -> None:
        """Count rows that could not be read, and write them to their sink if they have one."""
        if self.write_bad_rows is None:
            self.counters.record_skipped(bad.num_rows)
        else:
            await self.write_bad_rows(bad)
            self.counters.record_dead_letters(bad.num_rows)

    async def _interruptible(self, reading: Awaitable[Element | None]) -> Element | None:
        task = asyncio.current_task()
        assert task is not None
        self._reading = task
        try:
            begin, waited_ns = self._clock.now_ns(), 0
            steps = reading.__await__()
            try:
                asked = next(steps)
            except StopIteration as stop:
                element: Element | None = stop.value
            else:
                rest = Suspended(steps, asked, self._clock, self.counters)
                element = await rest
                waited_ns = rest.waited_ns
            self.counters.busy_ns += self._clock.now_ns() - begin - waited_ns
            return element
        except asyncio.CancelledError:
            # Only our own interruption ends the stream; a cancellation from outside goes on.
            if self._interrupted and task.uncancel() == 0:
                return None
            raise
        finally:
            self._reading = None


def _is_empty(element: Element | None) -> bool:
    """Return whether an element is a batch without rows."""
    return isinstance(element, Batch) and not element.num_rows
