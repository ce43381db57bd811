"""Time that moves only on demand."""

from __future__ import annotations

import asyncio
import heapq


class ManualClock:
    """Time that moves only by `advance`; every sleeper wakes exactly when its moment is passed.

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
        """The time as it was set."""
        return self._now_ns

    def set_ns(self, now_ns: int) -> None:
        """Move the time to a moment without waking anybody, as if work had taken so long."""
        self._now_ns = now_ns

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has moved the time `seconds` further; not at all for 0 seconds."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._now_ns + round(seconds * 1e9), self._count, future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move the time on, waking sleepers in order; other tasks get to run before and after each."""
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
    """Give every ready task of the loop some turns."""
    for _ in range(turns):
        await asyncio.sleep(0)
