"""Where a schema registry is, and how a client proves who it is."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final
from urllib.parse import urlsplit

from arrowstream.config.masking import MASK, masked
from arrowstream.core.duration import Duration, seconds
from arrowstream.errors import PlanError

_SECRETS: Final = ("password", "token")
_PLACES: Final = ("env:", "file:")


@dataclass(frozen=True, slots=True, repr=False)
class SchemaRegistry:
    """A schema registry that speaks Confluent's protocol. Nothing is sent before a pipeline runs.

    `password` and `token` are secrets: write ``env:NAME`` or ``file:PATH`` to have them read from a variable or from
    the first line of a file. They are never printed.

    Parameters
    ----------
    url
        Address, ``http://host:8081`` or ``https://host/path``.
    user, password
        Login by name.
    token
        Bearer token, in place of a login.
    ca_file
        Certificates (PEM) of the authorities that may sign the registry's; by default those of the system.
    timeout
        Longest wait for each answer.
    tries
        Number of attempts of a request that fails with status 429 or 5xx, or without an answer. The wait before the
        next one begins at 0.1 s and doubles.

    Raises
    ------
    PlanError
        The options do not fit together.

    Examples
    --------
    >>> SchemaRegistry("https://registry:8081", user="me", password="hunter2")
    SchemaRegistry('https://registry:8081', user='me', password='***')
    """

    url: str
    user: str | None = None
    password: str | None = None
    token: str | None = None
    ca_file: str | None = None
    timeout: Duration = "10s"
    tries: int = 4

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise PlanError(
                "a schema registry has no such address",
                expected="http://host:port or https://host:port, with a path or without",
                found=repr(masked("url", self.url)),
            )
        if parts.username or parts.password:
            raise PlanError(
                "the address of a schema registry holds a login",
                expected="user= and password=, and an address without them",
                found=repr(masked("url", self.url)),
                hint="write password='env:NAME' to keep the secret out of the program",
            )
        if (self.user is None) != (self.password is None) or (
            self.user is not None and self.token is not None
        ):
            raise PlanError(
                "the login of a schema registry does not fit together",
                expected="user and password, or token, or none of them",
                found=", ".join(
                    name for name in ("user", "password", "token") if getattr(self, name) is not None
                ),
            )
        if not isinstance(self.tries, int) or self.tries < 1 or seconds(self.timeout) <= 0:
            raise PlanError(
                "a schema registry gets no time to answer",
                expected="tries of at least 1, and a timeout of more than 0 s",
                found=f"tries={self.tries!r}, timeout={self.timeout!r}",
            )

    def __repr__(self) -> str:
        given = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name != "url" and getattr(self, each.name) != each.default
        }
        shown = {
            name: MASK if name in _SECRETS and not value.startswith(_PLACES) else value
            for name, value in given.items()
        }
        options = [f"{name}={value!r}" for name, value in shown.items()]
        return f"SchemaRegistry({', '.join([repr(self.url), *options])})"
