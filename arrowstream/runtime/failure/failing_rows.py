"""The search for the rows of a batch that fail.

The search runs through the batch once, from the first row to the last. A part that fails is halved until a single row
is left; after each part that succeeds, the next one is twice as long. So n failing rows in a row cost n tries, one
failing row among n costs some ``2 * log2(n)`` tries, and all tries together process each row a constant number of
times, however many rows fail. The results of the good parts are kept as they come: no part is tried again once it has
succeeded, and rows are neither lost nor doubled.
"""

from __future__ import annotations

import asyncio

from arrowstream.core.batch import Batch, Element
from arrowstream.core.clock import Clock
from arrowstream.core.failures import FAILURES
from arrowstream.errors import ArrowstreamError, StageTimeout, UndeliveredRows
from arrowstream.policies.dead_letter import FailedRows
from arrowstream.runtime.failure.stage_error import first_line
from arrowstream.runtime.failure.timeout import Attempt

_TURN_NS = 200_000
"""Time, in nanoseconds, that tries on the loop's thread may take before other tasks on the loop get their turn."""


async def tried(attempt: Attempt, batch: Batch) -> list[Element] | BaseException:
    """Return the result of an attempt, or its failure; raise a cancellation."""
    try:
        return await attempt(batch)
    except FAILURES as error:
        return error


async def find_failing_rows(
    batch: Batch, error: BaseException, attempt: Attempt, clock: Clock
) -> tuple[list[Element], list[FailedRows]]:
    """Find the failing rows of a batch that failed as a whole.

    Parameters
    ----------
    batch
        The rows.
    error
        The failure of the whole batch. After `StageTimeout` a part is not divided further: it is rarely late because
        of a single row, and tries of all its parts would take longer still.
    attempt
        Returns all that comes out for a part of the batch, or raises and has no other effect.
    clock
        The run's monotonic clock.

    Returns
    -------
    out
        The results for the good parts, in order.
    failed
        The rows that failed, in order: single rows, or parts that took too long.
    """
    out: list[Element] = []
    failed: list[FailedRows] = []
    start, length, failure = 0, batch.num_rows, error
    # The rows from `start` to `doubtful` contain one that fails, so the next part is at most half of them.
    doubtful = length
    turn_ns = clock.now_ns()
    while True:
        if isinstance(failure, UndeliveredRows):
            # The sink has written the other rows.
            failed += undelivered(failure, start)
            start += length
            doubtful = start
        elif length <= 1 or isinstance(failure, StageTimeout):
            failed.append(FailedRows(start, length, reason(failure)))
            start += length
            doubtful = start
        else:
            doubtful = start + length
            length //= 2
        while start < batch.num_rows:
            now = clock.now_ns()
            if now - turn_ns > _TURN_NS:
                await asyncio.sleep(0)
                turn_ns = clock.now_ns()
            length = min(length, batch.num_rows - start)
            result = await tried(attempt, batch.slice_forms(start, length))
            if not isinstance(result, list):
                failure = result
                break
            out += result
            start += length
            length = max(1, (doubtful - start) // 2) if start < doubtful else 2 * length
        else:
            return out, failed


def undelivered(error: UndeliveredRows, offset: int = 0) -> list[FailedRows]:
    """Return the rows that a sink did not write, of a part of a batch that begins at row `offset`."""
    return [FailedRows(offset + first, length, why) for first, length, why in error.parts]


def reason(error: BaseException) -> str:
    """Return the failure in one line, without stage and position, which are reported next to it."""
    if not isinstance(error, ArrowstreamError):
        return first_line(error)
    details = (("expected", error.expected), ("found", error.found))
    return "; ".join([error.what, *(f"{label}: {value}" for label, value in details if value)])
