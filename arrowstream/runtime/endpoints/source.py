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
from arrowstream.runtime.checkpoints.snapshots import Snapshots
from arrowstream.runtime.endpoints.bad_rows import BadRows
from arrowstream.runtime.failure.stage_error import stage_error
from arrowstream.runtime.failure.timeout import end_tasks
from arrowstream.runtime.flow.ports import Received
from arrowstream.runtime.resources import Resources
from arrowstream.runtime.timed import Suspended


class RunningSource:
    """A reader with counters and a gentle stop between two batches.

    With a snapshot store, positions are saved at barriers.

    Parameters
    ----------
    name
        The source's id in reports, metrics and errors.
    reader
        The open reader; a `BlockingReader` is called on worker threads.
    resources
        The run's resources.
    inside
        The steps that run inside the read, which its errors name.
    state_id
        The id of its saved position.
    barriers
        Whether a barrier does not wait for the next batch, as with a snapshot store.
    """

    __slots__ = (
        "_barriers",
        "_barriers_at_once",
        "_begin_read",
        "_clock",
        "_halted",
        "_injected",
        "_inside",
        "_interrupted",
        "_now_ns",
        "_over",
        "_pending",
        "_position_before",
        "_reader",
        "_reading",
        "_snapshots",
        "_stopped",
        "_threads",
        "bad_rows",
        "barrier_position",
        "blocking",
        "counters",
        "ended",
        "queue",
        "saved_epoch",
    )

    def __init__(
        self,
        name: str,
        reader: Reader | BlockingReader,
        resources: Resources,
        inside: Sequence[Expressions] = (),
        state_id: str = "source",
        *,
        barriers: bool = False,
    ) -> None:
        self.counters = StageCounters(name, reader)
        self.queue = None
        self._reader = reader
        self._inside = inside
        self._snapshots = Snapshots(name, state_id, resources)
        self._threads = resources.threads
        self._clock = resources.clock
        self._now_ns = resources.clock.now_ns
        self._stopped = self._halted = False
        self._interrupted = False
        self._over = False
        self._reading: asyncio.Task[object] | None = None
        self._barriers: deque[Barrier] = deque()
        self._injected: asyncio.Future[None] | None = None
        self._pending: asyncio.Task[Element | None] | None = None
        self._position_before: SourcePosition | None = None  # before the read that is under way
        self.barrier_position: SourcePosition | None = None  # at the last barrier, or at the end
        self.saved_epoch = 0
        self.ended = False
        self.blocking = isinstance(reader, BlockingReader)
        self._barriers_at_once = barriers or self._snapshots.enabled
        self.bad_rows = BadRows(self.counters, held=self._barriers_at_once)
        self._begin_read: Callable[[], Received] = (
            self._on_thread(reader) if isinstance(reader, BlockingReader) else reader.begin_read
        )

    @property
    def position(self) -> SourcePosition | None:
        """Position after the last element that was handed out; None if the reader does not know it."""
        return self._reader.position() if self._pending is None else self._position_before

    @property
    def total_rows(self) -> int | None:
        """Number of rows in all; None if unknown."""
        return self._reader.total_rows

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        """The reader's notes."""
        return self._reader.notes

    def stop(self) -> None:
        """Stop reading, also while the source waits for its next batch."""
        self._stopped = True
        if self._reading is not None and not self._interrupted:
            self._interrupted = True
            self._reading.cancel()

    def inject(self, barrier: Barrier) -> bool:
        """Put `barrier` between the last element that was read and the next one.

        Returns
        -------
        bool
            False if the stream has ended: the barrier will not come out, and `position` no longer changes.
        """
        if not self._over:
            self._barriers.append(barrier)
            if self._injected is not None and not self._injected.done():
                self._injected.set_result(None)
        else:
            self.barrier_position = self.position
        return not self._over

    def halt(self) -> None:
        """Hand out the barriers that were injected, and then nothing more, not even what has been read."""
        self._halted = True
        self.stop()

    def save_position(self, epoch: int) -> None:
        """Begin to save the position between the last element that was handed out and the next one, or at the end."""
        self.barrier_position, self.saved_epoch = self.position, epoch
        if self.barrier_position is not None:
            self._snapshots.save_position(epoch, self.barrier_position)

    async def acknowledge(self, position: SourcePosition) -> bool:
        """Pass on to the reader that every sink has the rows before `position`; return False to be asked again."""
        return not isinstance(self._reader, Reader) or await self._reader.acknowledge(position)

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
        if self.blocking or self._stopped or self._barriers or self._pending is not None:
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
        element: Element | None
        if reading is not None:
            element = await self._next(reading)
        elif self._barriers:
            element = self._barriers.popleft()
        elif self._halted or (self._stopped and self._pending is None):
            element = None
        else:
            element = await self._next(None)
        self._count(element)
        if isinstance(element, Barrier):
            self.save_position(element.epoch)
            await self.bad_rows.pass_barrier(element)
        elif element is None:
            await self.bad_rows.end()
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
            if self._barriers_at_once:
                element = await self._next_or_barrier(reading)
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
        self.counters.record_error(error)
        return stage_error(self._failing(error), None, error, SourceError)

    async def _next_or_barrier(self, reading: Awaitable[Element | None] | None) -> Element | None:
        """Return the next element, or a barrier that comes meanwhile; the read then goes on."""
        if self._pending is None:
            self._position_before = self._reader.position()
            self._pending = asyncio.ensure_future(
                self._read() if reading is None else self._interruptible(reading)
            )
        self._injected = asyncio.get_running_loop().create_future()
        await asyncio.wait((self._pending, self._injected), return_when=asyncio.FIRST_COMPLETED)
        if self._barriers:
            return self._barriers.popleft()
        read, self._pending = self._pending, None
        element = read.result()
        # No barrier may come between the end and the bad rows before it: nothing would hand it out.
        self._over = element is None
        await self.bad_rows.release()
        return element

    async def _read(self) -> Element | None:
        """Return the next element of a reader that blocks."""
        read = self._begin_read()
        assert isinstance(read, Awaitable)
        return await read

    def _failing(self, error: BaseException) -> str:
        if not self._inside or isinstance(error, SourceError) or not isinstance(error, StageError):
            return self.counters.name
        return f"{self.counters.name}, in {', '.join(step.describe() for step in self._inside)}"

    def _on_thread(self, reader: BlockingReader) -> Callable[[], Awaitable[Element | None]]:
        async def read() -> Element | None:
            element = await read_once()
            while reader.empty_is_progress and isinstance(element, Batch) and not element.num_rows:
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
            await self.bad_rows.take(reader.take_bad_rows())
            looked_at = reader.rows_read
            handed_out = counters.rows_out + (element.num_rows if isinstance(element, Batch) else 0)
            handed_out += counters.failed_rows
            counters.rows_in = handed_out if looked_at is None else looked_at
            return element

        return read

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
            if self._interrupted and task.uncancel() == 0:
                return None
            raise  # from outside
        finally:
            self._reading = None
