"""A sink while it runs: counted, timed, limited, and committed in two phases."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from arrowstream.core.batch import Barrier, Batch, Element
from arrowstream.core.failures import FAILURES, is_failure
from arrowstream.errors import SinkError, UndeliveredRows
from arrowstream.io.writer import BlockingWriter, Handle, Writer
from arrowstream.metrics.counters import StageCounters
from arrowstream.runtime.endpoints.allowance import Share
from arrowstream.runtime.endpoints.missing_floats import MissingFloats
from arrowstream.runtime.failure.stage_error import stage_error
from arrowstream.runtime.failure.timeout import Attempt
from arrowstream.runtime.flow.ports import OutputPort
from arrowstream.runtime.resources import Resources
from arrowstream.runtime.timed import Suspended

_log = logging.getLogger("arrowstream")


class RunningSink:
    """A writer with counters and a limit of rows.

    Parameters
    ----------
    name
        The sink's id in reports, metrics and errors.
    label
        The sink's label, for errors about several sinks.
    writer
        The open writer; a `BlockingWriter` is called on worker threads.
    resources
        The run's clock and threads.
    share
        The sink's share of the limit of rows; None for no limit.
    on_write
        Called on the loop after each batch that is written; None if nothing depends on it.
    best_effort
        True if the sink is lost at its first failure, which is logged, and the run goes on without it.
    missing_floats
        Counts the values that the sink writes as null; None if it writes them all as they are.
    """

    __slots__ = (
        "_attempt",
        "_begin_write",
        "_clock",
        "_ended",
        "_governed",
        "_handle",
        "_now_ns",
        "_on_barrier",
        "_on_write",
        "_share",
        "_threads",
        "_turn",
        "_write",
        "_writer",
        "best_effort",
        "blocking",
        "counters",
        "label",
        "lost",
        "period_s",
        "sides",
    )

    def __init__(
        self,
        name: str,
        label: str,
        writer: Writer | BlockingWriter,
        resources: Resources,
        *,
        share: Share | None,
        on_write: Callable[[], None] | None,
        best_effort: bool = False,
        missing_floats: MissingFloats | None = None,
    ) -> None:
        self.counters = StageCounters(name)
        self.label = label
        self.lost = False
        self.best_effort = best_effort
        self._attempt: Attempt = self.attempt
        self._governed = False
        self._writer = writer
        self._clock = resources.clock
        self._now_ns = resources.clock.now_ns
        self._threads = resources.threads
        self._on_barrier = resources.on_sink_barrier
        self.sides: list[OutputPort] = []
        """The ports of sinks for its dead letters, which get its barriers, too."""
        self._share = share
        self._on_write = on_write
        self._handle: Handle | None = None
        self._ended = False
        self.blocking = isinstance(writer, BlockingWriter)
        self._write: Callable[[Batch], Any] = writer.write
        if missing_floats is not None:
            self._write = missing_floats.after(writer, self.counters)
        self._begin_write: Callable[[Batch], Awaitable[None] | None]
        self.period_s = writer.period_s if isinstance(writer, BlockingWriter) else None
        self._turn = asyncio.Lock()
        if self.period_s is not None:
            self._begin_write = self._write_in_turn
        elif isinstance(writer, BlockingWriter):
            self._begin_write = partial(self._threads.call, self._write)
        else:
            self._begin_write = writer.begin_write if missing_floats is None else self._write

    async def end(self) -> None:
        """Take the end of its rows; `RunningSinks` commits it."""
        for side in self.sides:
            await side.end()

    async def send(self, element: Element) -> None:
        """Write a batch, cut to the rows that the limit still allows; count a mark."""
        if not isinstance(element, Batch):
            self.counters.record_mark(element)
            if isinstance(element, Barrier):
                await self._on_own_barrier(element)
            return
        if self._share is not None:
            await self._send_up_to_limit(element, self._share)
        elif element.num_rows:
            await self._attempt(element)
            self._on_written(element.num_rows)

    async def _on_own_barrier(self, barrier: Barrier) -> None:
        """Report a barrier that has come, and pass it on to the dead letters."""
        self._on_barrier(self.counters.name, barrier.epoch)
        for side in self.sides:
            await side.send(barrier)

    async def _send_up_to_limit(self, batch: Batch, share: Share) -> None:
        # If a handler leaves out rows, others of the batch take their place.
        while batch.num_rows and (rows := await share.take(batch.num_rows)):
            try:
                await self._attempt(batch.slice(0, rows))
            finally:
                share.settle(self.counters.rows_out)
            batch = batch.slice(rows, batch.num_rows - rows)
            self._on_written(rows)
        self.counters.limited_rows += batch.num_rows

    def begin_send(self, element: Element) -> Awaitable[None] | None:
        """Write a batch and return None if that needs no wait and nothing else decides about it; else as `send`."""
        if self._governed or self._share is not None or not isinstance(element, Batch) or self.blocking:
            return self.send(element)
        rest = self._begin_attempt(element)
        if rest is not None:
            return self._end_send(element, rest)
        self._on_written(element.num_rows)
        return None

    async def _end_send(self, batch: Batch, rest: Awaitable[None]) -> None:
        await rest
        self._on_written(batch.num_rows)

    def _on_written(self, rows: int) -> None:
        self.counters.rows_in += rows
        if self._on_write is not None:
            self._on_write()

    async def keep_time(self) -> None:
        """Call the writer after each of its periods, until cancelled."""
        assert isinstance(self._writer, BlockingWriter) and self.period_s is not None
        while not self.lost:
            await self._clock.sleep(self.period_s)
            try:
                await self._call(self._writer.on_period)
            except FAILURES as error:
                if not self.best_effort:
                    raise
                self.lose(error)

    async def _write_in_turn(self, batch: Batch) -> None:
        """Write a batch after the call of the writer that is running."""
        await self._in_turn(self._write, batch)

    async def _in_turn(self, method: Callable[..., Any], *arguments: object) -> Any:
        """Call a method of the writer, on a thread if it blocks, after the call that is running."""
        async with self._turn:
            return await (self._threads.call if self.blocking else _awaited)(method, *arguments)

    async def attempt(self, batch: Batch) -> list[Element]:
        """Write a batch once; return an empty list, as nothing comes out of a sink."""
        rest = self._begin_attempt(batch)
        if rest is not None:
            await rest
        return []

    def _begin_attempt(self, batch: Batch) -> Awaitable[None] | None:
        begin = self._now_ns()
        try:
            rest = self._begin_write(batch)
        except BaseException as error:
            if not is_failure(error):
                raise
            raise self._failed(batch, error) from error
        if rest is not None:
            return self._end_attempt(batch, rest, begin)
        self._count(batch, begin, 0)
        return None

    async def _end_attempt(self, batch: Batch, rest: Awaitable[None], begin_ns: int) -> None:
        waited_ns = 0
        try:
            if self.blocking:
                await rest
            else:
                steps = rest.__await__()
                try:
                    asked = next(steps)
                except StopIteration:
                    pass
                else:
                    suspended = Suspended(steps, asked, self._clock, self.counters)
                    await suspended
                    waited_ns = suspended.waited_ns
        except BaseException as error:
            if not is_failure(error):
                raise
            raise self._failed(batch, error) from error
        self._count(batch, begin_ns, waited_ns)

    def _failed(self, batch: Batch, error: BaseException) -> BaseException:
        """Count a failure, and the rows that were written all the same; return the error that names it."""
        self.counters.record_error(error)
        if isinstance(error, UndeliveredRows):
            self.counters.record_output(batch.slice(0, batch.num_rows - error.rows))
        return stage_error(self.counters.name, batch, error, SinkError)

    def _count(self, batch: Batch, begin_ns: int, waited_ns: int) -> None:
        """Count a batch whose write began at `begin_ns` and has just ended."""
        end, counters, read = self._now_ns(), self.counters, batch.ingest_ns
        busy_ns = end - begin_ns - waited_ns
        counters.record_output(batch)
        if read is None:
            counters.record_batch("write", 0, busy_ns, busy_ns)
        else:
            counters.record_batch("write", batch.num_rows, busy_ns, end - read)

    def govern(self, attempts: Callable[[Attempt], Attempt]) -> None:
        """Wrap each write in `attempts`, which decides how often and with which parts of a batch it is made."""
        self._attempt = attempts(self._attempt)
        self._governed = True

    def lose(self, error: BaseException) -> None:
        """Give up the sink because of `error`; the run goes on without it."""
        self.on_failure(error)
        self.lost = self.counters.aborted = True
        _log.warning("%s gets nothing more: %s", self.counters.name, error)

    async def prepare(self, epoch: int) -> None:
        """Do everything that can fail before `commit`; a best-effort sink that fails is aborted."""
        if not self.lost:
            try:
                self._handle = await self._call(self._writer.prepare, epoch)
            except FAILURES as error:
                if not self.best_effort:
                    raise
                self.lose(error)
        if self.lost:
            await self._abort_lost()

    async def commit(self) -> None:
        """Make the prepared rows visible; a best-effort sink that fails is aborted."""
        if self.lost:
            return
        try:
            await self._call(self._writer.commit, self._handle)
        except FAILURES as error:
            if not self.best_effort:
                raise
            self.lose(error)
            await self._abort_lost()
        else:
            self._on_committed()

    def _on_committed(self) -> None:
        self._ended = True

    async def close(self) -> None:
        """Close the writer of a sink that has committed."""
        if self.lost:
            return
        try:
            await self._call(self._writer.close)
        except FAILURES as error:
            if not self.best_effort:
                raise
            _log.warning("%s has all its rows, but did not close: %s", self.counters.name, error)

    def on_failure(self, failure: BaseException) -> None:
        """Pass on to a writer that has not committed the failure for which it will be aborted."""
        if not self._ended and isinstance(self._writer, Writer):
            self._writer.on_failure(failure)

    async def abort(self) -> None:
        """Abort the writer, so that nothing half-written is visible; do nothing after `commit` or an `abort`."""
        if not self._ended:
            self._ended = True
            await self._call(self._writer.abort)

    async def _abort_lost(self) -> None:
        try:
            await self.abort()
        except FAILURES as error:
            _log.warning("%s may have left something half-written: %s", self.counters.name, error)

    async def _call(self, method: Callable[..., Any], *arguments: object) -> Any:
        """Call a method of the writer, on a thread if it blocks."""
        return await self._timed(partial(self._in_turn, method, *arguments))

    async def _timed(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Await a call and count its time; name the sink in its failure."""
        begin = self._clock.now_ns()
        try:
            return await call()
        except BaseException as error:
            if not is_failure(error):
                raise
            raise stage_error(self.counters.name, None, error, SinkError) from error
        finally:
            self.counters.busy_ns += self._clock.now_ns() - begin


async def _awaited(method: Callable[..., Awaitable[Any]], *arguments: object) -> Any:
    """Await a method of a writer on the loop."""
    return await method(*arguments)
