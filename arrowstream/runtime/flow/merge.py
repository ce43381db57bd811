"""Where streams meet: batches as they come, marks only when every input has reached them."""

from __future__ import annotations

import asyncio

from arrowstream.core.batch import Barrier, Batch, Element, Idle, Watermark
from arrowstream.runtime.flow.ports import OutputPort


class Merge:
    """Several inputs into one channel.

    The watermark is the least of those of all inputs that are neither idle nor ended, and never goes
    back. An input that has delivered a barrier waits until all others have, so that what is passed on
    before a barrier is exactly what came before it on every input (the alignment of P. Carbone et al.,
    "Lightweight asynchronous snapshots for distributed dataflows", 2015).

    Each element, and each end of an input, is handled whole under one lock: what it changes here and what it sends
    are one step. So marks never overtake each other, and the channel is closed by the last end that is handled,
    after everything that the ends before it had to send.

    Parameters
    ----------
    inputs
        Number of inputs.
    output
        Where everything goes; ended when the last input has ended.
    """

    def __init__(self, inputs: int, output: OutputPort) -> None:
        self._output = output
        self._watermarks: list[int | None] = [None] * inputs
        self._idle = [False] * inputs
        self._open = [True] * inputs
        self._passed: int | None = None
        self._barrier: Barrier | None = None
        self._waiting: set[int] = set()
        self._released = asyncio.Event()
        self._lock = asyncio.Lock()

    def port(self, number: int) -> MergePort:
        """The way in of input `number`."""
        return MergePort(self, number)

    async def send(self, number: int, element: Element) -> None:
        """Take an element of input `number`, waiting while that input is ahead by a barrier."""
        while number in self._waiting:
            await self._released.wait()
        async with self._lock:
            if isinstance(element, Barrier):
                self._barrier = element
                self._waiting.add(number)
                await self._align()
                return
            self._idle[number] = isinstance(element, Idle)
            if isinstance(element, Batch):
                await self._output.send(element)
                return
            if isinstance(element, Watermark):
                self._watermarks[number] = element.time_us
            await self._advance()

    async def end(self, number: int) -> None:
        """Handle the end of input `number`: nothing waits for it any more."""
        async with self._lock:
            self._open[number] = False
            if any(self._open):
                await self._advance()
            await self._align()
            if not any(self._open):
                await self._output.end()

    async def _advance(self) -> None:
        """Pass on how far all inputs have come, if that is further than before."""
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

    async def _align(self) -> None:
        """Once every open input waits at the barrier, pass it on and let all go on."""
        if self._barrier is None or not all(
            number in self._waiting for number, is_open in enumerate(self._open) if is_open
        ):
            return
        barrier, self._barrier = self._barrier, None
        await self._output.send(barrier)
        self._waiting.clear()
        self._released.set()
        self._released = asyncio.Event()


class MergePort:
    """One of the inputs of a `Merge`."""

    __slots__ = ("_merge", "_number")

    blocking = False
    counters = None

    def __init__(self, merge: Merge, number: int) -> None:
        self._merge = merge
        self._number = number

    async def send(self, element: Element) -> None:
        await self._merge.send(self._number, element)

    async def end(self) -> None:
        await self._merge.end(self._number)
