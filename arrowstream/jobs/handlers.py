"""The error handlers of a job's step or sink: the key `on_error`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from arrowstream.config.toml_file import Value
from arrowstream.jobs.connectors import side_sink
from arrowstream.jobs.job_errors import located
from arrowstream.jobs.values import Arguments, duration
from arrowstream.policies.handlers import ErrorHandler


def _retry(found: dict[str, Any]) -> ErrorHandler:
    return ErrorHandler.retry(found.pop("retry"), **found)


def _skip(found: dict[str, Any]) -> ErrorHandler:
    found.pop("skip")
    return ErrorHandler.skip(**found)


def _dead_letter(found: dict[str, Any]) -> ErrorHandler:
    return ErrorHandler.dead_letter(found.pop("dead_letter"), **found)


def true(value: Value) -> bool:
    """Read ``true``; what is false is left out of a job."""
    if not value.flag():
        raise value.error("leave it out instead")
    return True


ALONE: dict[str, Callable[[], ErrorHandler]] = {
    "retry": ErrorHandler.retry,
    "log": ErrorHandler.log,
    "skip": ErrorHandler.skip,
    "fail": ErrorHandler.fail,
}
"""Handlers that are written as a text."""

TABLES: dict[str, tuple[Arguments, Callable[[dict[str, Any]], ErrorHandler]]] = {
    "retry": (
        Arguments(
            {
                "retry": Value.count,
                "delay": duration,
                "factor": Value.number,
                "jitter": Value.number,
                "budget": duration,
                "max_delay": duration,
            },
            ("retry",),
        ),
        _retry,
    ),
    "skip": (Arguments({"skip": true, "whole_batch": Value.flag}, ("skip",)), _skip),
    "dead_letter": (
        Arguments({"dead_letter": side_sink, "whole_batch": Value.flag}, ("dead_letter",)),
        _dead_letter,
    ),
}
"""Handlers that are written as a table, each with the key that names it, and what makes it."""


def handlers(value: Value) -> list[ErrorHandler]:
    """Read one handler, or an array such as ``[{ retry = 3, delay = "100ms" }, "log", "skip"]``.

    Raises
    ------
    JobError
        A handler is unknown, or one of its values is wrong. The pipeline checks the order of the handlers.
    """
    return [_handler(item) for item in value.items()]


def _handler(value: Value) -> ErrorHandler:
    if isinstance(value.found, str):
        if value.found == "dead_letter":
            raise value.error("needs a sink: { dead_letter = { kind = 'file', path = 'bad/' } }")
        return ALONE[value.one_of(ALONE)]()
    kinds = [key for key in value.table() if key in TABLES]
    if len(kinds) != 1:
        found = " and ".join(map(repr, value.table())) or "none"
        known = ", ".join(map(repr, TABLES))
        raise value.error(f"a handler is a text, or a table with one of {known}; found {found}")
    with located(value):
        read, make = TABLES[kinds[0]]
        return make(read(value))
