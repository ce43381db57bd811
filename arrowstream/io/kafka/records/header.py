"""Headers of record batches: 61 bytes, big-endian, never compressed."""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

import numpy as np

from arrowstream.io.compiled import compiled
from arrowstream.io.kafka.records.checksum import CRC_HELPERS, crc32c
from arrowstream.io.kafka.records.instructions import Array, Integer

HEADER: Final = Struct(">qiibIhiqqqhii")
"""Base offset, length, leader epoch, magic, CRC, attributes, last offset delta, base and largest timestamp, producer
id, producer epoch, base sequence, number of records."""

HEADER_BYTES: Final = HEADER.size
LENGTH_END: Final = 12
"""Where the bytes begin that the length counts."""

CHECKED_FROM: Final = 21
"""Where the bytes begin that the CRC is of: they end with the batch."""

CODEC_BITS: Final = 0b111
LOG_APPEND_TIME: Final = 1 << 3
TRANSACTIONAL: Final = 1 << 4
CONTROL: Final = 1 << 5
"""Attributes: compression; all records have the largest timestamp; part of a transaction; marks of transactions."""

LAST_CODEC: Final = 4
"""The largest number of a compression."""

AT, STOP, BODY, END, BASE_OFFSET, LENGTH, MAGIC = range(7)
CRC, ATTRIBUTES, LAST_DELTA, BASE_TIME, MAX_TIME, PRODUCER, COUNT = range(7, 14)
"""Columns of the table of batches: begin and end of the batch, of its records, and fields of the header."""

COLUMNS: Final = 14

WHOLE, FULL, OLD_FORMAT, NO_FORMAT, SHORT, NEGATIVE, BACKWARD, DAMAGED, NO_CODEC, CROWDED, DENSE = range(11)
"""What ends the reading of headers: the end of the bytes, that of the table, or the last batch in the table. That is
of magic 0 or 1, or another; too short; has offsets that are no offsets, or are not after those before; has another
CRC than its bytes; an unknown compression; more records than offsets, or than fit into its bytes."""

SKIPPED, PACKED, RECORDS, BYTES = range(4)
"""Sums over all batches: those without wanted records, the others that are compressed, and records and their bytes of
those that are not."""

SUMS: Final = 4
LEAST_RECORD_BYTES: Final = 7
"""Bytes of a record with neither key nor value nor headers."""

_SHORTEST: Final = 17
"""Bytes up to the magic, which all formats have at the same place."""

_MAX_INT64: Final = 2**63 - 1


def signed(data: Array, at: Integer, size: int) -> Integer:
    """Read a big-endian integer of `size` bytes, at most 8."""
    number = np.int64(data[at])
    if number > 127:
        number -= 256
    for place in range(at + 1, at + size):
        number = (number << 8) | np.int64(data[place])
    return number


def read_header(data: Array, at: Integer, batch: Array) -> None:
    """Read the fields after the magic into a row of the table."""
    batch[BODY] = at + HEADER_BYTES
    batch[END] = batch[STOP]
    batch[CRC] = signed(data, at + 17, 4) & 0xFFFFFFFF
    batch[ATTRIBUTES] = signed(data, at + 21, 2)
    batch[LAST_DELTA] = signed(data, at + 23, 4)
    batch[BASE_TIME] = signed(data, at + 27, 8)
    batch[MAX_TIME] = signed(data, at + 35, 8)
    batch[PRODUCER] = signed(data, at + 43, 8)
    batch[COUNT] = signed(data, at + 57, 4)


def fault_of(batch: Array, next_offset: Integer) -> Integer:
    """Return what is wrong with the fields of a batch, or `WHOLE`; `next_offset` is that after the batch before."""
    if (
        batch[BASE_OFFSET] < 0
        or batch[LAST_DELTA] < 0
        or batch[BASE_OFFSET] >= _MAX_INT64 - batch[LAST_DELTA]
    ):
        return NEGATIVE
    if batch[BASE_OFFSET] < next_offset:
        return BACKWARD
    if batch[COUNT] < 0 or batch[COUNT] > batch[LAST_DELTA] + 1:
        return CROWDED
    return NO_CODEC if batch[ATTRIBUTES] & CODEC_BITS > LAST_CODEC else WHOLE


def add_up(batch: Array, fetch_offset: Integer, sums: Array) -> Integer:
    """Add a batch to `sums`; return `WHOLE`, or `DENSE` if its records cannot fit."""
    if not has_records(batch, fetch_offset):
        sums[SKIPPED] += 1
    elif batch[ATTRIBUTES] & CODEC_BITS:
        sums[PACKED] += 1
    else:
        size = batch[END] - batch[BODY]
        if batch[COUNT] * LEAST_RECORD_BYTES > size:
            return DENSE
        sums[RECORDS] += batch[COUNT]
        sums[BYTES] += size
    return WHOLE


def has_records(batch: Array, fetch_offset: Integer) -> Any:
    """Return whether a batch, or each of a table's columns, may have records for users from an offset on."""
    after = batch[BASE_OFFSET] + batch[LAST_DELTA] >= fetch_offset
    return after & (batch[COUNT] > 0) & (batch[ATTRIBUTES] & CONTROL == 0)


@compiled(
    "UniTuple(int64, 2)(Array(uint8, 1, 'C', readonly=True), int64, boolean, uint64[:, ::1], int64[:, ::1], "
    "int64[::1])",
    *(signed, read_header, fault_of, has_records, add_up, *CRC_HELPERS),
)
def read_headers(
    data: Array, fetch_offset: int, check_crc: bool, crc_table: Array, batches: Array, sums: Array
) -> tuple[Integer, Integer]:
    """Read the headers of all whole batches.

    Parameters
    ----------
    data
        Batches, of which the last may be incomplete.
    fetch_offset
        Batches with records from this offset on are compared with their CRC,
    check_crc
        if this is true.
    crc_table
        As of `crc32c`.
    batches
        The table to fill: int64, `COLUMNS` columns.
    sums
        `SKIPPED` to `BYTES`, 0 at first.

    Returns
    -------
    tuple
        How many there are, and what ended the reading: `WHOLE` to `DENSE`. A batch that is `OLD_FORMAT`,
        `NO_FORMAT` or `SHORT` has only `AT`, `BASE_OFFSET`, `LENGTH` and `MAGIC`.
    """
    count = np.int64(0)
    at = np.int64(0)
    next_offset = np.int64(0)
    while len(data) - at >= _SHORTEST:
        if count == len(batches):
            return count, FULL
        batch = batches[count]
        batch[AT] = at
        batch[BASE_OFFSET] = signed(data, at, 8)
        batch[LENGTH] = signed(data, at + 8, 4)
        batch[MAGIC] = signed(data, at + 16, 1)
        if batch[MAGIC] != 2:
            return count + 1, (OLD_FORMAT if 0 <= batch[MAGIC] < 2 else NO_FORMAT)
        if batch[LENGTH] < HEADER_BYTES - LENGTH_END:
            return count + 1, SHORT
        batch[STOP] = at + LENGTH_END + batch[LENGTH]
        if batch[STOP] > len(data):
            break
        read_header(data, at, batch)
        count += 1
        fault = fault_of(batch, next_offset)
        if (
            check_crc
            and (fault or batch[BASE_OFFSET] + batch[LAST_DELTA] >= fetch_offset)
            and np.int64(crc32c(np.uint64(0), data, at + CHECKED_FROM, batch[STOP], crc_table)) != batch[CRC]
        ):
            return count, DAMAGED
        fault = fault or add_up(batch, fetch_offset, sums)
        if fault:
            return count, fault
        next_offset = batch[BASE_OFFSET] + batch[LAST_DELTA] + 1
        at = batch[STOP]
    return count, WHOLE
