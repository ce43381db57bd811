"""Conversion of errors of the engine into errors of a job, with file and line."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from arrowstream.config.masking import hidden
from arrowstream.config.toml_file import Value
from arrowstream.errors import ArrowstreamError, JobError, SchemaError
from arrowstream.jobs.toml_words import in_toml

_VARIABLE = re.compile(r"\$([A-Za-z_]\w*)")
"""A variable as a shell takes it, which a job takes only in braces."""


@contextmanager
def located(value: Value) -> Iterator[None]:
    """Turn an error of the engine into a `JobError` of one line that names file and line of `value`.

    It leaves out the stage's name, because file and line are more precise.
    """
    try:
        yield
    except JobError:
        raise
    except ArrowstreamError as error:
        error.hint = _hint_of_value(value, error) or error.hint
        line = one_line(error)
        without_secrets(error, value.file.secrets)  # a traceback in Python shows the cause
        raise value.error(line) from error


def _hint_of_value(value: Value, error: ArrowstreamError) -> str | None:
    """Return a hint to a text in double quotes in SQL, or to a variable without braces; else None."""
    written = list(_texts(value.found))
    missing = error.found if isinstance(error, SchemaError) and error.hint is None else None
    if missing is not None and any(f'"{missing}"' in text for text in written):
        return f"double quotes enclose the name of a column; a text stands in single quotes: '{missing}'"
    bare = next(filter(None, map(_VARIABLE.search, written)), None)
    return None if bare is None or value.at[-1] != "path" else f"a variable is written ${{{bare[1]}}}"


def _texts(found: Any) -> Iterator[str]:
    """Yield the texts in a value of a job."""
    if isinstance(found, str):
        yield found
    elif isinstance(found, dict | list):
        for item in found.values() if isinstance(found, dict) else found:
            yield from _texts(item)


def without_secrets(error: ArrowstreamError, secrets: Collection[str]) -> None:
    """Mask secrets in the texts of an error."""
    error.what = hidden(error.what, secrets)
    error.expected, error.found, error.hint = (
        None if text is None else hidden(text, secrets) for text in (error.expected, error.found, error.hint)
    )


def in_words_of_jobs(error: ArrowstreamError) -> ArrowstreamError:
    """Return the error, whose hint and expectation now speak of TOML keys and SQL instead of Python."""
    error.expected, error.hint = (
        None if text is None else in_toml(text) for text in (error.expected, error.hint)
    )
    return error


def one_line(error: ArrowstreamError) -> str:
    """Format an error on one line, in the words of a job: what is wrong, expected, found, hint.

    Examples
    --------
    >>> one_line(ArrowstreamError("no column 'y'", stage="filter", found="x", hint="did you mean 'x'?"))
    "no column 'y'; found: x; hint: did you mean 'x'?"
    """
    error = in_words_of_jobs(error)
    details = [("expected", error.expected), ("found", error.found), ("hint", error.hint)]
    text = "; ".join([error.what, *(f"{label}: {detail}" for label, detail in details if detail)])
    return " ".join(text.split())
