"""Arrow columns as record batches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from arrowstream.errors import SinkError
from arrowstream.io.kafka.records.binary import Binary
from arrowstream.io.kafka.records.buffers import Integers, octets
from arrowstream.io.kafka.records.checksum import checksum
from arrowstream.io.kafka.records.compression import Codec, compress
from arrowstream.io.kafka.records.header import CHECKED_FROM, HEADER, HEADER_BYTES, LENGTH_END, TRANSACTIONAL
from arrowstream.io.kafka.records.headers import HEADERS_TYPE
from arrowstream.io.kafka.records.varint import varint_size
from arrowstream.io.kafka.records.write import measure, write

_MAX_BYTES: Final = 2**31 - 1
_NO_ID: Final = -1
_MAGIC: Final = 2


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """A record batch that lacks only what its producer knows.

    Parameters
    ----------
    record_count
        Number of records.
    codec
        Compression of the records.
    records
        Their bytes, compressed.
    base_time, max_time
        Time of the first record, and the largest, in ms.
    """

    record_count: int
    codec: Codec
    records: pa.Buffer
    base_time: int
    max_time: int

    @property
    def size(self) -> int:
        """Bytes of the batch."""
        return HEADER_BYTES + len(self.records)

    def finish(
        self,
        producer_id: int = _NO_ID,
        producer_epoch: int = _NO_ID,
        base_sequence: int = _NO_ID,
        *,
        transactional: bool = False,
    ) -> bytes:
        """Return the bytes of the batch.

        Parameters
        ----------
        producer_id, producer_epoch, base_sequence
            Identity of an idempotent producer, and the sequence number of the first record; -1 without one.
        transactional
            Whether the batch is part of a transaction.
        """
        records = octets(self.records).data
        fields = (
            self.codec | (TRANSACTIONAL if transactional else 0),
            self.record_count - 1,
            self.base_time,
            self.max_time,
            producer_id,
            producer_epoch,
            base_sequence,
            self.record_count,
        )
        length = self.size - LENGTH_END
        head = HEADER.pack(0, length, _NO_ID, _MAGIC, 0, *fields)
        crc = checksum(memoryview(head)[CHECKED_FROM:], records)
        return b"".join((HEADER.pack(0, length, _NO_ID, _MAGIC, crc, *fields), records))


class SplitRows(NamedTuple):
    """Rows in batches that are small enough.

    Parameters
    ----------
    batches
        First and last row of each, without the last.
    too_large
        Rows that are too large for a batch of their own, and in none.
    """

    batches: list[tuple[int, int]]
    too_large: Integers


class EncodableRecords:
    """Rows that become the records of one or more batches.

    Parameters
    ----------
    values
        An Arrow array of binary or text; null for a tombstone.
    keys
        The same, or None: no record has a key.
    timestamps
        An Arrow array of timestamps, or of int64 in ms; null is a record without a time, -1 ms.
    headers
        An Arrow array of lists of `key` and `value`, or None: no record has headers.

    Raises
    ------
    SinkError
        The key of a header is null.
    ValueError
        The columns have different lengths.
    """

    def __init__(self, values: Any, keys: Any, timestamps: Any, headers: Any = None) -> None:
        self._rows = len(values)
        if any(len(column) != self._rows for column in (keys, timestamps, headers) if column is not None):
            raise ValueError("columns of different lengths")
        self._times = _milliseconds(timestamps)
        key_arrays = Binary.nothing() if keys is None else Binary.of(keys)
        self._columns = (*Binary.of(values), *key_arrays, *_header_arrays(headers))

    def __len__(self) -> int:
        return self._rows

    @cached_property
    def _sizes(self) -> Integers:
        sizes = np.empty(self._rows, np.int64)
        measure(*self._columns, sizes)
        return sizes

    def size(self, first: int, last: int) -> int:
        """Return the bytes of the records from `first` to `last`, without their lengths, times and offsets."""
        return int(self._sizes[first:last].sum())

    def split(self, max_batch_bytes: int) -> SplitRows:
        """Return batches of neighbouring rows that are not larger than `max_batch_bytes`, compressed or not.

        The sizes are estimated, up to 17 bytes too large for each record.
        """
        sizes = self._sizes + self._overhead(0, self._rows)
        too_large = np.flatnonzero(sizes > max_batch_bytes - HEADER_BYTES)
        ends = np.cumsum(sizes)
        batches = []
        first = 0
        for stop in (*too_large.tolist(), self._rows):
            while first < stop:
                before = int(ends[first - 1]) if first else 0
                last = int(np.searchsorted(ends, before + max_batch_bytes - HEADER_BYTES, "right"))
                last = min(last, stop)
                batches.append((first, last))
                first = last
            first = stop + 1
        return SplitRows(batches, too_large)

    def encode(
        self, first: int, last: int, codec: Codec = Codec.NONE, level: int | None = None
    ) -> EncodedBatch:
        """Return the rows from `first` to `last`, without the last, as a batch.

        Parameters
        ----------
        first, last
            The rows, at least one.
        codec, level
            The compression and its level. Records that it does not make smaller are not compressed.

        Raises
        ------
        SinkError
            The batch has more than 2 GiB.
        IndexError
            There are no such rows.
        """
        if not 0 <= first < last <= self._rows:
            raise IndexError(f"rows from {first} to {last} of {self._rows}")
        times = self._times[first:last]
        room = int(self._sizes[first:last].sum()) + (last - first) * self._overhead(first, last)
        if room > _MAX_BYTES - HEADER_BYTES:
            raise SinkError(
                "a record batch is too large",
                expected=f"at most {_MAX_BYTES:,} bytes",
                found=f"{last - first:,} records of {room:,} bytes",
                hint="send fewer rows at a time",
            )
        buffer = pa.allocate_buffer(room, resizable=True)
        written = write(*self._columns, self._sizes, self._times, first, last, octets(buffer))
        buffer.resize(written)
        packed = compress(codec, buffer, level)
        if len(packed) >= len(buffer):
            codec, packed = Codec.NONE, buffer
        return EncodedBatch(last - first, codec, packed, int(times[0]), int(times.max()))

    def _overhead(self, first: int, last: int) -> int:
        """Return the most bytes that length, time and offset of one of the records take."""
        if first == last:
            return 0
        times = self._times[first:last]
        span = int(times.max()) - int(times.min())
        time_bytes = int(varint_size(span)) if span < 2**63 else 10
        own = time_bytes + int(varint_size(last - first))
        return own + int(varint_size(int(self._sizes[first:last].max()) + own))


def encode_batch(
    values: Any,
    keys: Any,
    timestamps: Any,
    headers: Any = None,
    *,
    codec: Codec = Codec.NONE,
    level: int | None = None,
) -> EncodedBatch:
    """Return rows as one batch; the parameters are those of `EncodableRecords` and its `encode`."""
    columns = EncodableRecords(values, keys, timestamps, headers)
    return columns.encode(0, len(columns), codec, level)


def _milliseconds(timestamps: Any) -> Integers:
    if timestamps.type != pa.int64():
        timestamps = timestamps.cast(pa.timestamp("ms", timestamps.type.tz), safe=False).cast(pa.int64())
    times: Integers = timestamps.fill_null(_NO_ID).to_numpy()
    return times


def _header_arrays(headers: Any) -> tuple[Any, ...]:
    if headers is None:
        nothing = Binary.nothing()
        return nothing.ends, *nothing, *nothing
    headers = headers.cast(HEADERS_TYPE)
    counts = headers.value_lengths().fill_null(0).to_numpy()
    ends = np.zeros(len(headers) + 1, np.int64)
    np.cumsum(counts, out=ends[1:])
    keys, values = headers.flatten().flatten()
    if keys.null_count:
        raise SinkError(
            "a header has no key",
            expected="a text as the key of every header",
            found="null",
            hint="leave these headers out, or give them a key",
        )
    return ends, *Binary.of(keys), *Binary.of(values)
