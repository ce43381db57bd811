"""Where the records of batches lie: in the fetched bytes, or in unpacked ones."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from arrowstream.io.kafka.records.buffers import Integers, Octets, octets
from arrowstream.io.kafka.records.checks import header_error, wrong_batch
from arrowstream.io.kafka.records.compression import DAMAGES, Codec, TooLarge, decompress
from arrowstream.io.kafka.records.header import (
    AT,
    ATTRIBUTES,
    BODY,
    CODEC_BITS,
    COUNT,
    DENSE,
    END,
    HEADER_BYTES,
    LEAST_RECORD_BYTES,
    STOP,
)

ROW_BYTES: Final = 32
"""Bytes that a row has in memory next to its key and value: offset, time, and the ends of both."""


def unpack(
    data: Octets, batches: Integers, max_bytes: int, step_bytes: int
) -> tuple[list[tuple[Octets, int, int]], int]:
    """Unpack batches until their rows have about `step_bytes`, and set their columns `BODY` and `END`.

    Parameters
    ----------
    data, batches
        The fetched bytes, and the table of the batches that are wanted.
    max_bytes
        Most unpacked bytes of one batch.
    step_bytes
        Bytes of rows, `ROW_BYTES` of each row included. The first batch is unpacked in any case; a later one that
        does not fit, or is not likely to, is left for another call.

    Returns
    -------
    parts : list
        Bytes, and the first and last row of the batches whose records lie in them.
    taken : int
        Number of batches in the parts.

    Raises
    ------
    SourceError
        A batch is damaged, or has more than `max_bytes`.
    """
    packed = batches[:, ATTRIBUTES] & CODEC_BITS != 0
    sizes = np.where(packed, 0, batches[:, END] - batches[:, BODY]) + batches[:, COUNT] * ROW_BYTES
    known = np.cumsum(sizes)
    taken = _fitting(known, step_bytes)
    begin = unpacked_bytes = largest = 0
    parts = []
    for row in np.flatnonzero(packed[:taken]).tolist():
        room = step_bytes - int(known[row]) - unpacked_bytes
        # Batches are much alike: unpacking one that does not fit would be in vain.
        if row and room < largest:
            taken = row
            break
        batch = batches[row]
        try:
            body = unpacked(data, batch, min(room, max_bytes) if row else max_bytes)
        except TooLarge as error:
            if row:
                taken = row
                break
            raise wrong_batch(
                batch,
                "is too large",
                expected=f"at most {max_bytes:,} bytes when it is unpacked",
                found=str(error),
                hint="allow more with max_decompressed_bytes=, or set the position after it",
            ) from error
        unpacked_bytes += len(body)
        largest = max(largest, len(body))
        batch[BODY], batch[END] = 0, len(body)
        if batch[COUNT] * LEAST_RECORD_BYTES > len(body):
            raise header_error(batch, DENSE)
        if begin < row:
            parts.append((data, begin, row))
        parts.append((body, row, row + 1))
        begin = row + 1
    taken = min(taken, _fitting(known, step_bytes - unpacked_bytes))
    if begin < taken:
        parts.append((data, begin, taken))
    return parts, taken


def _fitting(known: Integers, room: int) -> int:
    """Return the number of batches whose rows fit: at least one, if there is any."""
    return min(max(1, int(np.searchsorted(known, room, side="right"))), len(known))


def unpacked(data: Octets, batch: Integers, max_bytes: int) -> Octets:
    """Return the bytes of the records of one batch.

    Raises
    ------
    TooLarge
        They are more than `max_bytes`.
    SourceError
        They cannot be unpacked.
    """
    body = data[batch[AT] + HEADER_BYTES : batch[STOP]]
    codec = Codec(int(batch[ATTRIBUTES] & CODEC_BITS))
    if codec is Codec.NONE:
        return body
    try:
        return octets(decompress(codec, pa.py_buffer(body), max_bytes))
    except TooLarge:
        raise
    except DAMAGES as error:
        raise wrong_batch(
            batch, "is damaged", expected=f"bytes of {codec.name.lower()}", found=str(error)
        ) from error
