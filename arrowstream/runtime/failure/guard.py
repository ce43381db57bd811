"""The error handlers at work on a batch that fails: retries, then the search for the failing rows.

Retries are for the whole batch only: a part is tried once. Retries of parts would multiply the waits by the number of
parts, and a temporary failure has had its time to pass. The results of the good parts are joined in the end.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from random import Random

from arrowstream.core.batch import Batch, Element, joined_batch
from arrowstream.core.clock import Clock
from arrowstream.errors import UndeliveredRows
from arrowstream.policies.dead_letter import FailedRows, dead_letter_frame
from arrowstream.policies.handlers import DeadLetter, ErrorHandler, Fail, Log, Retry, Skip
from arrowstream.runtime.failure.failing_rows import find_failing_rows, reason, tried, undelivered
from arrowstream.runtime.failure.rejoin import rejoined
from arrowstream.runtime.failure.stage_error import stage_error
from arrowstream.runtime.failure.timeout import Attempt

LOGGER = logging.getLogger("arrowstream")

_OUTCOMES = {
    Retry: "are tried again",
    Skip: "are left out",
    DeadLetter: "go to the dead letters",
    Fail: "end the run",
}


class Guard:
    """The error handlers of one stage at work.

    Parameters
    ----------
    stage
        The stage's name, for logs, errors and dead letters.
    handlers
        The error handlers, in order, as `check_handlers` allows them.
    clock
        The run's monotonic clock.
    random
        The random numbers that spread retries over time.
    write
        Writes rows of dead letters, in the schema of `dead_letter_schema`; it may be called for several batches at a
        time. Its errors end the run, so they must name the sink. Needed if a handler is `DeadLetter`.
    errors
        Called with the number of rows that failed for good, once for each batch with any.
    """

    __slots__ = ("_clock", "_errors", "_handlers", "_last", "_random", "_stage", "_write")

    def __init__(
        self,
        stage: str,
        handlers: Sequence[ErrorHandler],
        clock: Clock,
        random: Random,
        write: Callable[[Batch], Awaitable[None]] | None = None,
        errors: Callable[[int], None] = lambda rows: None,
    ) -> None:
        ends = bool(handlers) and isinstance(handlers[-1], Skip | DeadLetter | Fail)
        self._stage = stage
        self._handlers = tuple(handlers[:-1] if ends else handlers)
        self._last = handlers[-1] if ends else Fail()
        self._clock = clock
        self._random = random
        self._write = write
        self._errors = errors

    async def run(self, batch: Batch, attempt: Attempt) -> list[Element]:
        """Return the result of `attempt` for the batch, or for those of its rows that do not fail, in order.

        Parameters
        ----------
        batch
            The rows.
        attempt
            Returns all that comes out for a batch, or raises and has no other effect, except that a sink may have
            written the rows that an `UndeliveredRows` does not name. It may be called many times, with parts of the
            batch.

        Raises
        ------
        ArrowstreamError
            The failure, if no handler skips the batch or its failing rows or sends them to the dead letters.
        """
        result = await tried(attempt, batch)
        for place, handler in enumerate(self._handlers):
            if isinstance(result, list):
                return result
            if isinstance(handler, Retry):
                batch, result = await self._retry(handler, batch, attempt, result)
            elif place + 1 < len(self._handlers):
                self._log(batch, _failed(batch, result), Retry)
        if isinstance(result, list):
            return result
        return await self._give_up(batch, attempt, result)

    async def _retry(
        self, retry: Retry, batch: Batch, attempt: Attempt, error: BaseException
    ) -> tuple[Batch, list[Element] | BaseException]:
        """Return the rows of the last attempt and its result: rows that a sink has written are not tried again."""
        begin_ns = self._clock.now_ns()
        for wait in retry.waits(self._random):
            so_far = (self._clock.now_ns() - begin_ns) / 1e9
            if retry.budget is not None and so_far + wait > retry.budget:
                break
            await self._clock.sleep(wait)
            if isinstance(error, UndeliveredRows):
                batch = joined_batch([batch.slice(first, rows) for first, rows, _ in error.parts])
            result = await tried(attempt, batch)
            if isinstance(result, list):
                return batch, result
            error = result
        return batch, error

    async def _give_up(self, batch: Batch, attempt: Attempt, error: BaseException) -> list[Element]:
        last = self._last
        out: list[Element] = []
        failed = _failed(batch, error)
        if isinstance(last, Skip | DeadLetter) and not last.whole_batch:
            out, failed = await find_failing_rows(batch, error, attempt, self._clock)
        if failed:
            await self._report(batch, failed, error)
        return rejoined(out, batch.num_rows)

    async def _report(self, batch: Batch, failed: Sequence[FailedRows], error: BaseException) -> None:
        """Report the rows that failed for good: in the log, the counters, and as dead letters or an error."""
        last = self._last
        # The number of failing rows is known only now.
        if self._handlers and isinstance(self._handlers[-1], Log):
            self._log(batch, failed, type(last))
        self._errors(sum(part.length for part in failed))
        if isinstance(last, DeadLetter):
            assert self._write is not None
            await self._write(batch.with_rows(dead_letter_frame(batch, failed, self._stage)))
        elif isinstance(last, Fail):
            named = stage_error(self._stage, batch, error)
            if named is error:
                raise named
            raise named from error

    def _log(self, batch: Batch, failed: Sequence[FailedRows], outcome: type[ErrorHandler]) -> None:
        rows = sum(part.length for part in failed)
        first = failed[0]
        position = batch.slice(first.offset, first.length).position
        LOGGER.log(
            logging.ERROR if outcome is Fail else logging.WARNING,
            "stage %s: %d of %d rows failed and %s; %s%s: %s",
            self._stage,
            rows,
            batch.num_rows,
            _OUTCOMES[outcome],
            "the first at " if len(failed) > 1 else "at ",
            position or "an unknown position",
            first.error,
            extra={"stage": self._stage, "rows": rows, "position": position and str(position)},
        )


def _failed(batch: Batch, error: BaseException) -> list[FailedRows]:
    """Return the rows that an error is about: all, unless a sink has written some of them."""
    if isinstance(error, UndeliveredRows):
        return undelivered(error)
    return [FailedRows(0, batch.num_rows, reason(error))]
