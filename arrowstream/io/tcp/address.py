"""Addresses of TCP sockets: a host and a port."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from arrowstream.config.masking import without_logins
from arrowstream.errors import PlanError

LOOPBACK = "127.0.0.1"
"""The host of an address without one."""

_FORM = re.compile(r"(?:(?:\[(?P<bracketed>[^\[\]\s]+)\]|(?P<host>[^\[\]:\s/]*)):)?(?P<port>\d{1,5})")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a socket listens, or what it connects to.

    Parameters
    ----------
    host
        Name or number of the machine.
    port
        The port; 0 for any free one.
    """

    host: str
    port: int

    @classmethod
    def of(cls, call: str, text: object) -> Address:
        """Read ``host:port``; a port alone, or ``:port``, is one of this machine.

        Parameters
        ----------
        call
            Name of the method that takes the address, for errors.
        text
            The address.

        Raises
        ------
        PlanError
            It is not an address.

        Examples
        --------
        >>> [str(Address.of("from_tcp", text)) for text in ("0.0.0.0:9000", ":9000", "9000", "[::1]:9000")]
        ['0.0.0.0:9000', '127.0.0.1:9000', '127.0.0.1:9000', '[::1]:9000']
        """
        found = _FORM.fullmatch(text.strip()) if isinstance(text, str) else None
        if found is None or int(found["port"]) > _LARGEST_PORT:
            raise PlanError(
                f"{call}() does not know this address",
                expected="host:port, such as '127.0.0.1:9000'; IPv6 in brackets; ports up to 65535",
                found=without_logins(repr(text)),
                hint=_hint(text),
            )
        return cls(found["bracketed"] or found["host"] or LOOPBACK, int(found["port"]))

    @classmethod
    def of_socket(cls, name: Any) -> Address:
        """Return the address in what `socket.getsockname` and `getpeername` return."""
        return cls(name[0], name[1])

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


_LARGEST_PORT = 65_535


def _hint(text: object) -> str | None:
    if isinstance(text, int):
        return f"write '{LOOPBACK}:{text}'"
    if isinstance(text, str) and "://" in text:
        return "leave out what is before the host, and what follows the port"
    return None
