"""Records of a batch, written by compiled functions."""

from __future__ import annotations

from arrowstream.io.compiled import compiled
from arrowstream.io.kafka.records.binary import BINARY, INTEGERS
from arrowstream.io.kafka.records.instructions import Array, Integer, copy
from arrowstream.io.kafka.records.varint import varint_size, write_varint, zigzag


def size_of(row: Integer, ends: Array, nulls: Array) -> Integer:
    """Return the bytes of a string with its length; those of a column that is left out are null."""
    if not len(ends) or (len(nulls) and nulls[row]):
        return 1
    size = ends[row + 1] - ends[row]
    return varint_size(size) + size


def write_bytes(row: Integer, ends: Array, nulls: Array, data: Array, to: Array, at: Integer) -> Integer:
    """Write a string with its length to `to` at `at`; return the position after it."""
    if not len(ends) or (len(nulls) and nulls[row]):
        return write_varint(-1, to, at)
    size = ends[row + 1] - ends[row]
    at = write_varint(size, to, at)
    copy(data, ends[row], to, at, size)
    return at + size


_COLUMNS = f"{BINARY}, {BINARY}, {INTEGERS}, {BINARY}, {BINARY}"


@compiled(f"void({_COLUMNS}, int64[::1])", varint_size, zigzag, size_of)
def measure(
    value_ends: Array,
    value_nulls: Array,
    values: Array,
    key_ends: Array,
    key_nulls: Array,
    keys: Array,
    header_ends: Array,
    header_key_ends: Array,
    header_key_nulls: Array,
    header_keys: Array,
    header_value_ends: Array,
    header_value_nulls: Array,
    header_values: Array,
    sizes: Array,
) -> None:
    """Set `sizes` to the bytes of each record without its length, time and offset.

    Parameters
    ----------
    value_ends, value_nulls, values
        The values, as `Binary` has them.
    key_ends, key_nulls, keys
        The keys. Empty: they are null.
    header_ends
        Number of headers before the first record, and up to the end of each. Empty: there are none.
    header_key_ends, header_key_nulls, header_keys, header_value_ends, header_value_nulls, header_values
        Keys and values of all headers.
    sizes
        Room for each record.
    """
    for row in range(len(sizes)):
        size = 1 + size_of(row, key_ends, key_nulls) + size_of(row, value_ends, value_nulls)
        if len(header_ends):
            size += varint_size(header_ends[row + 1] - header_ends[row])
            for header in range(header_ends[row], header_ends[row + 1]):
                size += size_of(header, header_key_ends, header_key_nulls)
                size += size_of(header, header_value_ends, header_value_nulls)
        else:
            size += 1
        sizes[row] = size


@compiled(
    f"int64({_COLUMNS}, {INTEGERS}, {INTEGERS}, int64, int64, uint8[::1])",
    *(varint_size, zigzag, write_varint, write_bytes, copy),
)
def write(
    value_ends: Array,
    value_nulls: Array,
    values: Array,
    key_ends: Array,
    key_nulls: Array,
    keys: Array,
    header_ends: Array,
    header_key_ends: Array,
    header_key_nulls: Array,
    header_keys: Array,
    header_value_ends: Array,
    header_value_nulls: Array,
    header_values: Array,
    sizes: Array,
    times: Array,
    first: int,
    last: int,
    to: Array,
) -> Integer:
    """Write the records from `first` to `last`, without the last; return the bytes that were written.

    Parameters
    ----------
    value_ends, value_nulls, values, key_ends, key_nulls, keys, header_ends, header_key_ends, header_key_nulls, \
header_keys, header_value_ends, header_value_nulls, header_values
        The columns, as of `measure`.
    sizes
        As `measure` set them.
    times
        The time of each record.
    first, last
        The records.
    to
        Room for all of them.
    """
    at = 0
    for row in range(first, last):
        time = times[row] - times[first]
        offset = row - first
        at = write_varint(sizes[row] + varint_size(time) + varint_size(offset), to, at)
        to[at] = 0
        at = write_varint(time, to, at + 1)
        at = write_varint(offset, to, at)
        at = write_bytes(row, key_ends, key_nulls, keys, to, at)
        at = write_bytes(row, value_ends, value_nulls, values, to, at)
        if len(header_ends):
            at = write_varint(header_ends[row + 1] - header_ends[row], to, at)
            for header in range(header_ends[row], header_ends[row + 1]):
                at = write_bytes(header, header_key_ends, header_key_nulls, header_keys, to, at)
                at = write_bytes(header, header_value_ends, header_value_nulls, header_values, to, at)
        else:
            to[at] = 0
            at += 1
    return at
