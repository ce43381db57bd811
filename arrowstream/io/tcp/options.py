"""Limits of the clients of a TCP source, and the certificates of both ends."""

from __future__ import annotations

from dataclasses import dataclass

from arrowstream.config.secret_text import read_secret
from arrowstream.core.checks import PathLike, check_whole
from arrowstream.core.duration import Duration, seconds
from arrowstream.errors import PlanError

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""Default of the largest message, in bytes."""


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """What the clients of a TCP source may do. A client that does more is closed; the others go on.

    Parameters
    ----------
    max_message_bytes
        Largest message, in bytes: a line with its end, or a frame without its length. The length of a frame is
        checked before the frame is read.
    max_clients
        Largest number of clients at a time; further ones are closed as they connect.
    max_buffer_bytes
        Bytes of all clients together that came and were not read by the pipeline, from which on only clients with
        less than their share, ``max_buffer_bytes / max_clients``, go on, and one that may complete its message.
    max_bytes_per_second
        Bytes per second of each client, beyond which it is read more slowly; None for no limit.
    handshake_timeout
        Time from connecting to the end of the TLS handshake and of the token.
    message_timeout
        Time from the first to the last byte of a message, without the time in which the source did not read.
    idle_timeout
        Time without a byte; None for no limit.

    Raises
    ------
    PlanError
        A number is not whole or less than 1, or a time is not a duration or 0.
    """

    max_message_bytes: int = MAX_MESSAGE_BYTES
    max_clients: int = 100
    max_buffer_bytes: int = 64 * 1024 * 1024
    max_bytes_per_second: int | None = None
    handshake_timeout: Duration = 10.0
    message_timeout: Duration = 60.0
    idle_timeout: Duration | None = 3600.0

    def __post_init__(self) -> None:
        for name in ("max_message_bytes", "max_clients", "max_buffer_bytes"):
            check_whole(f"TcpLimits({name}=...)", getattr(self, name))
        if self.max_bytes_per_second is not None:
            check_whole("TcpLimits(max_bytes_per_second=...)", self.max_bytes_per_second)
        for name in ("handshake_timeout", "message_timeout", "idle_timeout"):
            duration = getattr(self, name)
            if duration is not None:
                positive(f"TcpLimits({name}=...)", duration)

    @property
    def seconds(self) -> tuple[float, float, float | None]:
        """The three timeouts in seconds: handshake, message, idle."""
        idle = None if self.idle_timeout is None else seconds(self.idle_timeout)
        return seconds(self.handshake_timeout), seconds(self.message_timeout), idle


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificates of one end of TLS connections, in PEM files. TLS 1.2 is the oldest version that is spoken.

    Parameters
    ----------
    certificate, key
        The end's own certificate, with those that it is signed by, and its private key. A source needs them; a sink
        if its server asks for them.
    ca
        Certificates of the authorities that sign those of the other end. A source then refuses clients without
        such a certificate; a sink trusts these authorities instead of the machine's.
    server_name
        Name in the server's certificate, if it is not the host of the address; for sinks.

    Raises
    ------
    PlanError
        Only one of `certificate` and `key` is given.
    """

    certificate: PathLike | None = None
    key: PathLike | None = None
    ca: PathLike | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise PlanError(
                "Tls(...) has half of a certificate",
                expected="certificate= and key= together",
                found="only certificate=" if self.key is None else "only key=",
            )


def check_options(call: str, token: object, tls: object) -> None:
    """Raise unless `token` is a text that is one line, and `tls` a `Tls`, or None.

    Raises
    ------
    PlanError
        One is something else. The message does not show the token.
    """
    if token is not None and (not isinstance(token, str) or not token or "\n" in token):
        raise PlanError(
            f"{call}(token=...) takes a text of one line",
            expected="'env:NAME' or 'file:PATH', where the token is, or the token",
            found=f"the {type(token).__name__} that is not shown",
        )
    if tls is not None and not isinstance(tls, Tls):
        raise PlanError(
            f"{call}(tls=...) takes a Tls",
            expected="arrowstream.Tls(certificate=..., key=..., ca=...)",
            found=f"the {type(tls).__name__} {tls!r}",
        )


def read_token(call: str, text: str | None) -> bytes | None:
    """Return the token that `text` is or names; None without one.

    Raises
    ------
    PlanError
        It is empty, and so would let in everyone, or not one line. The message does not show it.
    """
    if text is None:
        return None
    token = read_secret("token", text)
    if not token or "\n" in token:
        raise PlanError(
            f"the token of {call}() is not a line of text",
            expected="one line that is not empty",
            found="several lines" if token else "no text",
            hint="look at the variable or the file that holds it",
        )
    return token.encode()


def positive(what: str, duration: Duration) -> float:
    """Return a duration in seconds.

    Raises
    ------
    PlanError
        It is 0, or is not a duration.
    """
    try:
        found = seconds(duration)
    except PlanError as error:
        error.what = f"{what} does not fit: {error.what}"
        raise
    if found == 0:
        raise PlanError(f"{what} is too small", expected="more than 0 seconds", found=repr(duration))
    return found
