"""Exceptions that count as a failure of a step, source or sink."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import polars as pl

FAILURES = (Exception, pl.exceptions.PanicException)
"""Exception types that are always failures. Polars' panics do not derive from `Exception`."""


def is_failure(error: BaseException) -> bool:
    """Return whether an exception is a failure of the code that raised it, not a request to end the current task.

    A `CancelledError` is a failure unless cancellation of the current task was requested: otherwise it comes from a
    task or future that the code awaited and that other code cancelled. The interpreter's own exceptions, such as
    `KeyboardInterrupt`, are requests.
    """
    if isinstance(error, asyncio.CancelledError):
        return not _is_cancelled()
    return isinstance(error, FAILURES)


def _is_cancelled() -> bool:
    """Return whether cancellation of the current task was requested."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # a thread without an event loop
        return False
    return task is not None and task.cancelling() > 0


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, its cause, the cause of that and so on; of an error raised from itself, what it came from."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__context__ if error.__cause__ is error else error.__cause__
