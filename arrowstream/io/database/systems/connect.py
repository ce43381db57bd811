"""Connecting to a database, whichever system it is."""

from __future__ import annotations

import re

from arrowstream.config.masking import hidden
from arrowstream.errors import ArrowstreamError, SinkError, SourceError
from arrowstream.io.database.address import DatabaseAddress
from arrowstream.io.database.extra import demand_extra
from arrowstream.io.database.systems.database import Database
from arrowstream.io.database.systems.failures import HINTS, Failure, busy
from arrowstream.io.database.systems.unusable_files import why_unusable

_HINTS = (
    (
        r"different configuration",
        "in one process, a file of DuckDB is either read or written: use two files, or two runs",
    ),
    (r"not a valid DuckDB database file", "name another file: this one is something else, or encrypted"),
    (r"Connection refused|timeout expired", "start the server, or correct host and port"),
    (r"could not translate host name", "correct the name of the host"),
    (r'database "[^"]*" does not exist', "correct the name of the database, or create it: CREATE DATABASE"),
    (r'role "[^"]*" does not exist', "correct the user, or create it: CREATE ROLE ... LOGIN"),
    (
        r"no password supplied",
        "give a password: postgresql://user:env:NAME@host/database, with the variable NAME",
    ),
    (
        r"password authentication failed",
        "correct user and password: postgresql://user:env:NAME@host/database",
    ),
    (r"does not support SSL", "the server has no TLS: leave sslmode out, or write ?sslmode=prefer"),
    (r"no encryption|SSL off", "the server may want TLS: add ?sslmode=require to the URI"),
    (
        r"certificate",
        "name the file with the server's root certificate: ?sslmode=verify-full&sslrootcert=FILE",
    ),
    (
        r"too many clients|remaining connection slots",
        "close other connections, or raise max_connections of the server",
    ),
)
"""What to do about a message of a driver about the connection."""

_OTHERS = (
    (
        r"file is not a database",
        "is not a database of SQLite",
        "name another file: this one is something else, or encrypted; for one of DuckDB write duckdb:///{path}",
    ),
    (r'[Ee]xtension "sqlite|a database of sqlite', "is a database of SQLite", "write sqlite:///{path}"),
)
"""What a driver says about the file of another system, what the file is, and what to do."""


def connect(address: DatabaseAddress, kind: type[SinkError | SourceError]) -> Database:
    """Connect to a database.

    Raises
    ------
    SinkError, SourceError
        It cannot be reached; the error is of the given kind.
    DatabaseBusy
        Another process has locked it.
    MissingExtra
        Its driver is not installed.
    PlanError
        The password cannot be read.
    """
    demand_extra(address.kind)
    database: type[Database]
    if address.kind == "sqlite":
        from arrowstream.io.database.systems.sqlite import SqliteDatabase as database
    elif address.kind == "postgresql":
        from arrowstream.io.database.systems.postgresql import PostgresqlDatabase as database
    else:
        from arrowstream.io.database.systems.duckdb import DuckdbDatabase as database
    secret = address.secret()
    read_only = kind is SourceError
    what = f"the database {address.label} cannot be opened"
    if address.is_file and (unusable := why_unusable(address, read_only=read_only)) is not None:
        raise kind(what, found=unusable[0], hint=unusable[1])
    try:
        return database.connect(address, secret, read_only=read_only)
    except database.failures as error:
        for pattern, found, hint in _OTHERS:
            if re.search(pattern, str(error)):
                raise kind(
                    what, found=f"{address.file.absolute()} {found}", hint=hint.format(path=address.path)
                ) from error
        raise _failure(kind, what, error, secret) from error


def _failure(
    kind: type[SinkError | SourceError], what: str, error: Exception, secret: str | None
) -> ArrowstreamError:
    failure = Failure.of(error)
    message = hidden(failure.message, () if secret is None else (secret,))
    if failure.busy:
        return busy(what, message)
    hint = next((hint for pattern, hint in (*_HINTS, *HINTS) if re.search(pattern, message)), None)
    return kind(what, found=message, hint=hint)
