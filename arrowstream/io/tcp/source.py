"""The TCP source."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import polars as pl

from arrowstream.core.checks import check_whole
from arrowstream.core.messages import Decoder
from arrowstream.core.mistakes.explain import explain_names
from arrowstream.core.mistakes.other_names import SOURCE
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError, SourceError
from arrowstream.io.source import Query, Reader, SourceSpec
from arrowstream.io.tcp.address import Address
from arrowstream.io.tcp.formats import TcpFormat
from arrowstream.io.tcp.framing import Framing, LengthPrefixed, LineFraming, QuotedLines
from arrowstream.io.tcp.options import TcpLimits, Tls, check_options, read_token
from arrowstream.io.tcp.reader import TcpReader
from arrowstream.io.tcp.tls import server_context

_BACKLOG = 100


@explain_names("a source", SOURCE)
@dataclass(frozen=True, slots=True)
class TcpSource(SourceSpec):
    """Messages of all clients that connect to an address. See `Source.from_tcp`.

    Parameters
    ----------
    address
        Where it listens.
    format
        Format of the messages.
    messages
        Their decoder.
    token
        The token of clients, or its place; None for no token.
    tls
        Certificates; None for plain connections.
    limits
        What clients may do.
    clients
        Number of clients after which the stream ends; None for no end.
    """

    address: Address
    format: TcpFormat
    messages: Decoder
    token: str | None = field(default=None, repr=False)
    tls: Tls | None = None
    limits: TcpLimits = field(default_factory=TcpLimits)
    clients: int | None = None
    _on_listening: Callable[[str], object] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.clients is not None:
            check_whole("from_tcp(clients=...)", self.clients)
        check_options("from_tcp", self.token, self.tls)
        if not isinstance(self.limits, TcpLimits):
            raise PlanError("from_tcp(limits=...) takes a TcpLimits", found=type(self.limits).__name__)
        if self.tls is not None and self.tls.certificate is None:
            raise PlanError(
                "from_tcp(tls=...) needs the certificate of this end",
                expected="Tls(certificate=..., key=...), PEM files",
                found=repr(self.tls),
            )

    @property
    def label(self) -> str:
        end = "" if self.clients is None else f", ends after {self.clients} clients"
        return f"tcp {self.address} ({self.format}{', TLS' if self.tls else ''}, at most once{end})"

    def schema(self) -> pl.Schema | None:
        return None if self.messages.schema is None else self.message_schema

    @property
    def read_once(self) -> bool:
        return True

    @property
    def endless(self) -> bool:
        return self.clients is None

    @property
    def decoder(self) -> Decoder:
        return self.messages

    def on_listening(self, call: Callable[[str], object]) -> TcpSource:
        """Return the source with a function that is called with its address once it listens.

        Parameters
        ----------
        call
            Gets the address as text, with the port that was free if the port is 0. Called on the thread of the run.

        Raises
        ------
        PlanError
            `call` is not a function.
        """
        if not callable(call):
            raise PlanError("on_listening() needs a function", found=type(call).__name__)
        return replace(self, _on_listening=call)

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader:
        token = read_token("from_tcp", self.token)
        tls = None if self.tls is None else server_context(self.tls)
        listener = self._listen()
        address = Address.of_socket(listener.getsockname())
        context.logger.info("%s listens on %s", context.id, address)
        if self._on_listening is not None:
            try:
                self._on_listening(str(address))
            except BaseException:
                listener.close()
                raise
        return TcpReader(
            listener,
            self._framing(),
            self.limits,
            clients=self.clients,
            token=token,
            tls=tls,
            context=context,
        )

    def _framing(self) -> Callable[[], Framing]:
        most = self.limits.max_message_bytes
        if self.format == "arrow":
            return partial(LengthPrefixed, most)
        return (
            partial(QuotedLines, most)
            if self.format == "csv"
            else partial(LineFraming, most, skip_blank=True)
        )

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.address.host else socket.AF_INET
        place: Any = (self.address.host, self.address.port)
        try:
            return socket.create_server(place, family=family, backlog=_BACKLOG)
        except OSError as error:
            raise SourceError(
                f"cannot listen on {self.address}",
                expected="an address of this machine, and a port that is free",
                found=error.strerror or str(error),
                hint="port 0 is any free port",
            ) from error
