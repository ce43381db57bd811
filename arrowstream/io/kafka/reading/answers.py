"""`OverdueAnswers`: drops connections on which a server no longer answers."""

from __future__ import annotations

from typing import Any, Final

from aiokafka.conn import CloseReason

from arrowstream.core.clock import Clock

TICK_SECONDS: Final = 1.0
"""Time between two looks."""


class OverdueAnswers:
    """Closes connections whose oldest request has no answer for too long.

    aiokafka does so when the time of a request is over, but gives up its requests at each rebalance: with rebalances
    that come sooner than that, a dead connection would stay. The next request opens another one.

    Parameters
    ----------
    clock
        The run's clock.
    client
        aiokafka's client, which holds the connections.
    seconds
        Time within which a server must answer.
    """

    def __init__(self, clock: Clock, client: Any, seconds: float) -> None:
        self._clock = clock
        self._client = client
        self._limit_ns = round(seconds * 1e9)
        self._oldest: dict[Any, tuple[Any, int]] = {}

    async def run(self) -> None:
        """Look once a second, until cancelled."""
        while True:
            await self._clock.sleep(TICK_SECONDS)
            self.look()

    def look(self) -> None:
        """Note the oldest request of each connection, and close those where it has not changed for too long."""
        now = self._clock.now_ns()
        waiting = {each: each._requests[0][0] for each in self._client._conns.values() if each._requests}
        before = self._oldest
        self._oldest = {}
        for connection, request in waiting.items():
            known, since = before.get(connection, (None, now))
            self._oldest[connection] = (request, since if known == request else now)
            if known == request and now - since >= self._limit_ns:
                connection.close(reason=CloseReason.CONNECTION_TIMEOUT)
