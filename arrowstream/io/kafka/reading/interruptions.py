"""`Interruptions`: times in which a Kafka source has no server, which its run waits for and its report tells."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from arrowstream.core.notes import ReaderNote
from arrowstream.core.step_context import StepContext

TICK_SECONDS: Final = 1.0
"""Time between two looks."""

_NOTED_AFTER_NS: Final = 2_000_000_000
"""Time without a connection after which it counts as an interruption: a connection may be replaced by another."""


class Interruptions:
    """Looks once a second whether any connection is open.

    Parameters
    ----------
    context
        The source's id, and clock and log of the run.
    servers
        The servers, for messages.
    """

    def __init__(self, context: StepContext, servers: str) -> None:
        self._context = context
        self._servers = servers
        self._connected_ns = self._looked_ns = context.clock.now_ns()
        self._count = 0
        self._total_ns = 0
        self._first = ""
        self._is_noted = False

    async def run(self, client: Any) -> None:
        """Look at the connections of aiokafka's client once a second, until cancelled."""
        while True:
            self.look(any(each.connected() for each in client._conns.values()))
            await self._context.clock.sleep(TICK_SECONDS)

    def look(self, is_connected: bool) -> None:
        """Note whether any connection is open now."""
        now = self._context.clock.now_ns()
        away_ns = now - self._connected_ns
        if is_connected and self._is_noted:
            self._is_noted = False
            self._total_ns += away_ns
            self._log("connected to Kafka at %s again, after %.0f s", away_ns)
        elif not is_connected and not self._is_noted and away_ns >= _NOTED_AFTER_NS:
            self._is_noted = True
            self._count += 1
            self._first = self._first or datetime.now(UTC).isoformat(" ", "seconds")
            self._log(
                "no connection to Kafka at %s for %.0f s; the run waits until a server answers", away_ns
            )
        self._looked_ns = now
        if is_connected:
            self._connected_ns = now

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        """The interruptions, for the report."""
        if not self._count:
            return ()
        total_ns = self._total_ns + (self._looked_ns - self._connected_ns if self._is_noted else 0)
        end = ", the last one until the end of the run" if self._is_noted else ""
        where = f"{self._servers} at {self._first}; {total_ns / 1e9:.0f} s in all{end}"
        return (ReaderNote("interruptions of the connection to Kafka", self._count, where, lost=False),)

    def _log(self, text: str, away_ns: int) -> None:
        self._context.logger.warning(f"%s: {text}", self._context.id, self._servers, away_ns / 1e9)
