"""What counts as a failure of a step, source or sink."""

from __future__ import annotations

import asyncio

import polars as pl

FAILURES = (Exception, pl.exceptions.PanicException)
"""The exceptions that are failures wherever they are raised: Polars' panics are outside the tree of `Exception`."""


def is_failure(error: BaseException) -> bool:
    """Whether an exception is a failure of the code that raised it, and not a request to end the current task.

    A `CancelledError` is a failure unless somebody has asked to cancel the current task: it then comes from a
    task or future that the code awaited, which others cancelled. The interpreter's own exceptions, such as
    `KeyboardInterrupt`, are requests.
    """
    if isinstance(error, asyncio.CancelledError):
        return not _is_cancelled()
    return isinstance(error, FAILURES)


def _is_cancelled() -> bool:
    """Whether somebody has asked to cancel the current task."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # a thread without an event loop
        return False
    return task is not None and task.cancelling() > 0
