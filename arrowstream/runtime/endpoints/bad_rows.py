"""The rows that a source could not read, on their way to their sink."""

from __future__ import annotations

import polars as pl

from arrowstream.core.batch import Barrier, Batch
from arrowstream.metrics.counters import StageCounters
from arrowstream.runtime.flow.ports import OutputPort


class BadRows:
    """The bad rows of one source: counted, and written to their sink if they have one.

    Parameters
    ----------
    counters
        The counters of the source.
    held
        Whether rows wait for `release`: at a barrier, those of a read that is under way belong to the next epoch.
    """

    __slots__ = ("_counters", "_ended", "_held", "_waiting", "port")

    def __init__(self, counters: StageCounters, *, held: bool) -> None:
        self._counters = counters
        self._held = held
        self._waiting: list[Batch] = []
        self._ended = False
        self.port: OutputPort | None = None
        """The port of the sink; None if bad rows are only counted."""

    async def take(self, rows: pl.DataFrame | None) -> None:
        """Take the bad rows of a read, if any."""
        if rows is not None:
            self._waiting.append(Batch(rows))
            if not self._held:
                await self.release()

    async def release(self) -> None:
        """Write the rows that wait."""
        waiting, self._waiting = self._waiting, []
        for batch in waiting:
            if self.port is None:
                self._counters.record_skipped(batch.num_rows)
            else:
                await self.port.send(batch)
                self._counters.record_dead_letters(batch.num_rows)

    async def pass_barrier(self, barrier: Barrier) -> None:
        """Pass on a barrier that the source hands out."""
        if self.port is not None:
            await self.port.send(barrier)

    async def end(self) -> None:
        """Take the end of the source's stream; later calls do nothing."""
        ended, self._ended = self._ended, True
        if self.port is not None and not ended:
            await self.port.end()
