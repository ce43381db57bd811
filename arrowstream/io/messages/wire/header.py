"""The header that Confluent's serializers put before a message: a zero byte and the id of its schema."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from arrowstream.errors import BadMessage
from arrowstream.io.messages.wire.byte_ranges import ByteRanges, Int64s

HEADER_BYTES: Final = 5


def without_header(places: ByteRanges, rows: Int64s) -> tuple[ByteRanges, npt.NDArray[np.int64]]:
    """Return messages without their headers, and the ids of their schemas.

    Parameters
    ----------
    places
        The messages.
    rows
        Their indexes, for errors.

    Raises
    ------
    BadMessage
        A message does not begin with a header.
    """
    data, starts, ends = places
    short = ends - starts < HEADER_BYTES
    at = np.where(short, 0, starts)
    bad = short if not len(data) else short | (data[at] != 0)
    if bad.any():
        first = int(np.argmax(bad))
        raise BadMessage(
            "a message has no header of a schema registry",
            index=int(rows[first]),
            expected="a zero byte, and the id of a schema in 4 bytes",
            found=repr(data[starts[first] : ends[first]][:HEADER_BYTES].tobytes()),
            hint="leave registry= out if the messages were written without one",
        )
    numbers = np.zeros(len(at), np.int64)
    for place in range(1, HEADER_BYTES):
        numbers = numbers << 8 | data[at + place]
    return ByteRanges(data, starts + HEADER_BYTES, ends), numbers


def header(number: int) -> bytes:
    r"""Return the header of messages with a schema.

    Examples
    --------
    >>> header(258)
    b'\x00\x00\x00\x01\x02'
    """
    return b"\0" + number.to_bytes(HEADER_BYTES - 1, "big")
