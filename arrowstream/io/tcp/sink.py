"""The TCP sink."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.checks import check_whole
from arrowstream.core.duration import Duration
from arrowstream.core.messages import Encoder
from arrowstream.core.mistakes.explain import explain_names
from arrowstream.core.mistakes.other_names import SINK
from arrowstream.core.step_context import StepContext
from arrowstream.io.sink import JsonPart, SinkSpec
from arrowstream.io.tcp.address import Address
from arrowstream.io.tcp.formats import TcpFormat
from arrowstream.io.tcp.options import MAX_MESSAGE_BYTES, Tls, check_options, positive, read_token
from arrowstream.io.tcp.payload import frames, lines
from arrowstream.io.tcp.tls import client_context
from arrowstream.io.tcp.uplink import Destination, Uplink
from arrowstream.io.writer import Handle, Writer

_ON_LOOP = 256
_ON_LOOP_BYTES = 64 * 1024
"""Most rows and bytes that are encoded on the event loop's thread, which takes less than a millisecond."""


@dataclass(frozen=True, slots=True)
class TcpWaits:
    """How long a sink waits, in seconds: for a server, for one attempt to connect, and for the server's end."""

    reconnect_s: float = 60.0
    connect_s: float = 10.0
    close_s: float = 60.0

    @classmethod
    def of(cls, reconnect_for: Duration, connect_timeout: Duration, close_timeout: Duration) -> TcpWaits:
        """Return the waits that a user gives.

        Raises
        ------
        PlanError
            One is not a duration, or is 0.
        """
        return cls(
            positive("to_tcp(reconnect_for=...)", reconnect_for),
            positive("to_tcp(connect_timeout=...)", connect_timeout),
            positive("to_tcp(close_timeout=...)", close_timeout),
        )


@explain_names("a sink", SINK)
@dataclass(frozen=True, slots=True)
class TcpSink(SinkSpec):
    """Messages to a server. See `Sink.to_tcp`.

    Parameters
    ----------
    address
        The server's address.
    format
        Format of the messages.
    messages
        Their encoder.
    token
        The token, or its place; None for none.
    tls
        Certificates; None for plain connections.
    waits
        How long the sink waits.
    max_message_bytes
        Largest message, in bytes.
    """

    address: Address
    format: TcpFormat
    messages: Encoder
    token: str | None = field(default=None, repr=False)
    tls: Tls | None = None
    waits: TcpWaits = field(default_factory=TcpWaits)
    max_message_bytes: int = MAX_MESSAGE_BYTES

    def __post_init__(self) -> None:
        check_options("to_tcp", self.token, self.tls)
        check_whole("to_tcp(max_message_bytes=...)", self.max_message_bytes)

    @property
    def label(self) -> str:
        return f"tcp {self.address} ({self.format}{', TLS' if self.tls else ''})"

    @property
    def identity(self) -> str:
        return f"tcp {self.address} ({self.messages.label if self.format == 'csv' else self.format})"

    @property
    def guarantee(self) -> str:
        return (
            "at least once for the batch whose connection breaks, which is sent again; what was sent before it, and "
            "the server had not read by then, is lost"
        )

    def check(self, schema: pl.Schema) -> None:
        self.messages.check(schema)

    def json_part(self, schema: pl.Schema) -> JsonPart | None:
        return (lambda rows: rows) if self.messages.is_json else None

    def open(self, schema: pl.Schema, context: StepContext) -> Writer:
        token = read_token("to_tcp", self.token)
        to = Destination(
            self.address,
            None if self.tls is None else client_context(self.tls),
            None if self.tls is None else self.tls.server_name,
            token,
            self.waits.connect_s,
            self.waits.reconnect_s,
            self.waits.close_s,
        )
        encoding = self.messages.open(schema, context)
        make = frames if self.format == "arrow" else lines
        return _TcpWriter(
            lambda frame: make(encoding, frame, self.max_message_bytes),
            encoding.close,
            Uplink(to, context, Random()),
            context,
        )


class _TcpWriter(Writer):
    __slots__ = ("_encode", "_release", "_threads", "_uplink")

    def __init__(
        self,
        encode: Callable[[pl.DataFrame], Any],
        release: Callable[[], None],
        uplink: Uplink,
        context: StepContext,
    ) -> None:
        self._encode = encode
        self._release = release
        self._uplink = uplink
        self._threads = context.threads

    async def write(self, batch: Batch) -> None:
        frame = batch.polars()
        if frame.height <= _ON_LOOP and batch.nbytes <= _ON_LOOP_BYTES:
            data = self._encode(frame)
        else:
            data = await self._threads.call(self._encode, frame)
        await self._uplink.send(data)

    async def prepare(self, epoch: int) -> Handle:
        await self._uplink.end()
        return {}

    async def close(self) -> None:
        self._release()

    async def abort(self) -> None:
        self._uplink.abort()
        self._release()
