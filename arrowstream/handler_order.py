"""Which handlers can act one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from arrowstream.errors import PlanError
from arrowstream.policy import DeadLetter, ErrorHandler, Fail, Log, Skip


def check_handlers(handlers: Sequence[object]) -> None:
    """Check that these can act one after the other.

    Raises
    ------
    PlanError
        One is no handler, comes after one that leaves nothing to do, or logs again what was just logged.
    """
    previous: ErrorHandler | None = None
    for handler in handlers:
        if not isinstance(handler, ErrorHandler):
            raise PlanError(
                "on_error() takes error handlers",
                expected="ErrorHandler.retry(...), .log(), .skip(), .dead_letter(...) or .fail()",
                found=f"{type(handler).__name__} {handler!r}",
            )
        if isinstance(previous, Skip | DeadLetter | Fail):
            raise PlanError(
                f"{handler.describe()} comes after {previous.describe()}, which leaves nothing to do",
                expected="retry(...) and log() first, then one of skip(), dead_letter(...) and fail()",
                found=", ".join(_described(handlers)),
                hint="handlers act in the order given: change it, or take one away",
            )
        if isinstance(handler, Log) and isinstance(previous, Log):
            raise PlanError(
                "log() twice in a row would log every failure twice", hint="take one of them away"
            )
        previous = handler


def _described(handlers: Sequence[object]) -> Iterator[str]:
    for handler in handlers:
        yield handler.describe() if isinstance(handler, ErrorHandler) else repr(handler)
