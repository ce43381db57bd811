"""Conversion of errors of the engine into errors of a job, with file and line."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from arrowstream.config.masking import hidden
from arrowstream.config.toml_file import Value
from arrowstream.errors import ArrowstreamError, JobError
from arrowstream.jobs.toml_words import in_toml


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
        line = one_line(error)
        without_secrets(error, value.file.secrets)  # a traceback in Python shows the cause
        raise value.error(line) from error


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
