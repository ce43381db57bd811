"""Failures of databases as errors that name the table and what it refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from arrowstream.config.masking import hidden
from arrowstream.errors import ArrowstreamError, DatabaseBusy, SinkError, SourceError

_NOISE = re.compile(
    r"^(?:[A-Z_]+: )?(?:\[libpq\] |\[SQLite\] )?"
    r"(?:(?:failed to|Failed to) [^:]*: )?(?:PGRES_FATAL_ERROR )?(?:ERROR: +|FATAL: +|[A-Z][A-Za-z-]+ Error: +)?"
)
"""What drivers write before the message of the database itself."""
_TAIL = re.compile(
    r"\n(?:query was:|Query was:|CONTEXT:|query:|LINE \d+:).*|\s*\.? ?SQLSTATE: \w+$", re.DOTALL
)
_SQLITE = re.compile(r"(?P<kind>[A-Z]+(?: [A-Z]+)*) constraint failed(?:: (?P<name>.*))?")
_BUSY_STATES = {"40001", "40P01", "55P03"}
"""SQLSTATE of PostgreSQL for a transaction that lost against another one, and for a lock that was not free."""
_BUSY = re.compile(
    r"database (?:table |schema )?is locked|Conflicting lock|write-write conflict|Conflict on tuple"
)


_TWICE = re.compile(r"UNIQUE constraint failed|PRIMARY KEY or UNIQUE constraint|duplicate key", re.IGNORECASE)
_AGAIN = 'mode="upsert" with the columns of this constraint as key= replaces a row by one that comes later'

HINTS = (
    (r"is full|No space left|could not extend file", "make room on the disk of the database, and run again"),
    (
        r"readonly database|read-only transaction",
        "let this process write the file and its folder, or the user the database",
    ),
    (r"permission denied", "give the user the right to it: GRANT"),
    (
        r"the process for the file of SQLite cannot be started",
        "SQLite runs in a Python of its own: let sys.executable name one, and this process start it and open pipes",
    ),
    (
        r"the process with the file of SQLite has ended",
        "run again: what was not committed is undone; if it ended during the commit, look for the rows first",
    ),
    (
        r"not a database|malformed|[Cc]orrupt",
        "restore the file from a backup: it is damaged, or something else",
    ),
)
"""What to do about a message of a database."""

_READERS = (
    "a SELECT with rows left to fetch is one, too: fetch them or close its cursor, "
    "or let readers be in nobody's way by PRAGMA journal_mode = WAL, once for the file"
)
"""What else may lock a file of SQLite."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What a database said about a failure.

    Parameters
    ----------
    message
        Its message, without what drivers add.
    constraint
        The constraint that refused rows, which DuckDB names in its message only (""); None for something else.
    busy
        True if another transaction was in the way, so that trying again may succeed.
    """

    message: str
    constraint: str | None
    busy: bool

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Read an exception of a driver."""
        text = str(error)
        message = " ".join(_NOISE.sub("", _TAIL.sub("", text)).split())
        details = _details(error)
        found = _SQLITE.search(message)
        if "PG_DIAG_CONSTRAINT_NAME" in details:
            constraint: str | None = details["PG_DIAG_CONSTRAINT_NAME"]
        elif "PG_DIAG_COLUMN_NAME" in details:
            constraint = f"of column {details['PG_DIAG_COLUMN_NAME']}"
        elif found is not None:
            constraint = found["kind"] + (f" of {found['name']}" if found["name"] else "")
        else:
            constraint = "" if type(error).__name__ == "ConstraintException" else None
        busy = getattr(error, "sqlstate", None) in _BUSY_STATES or _BUSY.search(text) is not None
        return cls(message, constraint, busy)


def _details(error: BaseException) -> dict[str, str]:
    found: Any = getattr(error, "details", None) or ()
    return {_text(name): _text(value) for name, value in found}


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def sink_failure(error: BaseException, table: str, secret: str | None = None) -> ArrowstreamError:
    """Return the error of a write that a database refused."""
    failure = Failure.of(error)
    message = hidden(failure.message, () if secret is None else (secret,))
    if failure.busy:
        return busy(f"the table {table} is locked", message)
    if failure.constraint is not None:
        return SinkError(
            f"the table {table} refuses rows for a constraint",
            expected=f"rows that keep the constraint {failure.constraint}" if failure.constraint else None,
            found=message,
            hint=_AGAIN if _TWICE.search(message) else None,
        )
    return SinkError(f"the database cannot write to the table {table}", found=message, hint=_hint(message))


def source_failure(error: BaseException, what: str, secret: str | None = None) -> ArrowstreamError:
    """Return the error of a read that a database refused."""
    failure = Failure.of(error)
    message = hidden(failure.message, () if secret is None else (secret,))
    if failure.busy:
        return busy(f"{what} is locked", message)
    return SourceError(f"{what} cannot be read", found=message, hint=_hint(message))


def _hint(message: str) -> str | None:
    return next((hint for pattern, hint in HINTS if re.search(pattern, message)), None)


def busy(what: str, message: str) -> DatabaseBusy:
    """Return the error for what another transaction or process has locked."""
    hint = "end the other transaction, and run again"
    if "is locked" in message:  # the words of SQLite
        hint = f"{hint}; {_READERS}"
    return DatabaseBusy(what, expected="other transactions that end in time", found=message, hint=hint)


@contextmanager
def writing_rows() -> Iterator[None]:
    """Say that a lock that a write meets may be tried again: handlers of errors do so for writes alone."""
    try:
        yield
    except DatabaseBusy as error:
        error.hint = f"try again, as .on_error(ErrorHandler.retry(3)) does for a write, or {error.hint}"
        raise


@contextmanager
def committing(then: str) -> Iterator[None]:
    """Say what becomes of the rows of a commit that meets a lock."""
    try:
        yield
    except DatabaseBusy as error:
        error.hint = f"{error.hint}; {then}"
        raise
