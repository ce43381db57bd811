"""Messages as the bytes of a connection: lines, or frames with their length before them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.core.messages import Encoding
from arrowstream.errors import SinkError
from arrowstream.io.tcp.framing import HEADER_BYTES

_NEWLINE = ord("\n")


def lines(encoding: Encoding, frame: pl.DataFrame, max_bytes: int) -> memoryview:
    """Return the rows as messages that end in a newline.

    Raises
    ------
    SinkError
        A message is longer than `max_bytes`, or a value cannot be written.
    """
    values = encoding.encode(frame)
    offsets, data = _parts(values)
    lengths = np.diff(offsets)
    if lengths.size and int(lengths.max()) > max_bytes:
        raise _too_long(int(lengths.max()), max_bytes)
    if not lengths.all() or not (data[offsets[1:] - 1] == _NEWLINE).all():
        end, nothing = pa.scalar(b"\n", values.type), pa.scalar(b"", values.type)
        offsets, data = _parts(pc.binary_join_element_wise(values, nothing, end))
    return data[offsets[0] : offsets[-1]].data


def frames(encoding: Encoding, frame: pl.DataFrame, max_bytes: int) -> bytes:
    """Return the rows as messages with their length before them; rows of more than `max_bytes` become several.

    Raises
    ------
    SinkError
        The message of a single row is longer than `max_bytes`, or a value cannot be written.
    """
    return b"".join(_framed(_messages(encoding, frame, max_bytes)))


def _messages(encoding: Encoding, frame: pl.DataFrame, max_bytes: int) -> Iterator[pa.Buffer]:
    values = encoding.encode(frame)
    longest = int(np.diff(_parts(values)[0]).max())
    if longest <= max_bytes:
        yield from (value.as_buffer() for value in values)
    elif frame.height == 1:
        raise _too_long(longest, max_bytes)
    else:
        half = frame.height // 2
        yield from _messages(encoding, frame[:half], max_bytes)
        yield from _messages(encoding, frame[half:], max_bytes)


def _framed(messages: Iterable[pa.Buffer]) -> Iterator[bytes | pa.Buffer]:
    for message in messages:
        yield message.size.to_bytes(HEADER_BYTES)
        yield message


def _parts(values: pa.LargeBinaryArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Return where the values begin and end in the bytes of an array, and these bytes."""
    _, offsets, data = values.buffers()
    bounds = np.frombuffer(offsets, np.int64)[values.offset : values.offset + len(values) + 1]
    return bounds, np.frombuffer(b"" if data is None else data, np.uint8)


def _too_long(found: int, max_bytes: int) -> SinkError:
    return SinkError(
        "a row is too long for a message",
        expected=f"at most {max_bytes:,} bytes (max_message_bytes)",
        found=f"{found:,} bytes",
        hint="raise max_message_bytes here and at the receiver, or leave out long values",
    )
