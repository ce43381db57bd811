"""The lines of a text, found in one compiled pass."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from arrowstream.io.compiled import compiled
from arrowstream.io.kafka.records.instructions import Integer, first_bit, word_at
from arrowstream.io.messages.wire.byte_ranges import BYTES

_NEWLINES: Final = 0x0A0A0A0A0A0A0A0A
_LOW: Final = 0x7F7F7F7F7F7F7F7F
_HIGH: Final = 0x8080808080808080
"""Eight times a newline, all bits of a byte but the highest, and the highest."""


@compiled(f"int64({BYTES}, int64[::1])", word_at, first_bit)
def find_lines(data: Any, ends: Any) -> Integer:
    """Find the lines of a text.

    Parameters
    ----------
    data
        The text.
    ends
        Gets the position after each newline, ascending: it has room for as many.

    Returns
    -------
    int
        1 if all bytes are ASCII, else 0.
    """
    size = len(data)
    high = np.uint64(0)
    at = 0
    count = 0
    while size - at >= 8:
        word = word_at(data, at)
        high |= word
        # A byte is not 0 if its lower bits and 127 give 128 or more, or its highest bit is set.
        other = word ^ np.uint64(_NEWLINES)
        found = ~(((other & np.uint64(_LOW)) + np.uint64(_LOW)) | other) & np.uint64(_HIGH)
        while found != 0:
            ends[count] = at + (first_bit(found) >> 3) + 1
            count += 1
            found &= found - np.uint64(1)
        at += 8
    while at < size:
        high |= np.uint64(data[at]) & np.uint64(128)
        at += 1
        if data[at - 1] == 10:
            ends[count] = at
            count += 1
    return 0 if high & np.uint64(_HIGH) else 1
