"""A source while it runs: counted, timed, and stopped between two batches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from arrowstream.core.batch import Batch, Element
from arrowstream.core.clock import Clock
from arrowstream.errors import SourceError, StageError
from arrowstream.io.source import BlockingReader, Reader
from arrowstream.metrics.counters import StageCounters
from arrowstream.operators.base import Expressions
from arrowstream.runtime.failure.stage_error import FAILURES, stage_error
from arrowstream.runtime.threads import Threads


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
