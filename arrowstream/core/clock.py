"""Injected time: the engine reads a `Clock`, which tests set instead of sleeping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Clock(Protocol):
    """Monotonic time."""

    def now_ns(self) -> int:
        """Return the nanoseconds since some fixed moment; they never decrease."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait until `now_ns` has advanced by `seconds`."""
        ...


class MonotonicClock(Clock):
    """The machine's monotonic clock."""

    # The C function itself: it is called some seven times a batch, and a method around it doubles its 40 ns.
    now_ns = staticmethod(time.perf_counter_ns)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class PausingClock(Clock):
    """The machine's monotonic clock, which stands still except within `running`.

    Examples
    --------
    >>> clock = PausingClock()
    >>> before = clock.now_ns()
    >>> clock.now_ns() == before
    True
    >>> with clock.running():
    ...     asyncio.run(clock.sleep(0.01))
    >>> clock.now_ns() - before >= 10_000_000
    True
    """

    def __init__(self) -> None:
        self._now_ns = time.perf_counter_ns()
        self._begun_ns: int | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let the clock run until the block ends."""
        self._begun_ns = time.perf_counter_ns()
        try:
            yield
        finally:
            self._now_ns = self.now_ns()
            self._begun_ns = None

    def now_ns(self) -> int:
        begun_ns = self._begun_ns
        return self._now_ns if begun_ns is None else self._now_ns + time.perf_counter_ns() - begun_ns

    async def sleep(self, seconds: float) -> None:
        end = self.now_ns() + round(seconds * 1e9)
        await asyncio.sleep(seconds)
        if (left := end - self.now_ns()) > 0:
            await self.sleep(left / 1e9)
