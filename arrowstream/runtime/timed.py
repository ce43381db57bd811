"""Measurement of the time that a coroutine works, and of the time that it waits."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Any, TypeVar

from arrowstream.core.clock import Clock
from arrowstream.metrics.counters import StageCounters

T = TypeVar("T")


async def timed(work: Awaitable[T], clock: Clock, counters: StageCounters) -> tuple[T, int]:
    """Await `work`; the time for which it is suspended counts as waiting.

    Returns
    -------
    tuple
        The result of `work`, and the nanoseconds for which it was not suspended.
    """
    begin = clock.now_ns()
    steps = work.__await__()
    try:
        asked = next(steps)
    except StopIteration as stop:
        return stop.value, clock.now_ns() - begin
    rest = Suspended(steps, asked, clock, counters)
    result = await rest
    return result, clock.now_ns() - begin - rest.waited_ns


class Suspended(Awaitable[Any]):
    """A coroutine from its first suspension on; awaiting it counts the time of every suspension as waiting.

    Sources and sinks take the first step of a coroutine themselves, as most of their coroutines have no other: from
    memory to memory nothing is suspended, and one more coroutine for each batch would cost as much as the read.

    Parameters
    ----------
    steps
        The generator of the coroutine's ``__await__``, after its first step.
    asked
        The value that the first step yielded to the event loop.
    clock
        The run's monotonic clock.
    counters
        The counters whose ``waiting_ns`` grows by every suspension.
    """

    __slots__ = ("_asked", "_clock", "_counters", "_steps", "waited_ns")

    def __init__(
        self, steps: Generator[Any, Any, Any], asked: object, clock: Clock, counters: StageCounters
    ) -> None:
        self._steps = steps
        self._asked = asked
        self._clock = clock
        self._counters = counters
        self.waited_ns = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        asked = self._asked
        try:
            while True:
                begin = self._clock.now_ns()
                try:
                    answer = yield asked
                except BaseException as error:
                    self._count(begin)
                    asked = self._steps.throw(error)
                else:
                    self._count(begin)
                    asked = self._steps.send(answer)
        except StopIteration as stop:
            return stop.value

    def _count(self, begin_ns: int) -> None:
        waited_ns = self._clock.now_ns() - begin_ns
        self.waited_ns += waited_ns
        self._counters.waiting_ns += waited_ns
