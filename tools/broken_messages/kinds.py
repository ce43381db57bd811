"""The kinds of messages by name, and trials with them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

from tools.broken_messages import record_batches, tcp_sockets
from tools.broken_messages.arrow_ipc import ArrowIpc
from tools.broken_messages.avro_records import AvroRecords
from tools.broken_messages.csv_records import CsvRecords
from tools.broken_messages.json_objects import JsonObjects, PlainJsonObjects
from tools.broken_messages.kind import Kind, Say, verdict
from tools.broken_messages.protobuf_fields import ProtobufFields
from tools.broken_messages.tcp_streams import STREAMS

KINDS: Final[dict[str, Kind]] = {
    "json": JsonObjects(),
    "csv": CsvRecords(),
    "plain-json": PlainJsonObjects(),
    "arrow": ArrowIpc(),
    "avro": AvroRecords(),
    "protobuf": ProtobufFields(),
}
"""Messages that decoders read."""

NAMES: Final = (*KINDS, *STREAMS, "tcp", "records")
"""All kinds. Those of `STREAMS` are bytes of one client, divided and decoded without a socket; ``tcp`` are such bytes
that are sent to a source; ``records`` are the record batches of Kafka, which hold messages."""

FEWER: Final = {"tcp": 50}
"""By what the number of trials is divided for kinds whose trials take longer."""


def make(kind: str, number: int, seed: int) -> Sequence[bytes]:
    """Make the messages of a decoder, or the pieces of a stream, by their number."""
    draw = random.Random(f"{seed} {kind} {number}")
    return (STREAMS[kind] if kind in STREAMS else KINDS[kind]).make(draw)


def tried(kind: str, number: int, seed: int, say: Say) -> tuple[str, str]:
    """Try messages of a kind by their number; return what came of them in a word, and more about it."""
    if kind in KINDS:
        return verdict(KINDS[kind], make(kind, number, seed), say)
    if kind in STREAMS:
        return STREAMS[kind].verdict(make(kind, number, seed), random.Random(number), say)
    say("arrowstream")
    return tcp_sockets.verdict(number, seed) if kind == "tcp" else record_batches.verdict(number, seed)


def shown(kind: str, number: int, seed: int) -> Any:
    """Return what a trial is made with."""
    if kind in KINDS or kind in STREAMS:
        return make(kind, number, seed)
    return (tcp_sockets if kind == "tcp" else record_batches).make(number, seed)
