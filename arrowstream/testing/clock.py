"""A clock that tests set."""

from __future__ import annotations

import asyncio
import heapq


class ManualClock:
    """A clock that only `advance` and `set_ns` move. `advance` wakes each sleeper at its exact moment.

    Parameters
    ----------
    start_ns
        Time at the start, in nanoseconds.

    Examples
    --------
    >>> clock = ManualClock()
    >>> async def main():
    ...     sleeper = asyncio.create_task(clock.sleep(3600))
    ...     await clock.advance(3600)
    ...     await sleeper
    ...     return clock.now_ns()
    >>> asyncio.run(main())
    3600000000000
    """

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = 0

    def now_ns(self) -> int:
        """Return the time in nanoseconds."""
        return self._now_ns

    def set_ns(self, now_ns: int) -> None:
        """Set the time without waking sleepers, as if work had taken until then."""
        self._now_ns = now_ns

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has moved the time by `seconds`; for 0 seconds, only let other tasks run."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._now_ns + round(seconds * 1e9), self._count, future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move the time by `seconds`, waking sleepers in order; other tasks run before and after each wake-up."""
        await _settle()
        until = self._now_ns + round(seconds * 1e9)
        while self._sleepers and self._sleepers[0][0] <= until:
            moment, _, future = heapq.heappop(self._sleepers)
            self._now_ns = max(self._now_ns, moment)
            if not future.done():
                future.set_result(None)
            await _settle()
        self._now_ns = until
        await _settle()


async def _settle(turns: int = 20) -> None:
    """Let every ready task of the loop run for some turns."""
    for _ in range(turns):
        await asyncio.sleep(0)
