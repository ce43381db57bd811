"""The two ends of a pipeline while it runs: counted, timed, with errors that name their stage."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from arrowstream.core.batch import Batch, Element
from arrowstream.core.clock import Clock
from arrowstream.core.notes import ReaderNote
from arrowstream.errors import SinkError, SourceError, StageError
from arrowstream.io.sink import BlockingWriter, Writer
from arrowstream.io.source import BlockingReader, Reader
from arrowstream.metrics.counters import StageCounters
from arrowstream.operators.base import Expressions
from arrowstream.runtime.failure.stage_error import FAILURES, stage_error
from arrowstream.runtime.failure.timeout import Attempt
from arrowstream.runtime.threads import Threads

T = TypeVar("T")
_log = logging.getLogger("arrowstream")


class RunningSource:
    """A reader with counters and a gentle stop between two batches.

    Parameters
    ----------
    inside
        The steps that run inside the read, for errors of theirs.
    """

    __slots__ = (
        "_clock",
        "_inside",
        "_interrupted",
        "_read",
        "_reader",
        "_reading",
        "_stopped",
        "_threads",
        "blocking",
        "tally",
    )

    def __init__(
        self,
        name: str,
        reader: Reader | BlockingReader,
        clock: Clock,
        threads: Threads,
        inside: Sequence[Expressions] = (),
    ) -> None:
        self.tally = StageCounters(name)
        self._reader = reader
        self._inside = inside
        self._clock = clock
        self._threads = threads
        self._stopped = False
        self._interrupted = False
        self._reading: asyncio.Task[object] | None = None
        self.blocking = isinstance(reader, BlockingReader)
        self._read: Callable[[], Awaitable[Element | None]] = (
            self._on_thread(reader) if isinstance(reader, BlockingReader) else reader.read
        )

    @property
    def total_rows(self) -> int | None:
        """Rows it will read in all, if it can tell."""
        return self._reader.total_rows

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        """What its reader has to say about rows that it could not hand out as they were."""
        return self._reader.notes

    def stop(self) -> None:
        """Read nothing more; a source that only waits for its next batch is interrupted."""
        self._stopped = True
        if self._reading is not None and not self._interrupted:
            self._interrupted = True
            self._reading.cancel()

    async def read(self) -> Element | None:
        """The next element, or None at the end of the stream or after `stop`."""
        if self._stopped:
            return None
        tally = self.tally
        try:
            element = await (self._read() if self.blocking else self._interruptible())
        except FAILURES as error:
            tally.errors += 1
            raise stage_error(self._failing(error), None, error, SourceError) from error
        if isinstance(element, Batch):
            element.ingest_ns = self._clock.now_ns()
            tally.came_out(element)
            tally.count("read")
        elif element is not None:
            tally.saw(element)
        if not self.blocking:
            tally.rows_in = tally.rows_out
        return element

    async def close(self) -> None:
        """Let go of the reader."""
        try:
            if isinstance(self._reader, BlockingReader):
                await self._threads.call(self._reader.close)
            else:
                await self._reader.close()
        except FAILURES as error:
            raise stage_error(self.tally.name, None, error, SourceError) from error

    def _failing(self, error: BaseException) -> str:
        """What failed by the name of its stage: the read, or the steps inside it, though not which of them."""
        if not self._inside or isinstance(error, SourceError) or not isinstance(error, StageError):
            return self.tally.name
        return f"{self.tally.name}, in {', '.join(step.describe() for step in self._inside)}"

    def _on_thread(self, reader: BlockingReader) -> Callable[[], Awaitable[Element | None]]:
        async def read() -> Element | None:
            begin = self._clock.now_ns()
            batch = await self._threads.call(reader.read)
            tally = self.tally
            tally.busy_ns += self._clock.now_ns() - begin
            looked_at = reader.rows_read
            handed_out = tally.rows_out + (batch.num_rows if batch is not None else 0)
            tally.rows_in = handed_out if looked_at is None else looked_at
            return batch

        return read

    async def _interruptible(self) -> Element | None:
        task = asyncio.current_task()
        assert task is not None
        self._reading = task
        try:
            return await self._read()
        except asyncio.CancelledError:
            # Only our own interruption ends the stream; a cancellation from outside goes on.
            if self._interrupted and task.uncancel() == 0:
                return None
            raise
        finally:
            self._reading = None


class RunningSink:
    """A writer with counters and a limit of rows.

    One that is `best_effort` is lost at its first failure, which is logged; the run goes on without it.
    """

    __slots__ = (
        "_attempt",
        "_best_effort",
        "_clock",
        "_limit",
        "_on_write",
        "_threads",
        "_write",
        "_writer",
        "blocking",
        "lost",
        "tally",
    )

    def __init__(
        self,
        name: str,
        writer: Writer | BlockingWriter,
        clock: Clock,
        threads: Threads,
        *,
        limit: int | None,
        on_write: Callable[[], None],
        best_effort: bool = False,
    ) -> None:
        self.tally = StageCounters(name)
        self._best_effort = best_effort
        self.lost = False
        self._attempt: Attempt = self.attempt
        self._writer = writer
        self._clock = clock
        self._threads = threads
        self._limit = limit
        self._on_write = on_write
        self.blocking = isinstance(writer, BlockingWriter)
        self._write: Callable[[Batch], Awaitable[None]] = (
            partial(threads.call, writer.write) if isinstance(writer, BlockingWriter) else writer.write
        )

    @property
    def full(self) -> bool:
        """Whether the limit of rows is reached."""
        return self._limit is not None and self.tally.rows_out >= self._limit

    async def write(self, element: Element) -> None:
        """Write a batch, or what the limit still lets through of it."""
        if not isinstance(element, Batch):
            self.tally.saw(element)
            return
        batch, tally = element, self.tally
        if self._limit is not None and batch.num_rows > self._limit - tally.rows_out:
            batch = batch.slice(0, self._limit - tally.rows_out)
        rows = batch.num_rows
        if rows == 0:
            return
        await self._attempt(batch)
        tally.rows_in += rows
        self._on_write()

    async def attempt(self, batch: Batch) -> list[Element]:
        """Write a batch once."""
        begin = self._clock.now_ns()
        try:
            await self._write(batch)
        except FAILURES as error:
            self.tally.errors += 1
            raise stage_error(self.tally.name, batch, error, SinkError) from error
        end, tally = self._clock.now_ns(), self.tally
        tally.came_out(batch)
        taken, read = end - begin, batch.ingest_ns
        if read is None:
            tally.ran("write", 0, taken, taken)
        else:
            tally.ran("write", batch.num_rows, taken, end - read)
        return []

    def govern(self, attempts: Callable[[Attempt], Attempt]) -> None:
        """Let `attempts` decide how often, and with which parts of a batch, writing is tried."""
        self._attempt = attempts(self._attempt)

    def lose(self, error: BaseException) -> None:
        """Go on without this sink."""
        self.lost = True
        _log.warning("%s gets nothing more: %s", self.tally.name, error)

    async def finish(self) -> None:
        """Make everything visible and durable; a sink that was lost is aborted."""
        if not self.lost:
            try:
                return await self._finish()
            except FAILURES as error:
                if not self._best_effort:
                    raise
                self.lose(error)
        try:
            await self.abort()
        except FAILURES as error:
            _log.warning("%s may have left something half-written: %s", self.tally.name, error)

    async def _finish(self) -> None:
        begin = self._clock.now_ns()
        try:
            if isinstance(self._writer, BlockingWriter):
                await self._threads.call(self._writer.finish)
            else:
                await self._writer.finish()
        except FAILURES as error:
            raise stage_error(self.tally.name, None, error, SinkError) from error
        self.tally.busy_ns += self._clock.now_ns() - begin

    async def abort(self) -> None:
        """Leave nothing half-written visible."""
        try:
            if isinstance(self._writer, BlockingWriter):
                await self._threads.call(self._writer.abort)
            else:
                await self._writer.abort()
        except FAILURES as error:
            raise stage_error(self.tally.name, None, error, SinkError) from error


def opened(stage: str, kind: type[StageError], open_it: Callable[[], T]) -> T:
    """Open an end; what goes wrong names it."""
    try:
        return open_it()
    except FAILURES as error:
        raise stage_error(stage, None, error, kind) from error
