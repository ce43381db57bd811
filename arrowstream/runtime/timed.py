"""How long a coroutine works, and how long it waits."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Any, TypeVar

from arrowstream.core.clock import Clock
from arrowstream.metrics.counters import StageCounters

T = TypeVar("T")


async def timed(work: Awaitable[T], clock: Clock, counters: StageCounters) -> tuple[T, int]:
    """Await `work`, whose time of being suspended counts as waiting.

    Returns
    -------
    tuple
        The result of `work`, and the nanoseconds for which it was not suspended.
    """
    begin = clock.now_ns()
    steps = work.__await__()
    try:
        first = next(steps)
    except StopIteration as stop:  # never suspended, as between memory and memory
        return stop.value, clock.now_ns() - begin
    rest = _Rest(steps, first, clock)
    try:
        result = await rest
    finally:
        counters.waiting_ns += rest.waited_ns
    return result, clock.now_ns() - begin - rest.waited_ns


class _Rest(Awaitable[Any]):
    """A coroutine from its first suspension on."""

    __slots__ = ("_clock", "_first", "_steps", "waited_ns")

    def __init__(self, steps: Generator[Any, Any, Any], first: object, clock: Clock) -> None:
        self._steps = steps
        self._first = first
        self._clock = clock
        self.waited_ns = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        asked = self._first
        try:
            while True:
                begin = self._clock.now_ns()
                try:
                    answer = yield asked
                except BaseException as error:
                    self.waited_ns += self._clock.now_ns() - begin
                    asked = self._steps.throw(error)
                else:
                    self.waited_ns += self._clock.now_ns() - begin
                    asked = self._steps.send(answer)
        except StopIteration as stop:
            return stop.value
