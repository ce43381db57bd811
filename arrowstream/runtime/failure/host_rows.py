"""Rows of a batch that failed, brought back from where no handler can cut them without waiting for a device."""

from __future__ import annotations

from arrowstream.core.batch import Batch, Element
from arrowstream.core.failures import FAILURES
from arrowstream.core.rows.elsewhere import forget_elsewhere, is_elsewhere
from arrowstream.runtime.failure.timeout import Attempt
from arrowstream.runtime.threads import Threads


class HostRows:
    """Keeps a batch that failed in host memory only: handlers cut it, on the loop's thread.

    Parameters
    ----------
    threads
        The threads of the run.
    """

    def __init__(self, threads: Threads) -> None:
        self._threads = threads

    async def run(self, batch: Batch, attempt: Attempt) -> list[Element]:
        """Return the result of an attempt; if it fails, bring the batch back before the failure is raised."""
        try:
            return await attempt(batch)
        except FAILURES:
            if is_elsewhere(batch):
                await self._threads.call(batch.arrow)
            forget_elsewhere(batch)
            raise
