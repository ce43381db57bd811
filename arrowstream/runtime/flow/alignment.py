"""The alignment of several inputs at barriers."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from arrowstream.core.batch import Barrier, Batch, Element, Idle, Partitions, Watermark
from arrowstream.metrics.counters import StageCounters
from arrowstream.runtime.flow.ports import WaitingOutput


class Alignment(ABC):
    """The meeting place of several inputs, which takes their elements one at a time.

    An input that has delivered a barrier waits until all others have, so that exactly those elements are passed on
    before a barrier that came before it on every input (the alignment of P. Carbone et al.,
    "Lightweight asynchronous snapshots for distributed dataflows", 2015).

    Each element, and each end of an input, is handled under one lock: its changes of state and its sends are one
    step. So marks never overtake each other, and the last end comes after all elements that earlier ends send.

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
        self._halted = False
        """True once the last barrier of a run has passed: nothing follows it but the end."""

    def port(self, number: int) -> InputEnd:
        """Return the port of input `number`."""
        return InputEnd(self, number)

    async def send(self, number: int, element: Element) -> None:
        """Take an element of input `number`; wait while this input is ahead by a barrier.

        The partitions of a source mean nothing where streams meet, and are dropped.
        """
        while number in self._waiting:
            await self._released.wait()
        async with self._lock:
            if isinstance(element, Barrier):
                self._barrier = element
                self._waiting.add(number)
                await self._align()
            elif not isinstance(element, Partitions):
                await self._take(number, element)

    async def end(self, number: int) -> None:
        """Take the end of input `number`, for which no barrier waits any more.

        An end that follows a barrier waits as a batch would: it must not change what comes before the barrier.
        """
        while number in self._waiting:
            await self._released.wait()
        async with self._lock:
            self._open[number] = False
            if not self._halted:
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
        """Take the end of input `number`."""

    @abstractmethod
    async def _end_all(self) -> None:
        """Take the end of the last input, after `_end`."""

    async def _align(self) -> None:
        """Pass the barrier on and release all inputs, once every open one has delivered it."""
        if self._barrier is None or not all(
            number in self._waiting for number, is_open in enumerate(self._open) if is_open
        ):
            return
        barrier, self._barrier = self._barrier, None
        self._halted = barrier.last
        await self._pass_barrier(barrier)
        self._waiting.clear()
        self._released.set()
        self._released = asyncio.Event()


class InputEnd(WaitingOutput):
    """One of the inputs of an `Alignment`, as a port."""

    __slots__ = ("_alignment", "_number")

    blocking = False
    counters: StageCounters | None = None

    def __init__(self, alignment: Alignment, number: int) -> None:
        self._alignment = alignment
        self._number = number

    async def send(self, element: Element) -> None:
        """Give an element to the alignment; wait while this input is ahead by a barrier."""
        await self._alignment.send(self._number, element)

    async def end(self) -> None:
        """End this input."""
        await self._alignment.end(self._number)
