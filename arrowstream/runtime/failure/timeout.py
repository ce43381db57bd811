"""The time limit of a step for one batch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from arrowstream.core.batch import Batch, Element
from arrowstream.core.clock import Clock
from arrowstream.core.plural import counted
from arrowstream.core.waiting import until_done
from arrowstream.errors import StageTimeout

_log = logging.getLogger("arrowstream")

Attempt = Callable[[Batch], Awaitable[list[Element]]]
"""One try with a batch: returns all that comes out, or raises and has no other effect."""


class Deadline:
    """A time limit for each attempt.

    A late attempt is cancelled, and the stage waits until it has ended: work on a worker thread or on the
    loop, which cannot be interrupted, delays the stage until it returns, and then counts as late.

    Parameters
    ----------
    stage
        The stage's name, for errors.
    seconds
        Time limit of an attempt for one batch, in seconds.
    clock
        The run's monotonic clock.
    skip
        Called with the number of rows of each batch that is left out because it took too long; without
        it, such a batch raises `StageTimeout`.
    stays
        True if work cannot be undone, as with a sink, and the run may go on after a late batch. Late work that
        succeeded is then kept and logged: its rows are written, even if they were skipped or tried again.
    blocks
        True if work holds a thread, so that a cancellation would only hide its outcome.
    """

    __slots__ = ("_blocks", "_clock", "_seconds", "_skip", "_stage", "_stays")

    def __init__(
        self,
        stage: str,
        seconds: float,
        clock: Clock,
        skip: Callable[[int], None] | None = None,
        *,
        stays: bool = False,
        blocks: bool = False,
    ) -> None:
        self._stays = stays
        self._blocks = blocks
        self._stage = stage
        self._seconds = seconds
        self._clock = clock
        self._skip = skip

    async def run(self, batch: Batch, attempt: Attempt) -> list[Element]:
        """Return the result of `attempt` for the batch; an empty list if it took too long and is left out.

        Raises
        ------
        StageTimeout
            The attempt took too long, and such batches are not left out.
        """
        # The timer is not enough: work that never waits is done before the loop looks at the time.
        taken_ns = 0

        async def timed() -> list[Element]:
            nonlocal taken_ns
            begin = self._clock.now_ns()
            try:
                return await attempt(batch)
            finally:
                taken_ns = self._clock.now_ns() - begin

        work = asyncio.ensure_future(timed())
        timer = asyncio.ensure_future(self._clock.sleep(self._seconds))
        try:
            await asyncio.wait((work, timer), return_when=asyncio.FIRST_COMPLETED)
            if self._stays and self._blocks:
                await asyncio.wait((work,))
            if work.done() and taken_ns <= self._seconds * 1e9:
                return work.result()
        finally:
            await end_tasks(timer, work)
        if self._stays and not work.cancelled() and work.exception() is None:
            _log.warning(
                "stage %s: %d rows took %.3g s, more than %g s; they are written all the same",
                self._stage,
                batch.num_rows,
                taken_ns / 1e9,
                self._seconds,
            )
            return work.result()
        if self._skip is None:
            # The work may have failed while it was cancelled; that is the cause, the time limit the reason.
            cause = None if work.cancelled() else work.exception()
            raise StageTimeout(
                "a batch took too long",
                stage=self._stage,
                position=None if batch.position is None else str(batch.position),
                expected=f"at most {self._seconds:g} s for {counted(batch.num_rows, 'rows')}",
                hint='make batches smaller with batch(...), or leave such batches out with on_timeout="skip"',
            ) from cause
        self._skip(batch.num_rows)
        return []


async def end_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until each has ended, even if this task is cancelled meanwhile."""
    for task in tasks:
        task.cancel()
    try:
        await until_done(tasks)
    finally:
        for task in tasks:
            if not task.cancelled():
                task.exception()  # marks it as retrieved; the caller gets another result or error
