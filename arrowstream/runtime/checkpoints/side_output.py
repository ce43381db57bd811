"""A sink of late rows, dead letters or bad rows, which several steps may write, as one end of the pipeline."""

from __future__ import annotations

from arrowstream.core.batch import Barrier, Batch, Idle, Watermark
from arrowstream.runtime.endpoints.sink import RunningSink
from arrowstream.runtime.flow.alignment import Alignment, InputEnd


class SideOutput(Alignment):
    """The sink, and a port for each step that writes it.

    Rows of a step that is ahead by a barrier wait until the other steps have passed it, so that the sink prepares
    exactly the rows of an epoch. Batches are written one at a time, however many steps send them.

    Parameters
    ----------
    sink
        The sink.
    """

    def __init__(self, sink: RunningSink) -> None:
        super().__init__(0)
        self._sink = sink

    def add(self) -> InputEnd:
        """Return the port of one more step; every step has one before the first batch."""
        self._open.append(True)
        return self.port(len(self._open) - 1)

    async def _take(self, number: int, element: Batch | Watermark | Idle) -> None:
        await self._sink.send(element)

    async def _pass_barrier(self, barrier: Barrier) -> None:
        await self._sink.send(barrier)

    async def _end(self, number: int) -> None:
        return

    async def _end_all(self) -> None:
        await self._sink.end()
