"""Which batches belong to aborted transactions, by the marks among them and the broker's list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heapify, heappop
from typing import Final

import numpy as np
import numpy.typing as npt

from arrowstream.io.kafka.records.buffers import Integers, Octets
from arrowstream.io.kafka.records.header import (
    ATTRIBUTES,
    BASE_OFFSET,
    CONTROL,
    COUNT,
    LAST_DELTA,
    PRODUCER,
    TRANSACTIONAL,
)
from arrowstream.io.kafka.records.scan import read_record

_ABORT: Final = 0
_LARGEST_DELTA: Final = 2**31 - 1
_KEY_BYTES: Final = 4
"""Bytes of the key of a mark: int16 version and int16 type."""


def aborted_batches(
    headers: Integers, aborted: Sequence[tuple[int, int]], ends_transaction: Callable[[int], bool]
) -> npt.NDArray[np.bool_]:
    """Return for each batch whether it belongs to an aborted transaction.

    Parameters
    ----------
    headers
        The table of headers, in the order of the log.
    aborted
        Producer id and first offset of each aborted transaction, as the broker's response has them.
    ends_transaction
        Says whether a row of the table is a mark that aborts a transaction.
    """
    found = np.zeros(len(headers), np.bool_)
    if not aborted:
        return found
    begins = [(first, producer) for producer, first in aborted]
    heapify(begins)
    active: set[int] = set()
    for row in np.flatnonzero(headers[:, PRODUCER] >= 0):
        header = headers[row]
        while begins and begins[0][0] <= header[BASE_OFFSET] + header[LAST_DELTA]:
            active.add(heappop(begins)[1])
        producer = int(header[PRODUCER])
        if header[ATTRIBUTES] & CONTROL:
            if header[COUNT] and ends_transaction(int(row)):
                active.discard(producer)
        elif header[ATTRIBUTES] & TRANSACTIONAL:
            found[row] = producer in active
    return found


def is_abort(body: Octets) -> bool:
    """Return whether the records of a control batch abort a transaction.

    Raises
    ------
    ValueError
        The first record is not a mark.
    """
    fault, _, _, _, at, size, *_ = read_record(body, 0, len(body), -1, _LARGEST_DELTA)
    if fault or size < _KEY_BYTES:
        raise ValueError("its record is not a mark of a transaction")
    return int.from_bytes(body[at + 2 : at + 4].tobytes(), "big", signed=True) == _ABORT
