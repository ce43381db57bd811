"""What one client of a TCP source sends, in pieces: divided into messages as by a reader that looks at each byte."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from arrowstream.io.tcp.formats import TcpFormat
from arrowstream.io.tcp.framing import Framing, LengthPrefixed, LineFraming, QuotedLines
from tools.broken_files import originals
from tools.broken_files.damage import damaged
from tools.broken_files.judges import Refused
from tools.broken_messages import arrow_ipc, csv_records, json_objects
from tools.broken_messages.arrow_ipc import ArrowIpc
from tools.broken_messages.csv_records import CsvRecords
from tools.broken_messages.json_objects import JsonObjects
from tools.broken_messages.kind import Kind, Say, verdict

_MOST_LINE: Final = 160
_MOST_FRAME: Final = 3_000
"""Largest messages: some are longer."""

_LENGTHS: Final = (0, 1, 7, 8, 100, _MOST_FRAME, _MOST_FRAME + 1, 2**31 - 1, 2**31, 2**32 - 1)

Split = tuple[list[bytes], bool]
"""Messages, and whether the bytes after them cannot begin one."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A format of what clients send.

    Parameters
    ----------
    format
        Its name.
    kind, schema
        Its messages, and their columns.
    most
        Largest number of bytes of a message.
    framing
        Makes what divides the bytes of one client.
    sound
        Returns bytes without damage.
    split
        Divides all bytes, one after the other.
    """

    format: TcpFormat
    kind: Kind
    schema: pl.Schema
    most: int
    framing: Callable[[], Framing]
    sound: Callable[[random.Random], bytes]
    split: Callable[[bytes], Split]

    def make(self, draw: random.Random) -> list[bytes]:
        """Return damaged bytes in the pieces in which they come."""
        data = self.sound(draw)
        if self.format == "arrow" and draw.random() < 0.5:
            at = draw.choice([0, 4 + int.from_bytes(data[:4])]) % len(data)
            data = data[:at] + struct.pack(">I", draw.choice(_LENGTHS)) + data[at + 4 :]
        else:
            data = damaged(data, draw, self.format != "arrow")
        cuts = sorted(draw.randint(0, len(data)) for _ in range(draw.choice([0, 1, 2, 5, 20])))
        return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    def verdict(self, pieces: Sequence[bytes], draw: random.Random, say: Say) -> tuple[str, str]:
        """Divide and decode what comes; return what came of it in a word, and more about it."""
        say("arrowstream")
        try:
            found = framed(self.framing(), pieces, draw)
        except BaseException as error:
            return "untyped error", repr(error)
        say("reference")
        messages, wrong = wanted = self.split(b"".join(pieces))
        if found != wanted:
            return "DIFFERENT", f"divided into {found}, by the reference into {wanted}"
        whole = verdict(self.kind, messages, say)
        # All that follow a bad message are read, too.
        rest = verdict(self.kind, [each for each in messages if self._is_read(each)], say)
        if whole[0] == "refused" and rest[0] not in ("refused", "same"):
            return rest
        return ("refused", "the stream") if wrong and whole[0] == "same" else whole

    def _is_read(self, message: bytes) -> bool:
        try:
            self.kind.wanted(message)
        except Refused:
            return False
        return True


def framed(framing: Framing, pieces: Sequence[bytes], draw: random.Random) -> Split:
    """Return the messages in pieces that come one after the other, as a source takes them now and then."""
    buffer, messages = bytearray(), list[bytes]()
    wrong = None
    for piece in pieces:
        if not piece:
            continue
        start = len(buffer)
        buffer += piece
        wrong = framing.scan(buffer, start)
        if wrong is not None:
            del buffer[framing.complete :]
        if framing.complete and (wrong is not None or draw.random() < 0.5):
            whole, buffer = buffer, buffer[framing.complete :]
            messages += framing.take(whole).to_pylist()
        if wrong is not None:
            break
    if framing.complete:
        messages += framing.take(buffer).to_pylist()
    return messages, wrong is not None


def _split_lines(data: bytes) -> Split:
    lines, wrong = _split(data, quoted=False)
    return [line for line in lines if line not in (b"\n", b"\r\n")], wrong


def _split_records(data: bytes) -> Split:
    return _split(data, quoted=True)


def _split(data: bytes, *, quoted: bool) -> Split:
    found, line, is_open = list[bytes](), bytearray(), False
    for byte in data:
        line.append(byte)
        if len(line) > _MOST_LINE:
            return found, True
        is_open ^= quoted and byte == ord('"')
        if byte == ord("\n") and not is_open:
            found.append(bytes(line))
            line.clear()
    return found, False


def _split_frames(data: bytes) -> Split:
    found = list[bytes]()
    while len(data) >= 4:
        size = int.from_bytes(data[:4])
        if not 8 <= size <= _MOST_FRAME:
            return found, True
        if len(data) < 4 + size:
            break
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    return found, False


def _sound_frames(draw: random.Random) -> bytes:
    frames = [arrow_ipc.sound(draw) for _ in range(draw.randint(1, 3))]
    return b"".join(struct.pack(">I", len(frame)) + frame for frame in frames)


STREAMS: Final = {
    "tcp-ndjson": Stream(
        "ndjson",
        JsonObjects(),
        json_objects.SCHEMA,
        _MOST_LINE,
        lambda: LineFraming(_MOST_LINE, skip_blank=True),
        lambda draw: originals.ndjson(draw) + b"\n",
        _split_lines,
    ),
    "tcp-csv": Stream(
        "csv",
        CsvRecords(),
        csv_records.SCHEMA,
        _MOST_LINE,
        lambda: QuotedLines(_MOST_LINE),
        csv_records.records,
        _split_records,
    ),
    "tcp-arrow": Stream(
        "arrow",
        ArrowIpc(),
        arrow_ipc.SCHEMA,
        _MOST_FRAME,
        lambda: LengthPrefixed(_MOST_FRAME),
        _sound_frames,
        _split_frames,
    ),
}
"""The formats that TCP carries."""
