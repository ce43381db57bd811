"""Record batches of a partition as Arrow columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from arrowstream.errors import SourceError
from arrowstream.io.kafka.records.bodies import ROW_BYTES, unpack, unpacked
from arrowstream.io.kafka.records.buffers import Integers, Octets
from arrowstream.io.kafka.records.checks import header_error, wrong_batch
from arrowstream.io.kafka.records.checksum import checksum, has_instruction, zeros_table
from arrowstream.io.kafka.records.columns import DecodedColumns
from arrowstream.io.kafka.records.header import (
    AT,
    BASE_OFFSET,
    BODY,
    BYTES,
    CHECKED_FROM,
    COLUMNS,
    COUNT,
    CRC,
    DAMAGED,
    END,
    FULL,
    HEADER_BYTES,
    LAST_DELTA,
    LEAST_RECORD_BYTES,
    PACKED,
    RECORDS,
    SKIPPED,
    STOP,
    SUMS,
    has_records,
    read_headers,
)
from arrowstream.io.kafka.records.transactions import aborted_batches, is_abort

MAX_DECOMPRESSED_BYTES: Final = 64 * 2**20
"""Most bytes that a batch is unpacked to, and that a call returns, by default: 64 MiB."""

_USUAL_BATCH_BYTES: Final = 1024
"""Fewest bytes of a batch on average for which the first table has room."""


@dataclass(frozen=True, slots=True)
class Records:
    """The records of a partition from an offset on.

    Parameters
    ----------
    values
        Their values; null for tombstones.
    keys
        Their keys; None if they were not asked for.
    timestamps
        Their times, as the producer or the broker set them; -1 ms is a record without a time.
    offsets
        Their offsets in the partition, ascending.
    headers
        Their headers, an empty list for a record without; None if they were not asked for.
    next_offset
        Offset to fetch next: after the last batch, also if that was left out.
    more
        Whether whole batches are left, from `next_offset` on, as a call returns at most `step_bytes`.
    """

    values: pa.LargeBinaryArray
    keys: pa.LargeBinaryArray | None
    timestamps: pa.TimestampArray
    offsets: pa.Int64Array
    headers: pa.LargeListArray | None
    next_offset: int
    more: bool

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def nbytes(self) -> int:
        """Bytes of all columns."""
        columns = (self.values, self.keys, self.timestamps, self.offsets, self.headers)
        return sum(column.nbytes for column in columns if column is not None)


def decode_records(
    data: bytes | memoryview | pa.Buffer,
    fetch_offset: int,
    *,
    keys: bool = True,
    headers: bool = False,
    read_committed: bool = False,
    aborted: Sequence[tuple[int, int]] = (),
    max_decompressed_bytes: int = MAX_DECOMPRESSED_BYTES,
    step_bytes: int = MAX_DECOMPRESSED_BYTES,
    check_crc: bool = True,
) -> Records:
    """Return the records of all whole batches of one partition.

    Parameters
    ----------
    data
        The bytes of the partition in a response: batches, the last of which may be incomplete; then it is left out.
    fetch_offset
        Offset that was asked for; records before it are left out.
    keys, headers
        Whether keys and headers are wanted.
    read_committed
        Whether records of aborted transactions are left out. Marks of transactions always are.
    aborted
        Producer id and first offset of each aborted transaction, as the response has them.
    max_decompressed_bytes
        Most bytes that one compressed batch may unpack to.
    step_bytes
        Most bytes of rows, unpacked and with `ROW_BYTES` for each row. The batches after these are left for another
        call. The first batch may have more.
    check_crc
        Whether bytes are compared with their CRC-32C.

    Returns
    -------
    Records
        The columns, and the next offset.

    Raises
    ------
    SourceError
        A batch is damaged or too large; `position` has its offset.
    """
    octets = np.frombuffer(data, np.uint8)
    table, sums = _batches(octets, fetch_offset, check_crc)
    next_offset = fetch_offset
    if len(table):
        next_offset = max(fetch_offset, int(table[-1, BASE_OFFSET]) + int(table[-1, LAST_DELTA]) + 1)
    batches = table
    if sums[SKIPPED] or (read_committed and aborted):
        delivered = has_records(table.T, fetch_offset)
        if read_committed:
            delivered &= ~_aborted(octets, table, aborted, max_decompressed_bytes)
        batches = table[delivered]
    if sums[PACKED] or sums[BYTES] + sums[RECORDS] * ROW_BYTES > step_bytes:
        parts, taken = unpack(octets, batches, max_decompressed_bytes, step_bytes)
        rows, size = _room(batches[:taken])
        if taken < len(batches):
            next_offset = int(batches[taken, BASE_OFFSET])
    else:
        parts = [(octets, 0, len(batches))]
        taken, rows, size = len(batches), int(sums[RECORDS]), int(sums[BYTES])
    columns = DecodedColumns(rows, size - rows * LEAST_RECORD_BYTES, keys=keys, headers=headers)
    for body, first, last in parts:
        if fault := columns.fill(body, batches[first:last], fetch_offset):
            raise _wrong_record(batches[first:last], *fault)
    return Records(*columns.finish(), next_offset, taken < len(batches))


def _aborted(
    octets: Octets, table: Integers, aborted: Sequence[tuple[int, int]], max_bytes: int
) -> npt.NDArray[np.bool_]:
    """Return for each batch whether it belongs to an aborted transaction."""

    def aborts(row: int) -> bool:
        try:
            return is_abort(unpacked(octets, table[row], max_bytes))
        except ValueError as error:
            raise wrong_batch(
                table[row], "is damaged", expected="a mark of a transaction", found=str(error)
            ) from error

    return aborted_batches(table, aborted, aborts)


def _room(batches: Integers) -> tuple[int, int]:
    """Return the records of batches, and their bytes."""
    return int(batches[:, COUNT].sum()), int((batches[:, END] - batches[:, BODY]).sum())


def _wrong_record(batches: Integers, row: int, record: int, what: str) -> SourceError:
    return wrong_batch(
        batches[row],
        "is damaged",
        expected="complete records",
        found=f"record {record + 1:,} of {batches[row, COUNT]:,}: {what}",
    )


def _batches(octets: Octets, fetch_offset: int, check_crc: bool) -> tuple[Integers, Integers]:
    """Return the table of all whole batches, and their sums."""
    compiled_crc = check_crc and has_instruction()
    table, sums, fault = _headers(octets, fetch_offset, compiled_crc, _USUAL_BATCH_BYTES)
    if fault == FULL:
        table, sums, fault = _headers(octets, fetch_offset, compiled_crc, HEADER_BYTES)
    if check_crc and not compiled_crc:
        for batch in table[: -1 if fault else None]:
            if checksum(octets[batch[AT] + CHECKED_FROM : batch[STOP]].data) != batch[CRC]:
                raise header_error(batch, DAMAGED)
    if fault:
        raise header_error(table[-1], fault)
    return table, sums


def _headers(
    octets: Octets, fetch_offset: int, check_crc: bool, batch_bytes: int
) -> tuple[Integers, Integers, int]:
    """Return a table with room for batches of so many bytes on average, the sums, and what ended the reading."""
    table = np.empty((len(octets) // batch_bytes + 1, COLUMNS), np.int64)
    sums = np.zeros(SUMS, np.int64)
    count, fault = read_headers(octets, fetch_offset, check_crc, zeros_table(), table, sums)
    return table[:count], sums, fault
