"""`DatabaseAddress`: which database a URI means, with its password kept out of sight."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

from arrowstream.config.secret_text import read_secret
from arrowstream.core.hints import did_you_mean
from arrowstream.errors import PlanError

Kind = Literal["sqlite", "postgresql", "duckdb"]

_SCHEMES: dict[str, Kind] = {
    "sqlite": "sqlite",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "duckdb": "duckdb",
}
_EXPECTED = "'sqlite:///out.db', 'postgresql://user@host/database' or 'duckdb:///out.duckdb'"
_URI = re.compile(r"(?P<scheme>[a-z0-9+]+)://(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_LOGIN = re.compile(
    r"(?P<user>[^:@/?#]*)(?::(?P<password>(?:env|file):[^@]*|[^/?#]*))?@(?P<server>[^@]*)", re.DOTALL
)
_QUERY_SECRET = re.compile(r"[?&](?:ssl)?password=", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """Address of a database. Nothing is read or opened before a pipeline runs.

    Parameters
    ----------
    kind
        The database system.
    path
        The file of SQLite and DuckDB, or host, port, database and options of PostgreSQL.
    user
        Login for PostgreSQL; None for the default of the machine.
    password
        Its password, or the place of it, ``env:NAME`` or ``file:PATH``; None for the default of the machine.
    """

    kind: Kind
    path: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, step: str, uri: object) -> DatabaseAddress:
        """Return the address that a user writes as a URI.

        Raises
        ------
        PlanError
            It is not a URI of a database.
        """
        found = _URI.fullmatch(uri) if isinstance(uri, str) else None
        if found is None:
            what = repr(uri) if isinstance(uri, str) and "@" not in uri else f"a {type(uri).__name__}"
            raise PlanError(f"{step} takes the URI of a database", expected=_EXPECTED, found=what)
        kind = _SCHEMES.get(found["scheme"].lower())
        if kind is None:
            scheme = found["scheme"]
            hint = did_you_mean(scheme.lower(), _SCHEMES)
            raise PlanError(f"{step} has no driver for {scheme}://", expected=_EXPECTED, hint=hint)
        if kind == "postgresql":
            return cls._server(step, found["rest"])
        return cls._file(step, kind, found["rest"])

    @classmethod
    def _server(cls, step: str, rest: str) -> DatabaseAddress:
        if _QUERY_SECRET.search(rest):
            raise PlanError(
                f"{step} takes the password from the login of the URI",
                expected="postgresql://user:env:NAME@host/database",
                found="the option password=",
            )
        login = _LOGIN.fullmatch(rest)
        if login is None:
            if "@" in rest:
                raise PlanError(
                    f"{step} cannot read the login of the URI",
                    expected="postgresql://user:password@host/database, with the signs @ / ? # of a password "
                    "written as %40 %2F %3F %23",
                )
            return cls("postgresql", rest)
        user = unquote(login["user"]) or None
        return cls("postgresql", login["server"], user, login["password"] or None)

    @classmethod
    def _file(cls, step: str, kind: Kind, rest: str) -> DatabaseAddress:
        path = rest.removeprefix("/")
        if not rest.startswith("/"):
            raise PlanError(
                f"{step} takes the URI of a database file with three slashes",
                expected=f"{kind}:///{rest}",
                found=f"{kind}://{rest}",
            )
        if path in ("", ":memory:") or path.startswith(("file:", ":memory:")) or "\0" in path:
            raise PlanError(
                f"{step} takes the path of a database file",
                expected=f"{kind}:///out.db, or {kind}:////folder/out.db for an absolute path",
                found=repr(path),
                hint="a database in memory ends with the run: name a file",
            )
        return cls(kind, path)

    @property
    def is_file(self) -> bool:
        """True if the database is a file, which one process writes at a time."""
        return self.kind != "postgresql"

    @property
    def file(self) -> Path:
        """Path of the file of SQLite or DuckDB."""
        return Path(self.path).expanduser()

    @property
    def label(self) -> str:
        """The database in one line, without password and options."""
        if self.is_file:
            return f"{self.kind} {self.path}"
        login = f"{self.user}@" if self.user is not None else ""
        return f"{self.kind} {login}{self.path.partition('?')[0]}"

    @property
    def identity(self) -> str:
        """The database without the login, which may change between two runs of a job."""
        return f"{self.kind} {self.path.partition('?')[0]}"

    @property
    def identity_in_full(self) -> str:
        """The database without the login, a file by its absolute path."""
        return f"{self.kind} {self.file.absolute()}" if self.is_file else self.identity

    def secret(self) -> str | None:
        """Read the password; None without one.

        Raises
        ------
        PlanError
            It cannot be read.
        """
        if self.password is None:
            return None
        if self.password.startswith(("env:", "file:")):
            return read_secret("password", unquote(self.password))
        return unquote(self.password)

    def server_uri(self, secret: str | None) -> str:
        """Return the URI of a PostgreSQL server for its driver, with the password as it is."""
        if self.user is None and secret is None:
            return f"postgresql://{self.path}"
        login = quote(self.user or "", safe="") + ("" if secret is None else f":{quote(secret, safe='')}")
        return f"postgresql://{login}@{self.path}"
