"""A sink in a run with checkpoints: it prepares at every barrier, and commits once the epoch is complete."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from arrowstream.core.batch import Barrier, Batch
from arrowstream.core.checkpoints.failpoints import Failpoint, reach
from arrowstream.errors import SinkError
from arrowstream.io.writer import Handle
from arrowstream.runtime.endpoints.sink import RunningSink

_log = logging.getLogger("arrowstream")


class EpochSink(RunningSink):
    """A sink whose rows become visible epoch by epoch."""

    __slots__ = ("_committed", "_epoch", "_moved", "_over", "has_rows")

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._begin_write = self._write_in_turn
        self._epoch = 0
        self._over = False
        self.has_rows = False
        """True if rows have come since the last barrier."""
        self._moved = asyncio.Event()
        self._committed = asyncio.Event()

    async def end(self) -> None:
        """Take the end of its rows: no barrier comes any more."""
        self._over = True
        self._moved.set()
        await super().end()

    async def recover(self, epoch: int, handle: Handle | None) -> None:
        """Commit what an earlier run has prepared for the epoch that this run continues from."""
        await self._call(self._writer.recover, epoch, handle)
        self.counters.notes = self._writer.notes
        for note in self.counters.notes:
            _log.warning("%s: %s", self.counters.name, note)

    async def prepared(self, epoch: int) -> Handle | None:
        """Wait until the barrier of an epoch has come, or prepare what came after the last one.

        Returns
        -------
        Handle or None
            What `commit` needs; None if a best-effort sink is lost.
        """
        while self._epoch < epoch and not self._over:
            self._moved.clear()
            await self._moved.wait()
        if self._epoch < epoch:
            await self.prepare(epoch)
        return None if self.lost else self._handle

    async def prepare(self, epoch: int) -> None:
        """Prepare the rows since the epoch before."""
        self._committed.clear()
        self.has_rows = False
        await super().prepare(epoch)
        self._epoch = epoch
        self._moved.set()
        reach(Failpoint.SINK_PREPARED)

    def lose(self, error: BaseException) -> None:
        """Give up the sink; rows that wait for its commit go on, and are dropped."""
        super().lose(error)
        self._handle = None
        self._committed.set()

    async def close(self) -> None:
        """Close the writer after the last commit."""
        self._ended = True
        await super().close()

    def _on_committed(self) -> None:
        self._handle = None
        self._committed.set()
        reach(Failpoint.SINK_COMMITTED)

    async def _on_own_barrier(self, barrier: Barrier) -> None:
        await self.prepare(barrier.epoch)
        await super()._on_own_barrier(barrier)

    async def _write_in_turn(self, batch: Batch) -> None:
        self.has_rows = self.has_rows or batch.num_rows > 0
        if self._writer.holds_until_commit and self._handle is not None:
            await self._committed.wait()
        if self.lost:
            raise SinkError("the sink was given up while these rows waited for it", stage=self.counters.name)
        await super()._write_in_turn(batch)
