"""The merge of streams: batches pass as they come, marks when every input has reached them."""

from __future__ import annotations

from arrowstream.core.batch import Barrier, Batch, Idle, Watermark
from arrowstream.runtime.flow.alignment import Alignment
from arrowstream.runtime.flow.ports import OutputPort


class RunningMerge(Alignment):
    """The merge of several inputs into one output.

    The watermark is the least of all inputs that are neither idle nor ended, and never decreases.

    Parameters
    ----------
    inputs
        Number of inputs.
    output
        The port that all elements go to; it is ended when the last input has ended.
    """

    def __init__(self, inputs: int, output: OutputPort) -> None:
        super().__init__(inputs)
        self._output = output
        self._watermarks: list[int | None] = [None] * inputs
        self._idle = [False] * inputs
        self._passed: int | None = None

    async def _take(self, number: int, element: Batch | Watermark | Idle) -> None:
        self._idle[number] = isinstance(element, Idle)
        if isinstance(element, Batch):
            await self._output.send(element)
            return
        if isinstance(element, Watermark):
            self._watermarks[number] = element.time_us
        await self._advance()

    async def _pass_barrier(self, barrier: Barrier) -> None:
        await self._output.send(barrier)

    async def _end(self, number: int) -> None:
        if any(self._open):
            await self._advance()

    async def _end_all(self) -> None:
        await self._output.end()

    async def _advance(self) -> None:
        """Pass on the watermark of all inputs if it has increased, or `Idle` if all of them are idle or ended."""
        counted = [
            self._watermarks[number]
            for number, is_open in enumerate(self._open)
            if is_open and not self._idle[number]
        ]
        if not counted:
            await self._output.send(Idle())
            return
        known = [time for time in counted if time is not None]
        if len(known) == len(counted) and (self._passed is None or min(known) > self._passed):
            self._passed = min(known)
            await self._output.send(Watermark(self._passed))
