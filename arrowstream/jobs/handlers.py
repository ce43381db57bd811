"""The error handlers of a job's step or sink: the key `on_error`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from arrowstream.config.toml_file import Value
from arrowstream.jobs.connectors import SINKS, connector
from arrowstream.jobs.job_errors import located
from arrowstream.jobs.values import arguments, duration
from arrowstream.policies.handlers import ErrorHandler


def _sink(value: Value) -> Any:
    return connector(value, SINKS)


_RETRY = {
    "retry": Value.count,
    "delay": duration,
    "factor": Value.number,
    "jitter": Value.number,
    "budget": duration,
    "max_delay": duration,
}
_SKIP = {"skip": Value.flag, "whole_batch": Value.flag}
_DEAD_LETTER = {"dead_letter": _sink, "whole_batch": Value.flag}


def _retry(value: Value) -> ErrorHandler:
    found = arguments(value, _RETRY)
    return ErrorHandler.retry(found.pop("retry"), **found)


def _skip(value: Value) -> ErrorHandler:
    found = arguments(value, _SKIP)
    if not found.pop("skip"):
        raise value.need("skip").error("leave it out instead")
    return ErrorHandler.skip(**found)


def _dead_letter(value: Value) -> ErrorHandler:
    found = arguments(value, _DEAD_LETTER)
    return ErrorHandler.dead_letter(found.pop("dead_letter"), **found)


_ALONE: dict[str, Callable[[], ErrorHandler]] = {
    "retry": ErrorHandler.retry,
    "log": ErrorHandler.log,
    "skip": ErrorHandler.skip,
    "fail": ErrorHandler.fail,
}
_TABLES: dict[str, Callable[[Value], ErrorHandler]] = {
    "retry": _retry,
    "skip": _skip,
    "dead_letter": _dead_letter,
}


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
        return _ALONE[value.one_of(_ALONE)]()
    kinds = [key for key in value.table() if key in _TABLES]
    if len(kinds) != 1:
        found = " and ".join(map(repr, value.table())) or "none"
        known = ", ".join(map(repr, _TABLES))
        raise value.error(f"a handler is a text, or a table with one of {known}; found {found}")
    with located(value):
        return _TABLES[kinds[0]](value)
