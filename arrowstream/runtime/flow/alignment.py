"""Several inputs that meet: one element at a time, aligned at barriers."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from arrowstream.core.batch import Barrier, Batch, Idle, Watermark
from arrowstream.metrics.counters import StageCounters


class Alignment(ABC):
    """Takes the elements of several inputs one at a time.

    An input that has delivered a barrier waits until all others have, so that what is passed on
    before a barrier is exactly what came before it on every input (the alignment of P. Carbone et al.,
    "Lightweight asynchronous snapshots for distributed dataflows", 2015).

    Each element, and each end of an input, is handled whole under one lock: what it changes here and what it sends
    are one step. So marks never overtake each other, and the last end comes after everything that the ends before it
    had to send.

    Parameters
    ----------
    inputs
        Number of inputs.
    """

    def __init__(self, inputs: int) -> None:
        self._open = [True] * inputs
        self._barrier: Barrier | None = None
        self._waiting: set[int] = set()
        self._released = asyncio.Event()
        self._lock = asyncio.Lock()

    def port(self, number: int) -> InputEnd:
        """The way in of input `number`."""
        return InputEnd(self, number)

    async def send(self, number: int, element: Batch | Watermark | Idle | Barrier) -> None:
        """Take an element of input `number`, waiting while that input is ahead by a barrier."""
        while number in self._waiting:
            await self._released.wait()
        async with self._lock:
            if isinstance(element, Barrier):
                self._barrier = element
                self._waiting.add(number)
                await self._align()
            else:
                await self._take(number, element)

    async def end(self, number: int) -> None:
        """Take the end of input `number`: nothing waits for it any more."""
        async with self._lock:
            self._open[number] = False
            await self._end(number)
            await self._align()
            if not any(self._open):
                await self._end_all()

    @abstractmethod
    async def _take(self, number: int, element: Batch | Watermark | Idle) -> None:
        """Take a batch or mark of input `number`, but no barrier."""

    @abstractmethod
    async def _pass_barrier(self, barrier: Barrier) -> None:
        """Pass on a barrier that every open input has delivered."""

    @abstractmethod
    async def _end(self, number: int) -> None:
        """Input `number` has ended."""

    @abstractmethod
    async def _end_all(self) -> None:
        """The last input has ended."""

    async def _align(self) -> None:
        """Once every open input waits at the barrier, pass it on and let all go on."""
        if self._barrier is None or not all(
            number in self._waiting for number, is_open in enumerate(self._open) if is_open
        ):
            return
        barrier, self._barrier = self._barrier, None
        await self._pass_barrier(barrier)
        self._waiting.clear()
        self._released.set()
        self._released = asyncio.Event()


class InputEnd:
    """One of the inputs of an `Alignment`, as a port."""

    __slots__ = ("_alignment", "_number")

    blocking = False
    counters: StageCounters | None = None

    def __init__(self, alignment: Alignment, number: int) -> None:
        self._alignment = alignment
        self._number = number

    async def send(self, element: Batch | Watermark | Idle | Barrier) -> None:
        await self._alignment.send(self._number, element)

    async def end(self) -> None:
        await self._alignment.end(self._number)
