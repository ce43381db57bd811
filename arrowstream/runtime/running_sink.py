"""A sink while it runs: counted, timed, limited, and committed in two phases."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from arrowstream.core.batch import Batch, Element
from arrowstream.core.clock import Clock
from arrowstream.errors import SinkError
from arrowstream.io.sink import BlockingWriter, Handle, Writer
from arrowstream.metrics.counters import StageCounters
from arrowstream.runtime.failure.stage_error import FAILURES, stage_error
from arrowstream.runtime.failure.timeout import Attempt
from arrowstream.runtime.threads import Threads

_log = logging.getLogger("arrowstream")


class RunningSink:
    """A writer with counters and a limit of rows.

    One that is `best_effort` is lost at its first failure, which is logged; the run goes on without it.

    Parameters
    ----------
    label
        The sink's own label, for errors about several sinks.
    """

    __slots__ = (
        "_attempt",
        "_best_effort",
        "_clock",
        "_ended",
        "_handle",
        "_limit",
        "_on_write",
        "_threads",
        "_write",
        "_writer",
        "blocking",
        "label",
        "lost",
        "tally",
    )

    def __init__(
        self,
        name: str,
        label: str,
        writer: Writer | BlockingWriter,
        clock: Clock,
        threads: Threads,
        *,
        limit: int | None,
        on_write: Callable[[], None],
        best_effort: bool = False,
    ) -> None:
        self.tally = StageCounters(name)
        self.label = label
        self.lost = False
        self._best_effort = best_effort
        self._attempt: Attempt = self.attempt
        self._writer = writer
        self._clock = clock
        self._threads = threads
        self._limit = limit
        self._on_write = on_write
        self._handle: Handle | None = None
        self._ended = False
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

    async def prepare(self, epoch: int) -> None:
        """Do everything that can fail before `commit`; a best-effort sink that fails is aborted."""
        if not self.lost:
            try:
                self._handle = await self._call(self._writer.prepare, epoch)
            except FAILURES as error:
                if not self._best_effort:
                    raise
                self.lose(error)
        if self.lost:
            await self._abort_lost()

    async def commit(self) -> None:
        """Make what was prepared visible; a sink whose `commit` fails is aborted."""
        if self.lost:
            return
        try:
            await self._call(self._writer.commit, self._handle)
        except FAILURES as error:
            if not self._best_effort:
                raise
            self.lose(error)
            await self._abort_lost()
        else:
            self._ended = True

    async def close(self) -> None:
        """Let go of the writer of a sink that has committed."""
        if self.lost:
            return
        try:
            await self._call(self._writer.close)
        except FAILURES as error:
            if not self._best_effort:
                raise
            self.lose(error)

    async def abort(self) -> None:
        """Leave nothing half-written visible; does nothing after `commit`, or a second time."""
        if not self._ended:
            self._ended = True
            await self._call(self._writer.abort)

    async def _abort_lost(self) -> None:
        try:
            await self.abort()
        except FAILURES as error:
            _log.warning("%s may have left something half-written: %s", self.tally.name, error)

    async def _call(self, method: Callable[..., Any], *arguments: object) -> Any:
        begin = self._clock.now_ns()
        try:
            if self.blocking:
                return await self._threads.call(method, *arguments)
            return await method(*arguments)
        except FAILURES as error:
            raise stage_error(self.tally.name, None, error, SinkError) from error
        finally:
            self.tally.busy_ns += self._clock.now_ns() - begin
