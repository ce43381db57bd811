"""States that are still being written while their steps go on."""

from __future__ import annotations

import asyncio

from arrowstream.core.waiting import until_done


class StateWrites:
    """The writes of states on worker threads that have begun in a run."""

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        self._begun: list[asyncio.Future[None]] = []

    def add(self, write: asyncio.Future[None]) -> None:
        """Add a write that has begun."""
        self._begun.append(write)

    async def done(self) -> None:
        """Wait until everything is written, and raise the first failure."""
        begun = await self.ended()
        for write in begun:
            write.result()

    async def ended(self) -> list[asyncio.Future[None]]:
        """Wait until every write has ended, with or without failure, and return them."""
        begun, self._begun = self._begun, []
        try:
            await until_done(begun)
        finally:
            for write in begun:
                write.exception()  # marks it as retrieved
        return begun
