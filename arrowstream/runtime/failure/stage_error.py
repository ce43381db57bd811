"""Errors that name the stage of a failure."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TypeVar

from arrowstream.core.batch import Batch
from arrowstream.core.failures import is_failure
from arrowstream.core.hints import cast_hint, frame_hint
from arrowstream.errors import ArrowstreamError, StageError

T = TypeVar("T")

ON_ERROR = (
    "after the step, .on_error(ErrorHandler.skip()) leaves out the rows that fail, and "
    ".on_error(ErrorHandler.retry(3)) tries again"
)
"""Advice for the failure of a step that can have handlers and has none."""


def stage_error(
    stage: str,
    batch: Batch | None,
    error: BaseException,
    kind: type[StageError] = StageError,
    *,
    advice: str | None = None,
) -> ArrowstreamError:
    """Return a failure as an `ArrowstreamError` that names its stage.

    Parameters
    ----------
    stage
        The name of the stage, unless the error names one.
    batch
        The batch that failed, whose position in the source the error gives, unless it has a more precise one; None if
        it was not a batch.
    error
        The failure; an `ArrowstreamError` is returned itself.
    kind
        The class of the error for any other failure.
    advice
        The hint where the failure itself suggests none.
    """
    position = str(batch.position) if batch is not None and batch.position is not None else None
    if isinstance(error, ArrowstreamError):
        error.stage = error.stage or stage
        if isinstance(error, StageError):
            error.position = error.position or position
        return error
    if isinstance(error, asyncio.CancelledError):
        what = "it was cancelled by other code, or something that it awaits was"
        return kind(what, stage=stage, position=position, hint="the run itself was not cancelled")
    hint = cast_hint(error) or frame_hint(error) or advice
    return kind(first_line(error), stage=stage, position=position, hint=hint)


def opened(stage: str, kind: type[StageError], open_it: Callable[[], T]) -> T:
    """Open a source or a sink; a failure becomes an error of this kind that names it."""
    try:
        return open_it()
    except BaseException as error:
        if not is_failure(error):
            raise
        raise stage_error(stage, None, error, kind) from error


def first_line(error: BaseException) -> str:
    """Return an error's class and the first line of its message, without a column that Polars made for itself."""
    line = _OWN_COLUMN.sub("", next(iter(str(error).splitlines()), "no message"))
    return f"{type(error).__name__}: {line}"


_OWN_COLUMN = re.compile(" in column '__POLARS_[^']*'")
