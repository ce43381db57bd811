"""The records of batches into columns, in one pass: a record is checked and copied while it is in the cache."""

from __future__ import annotations

from typing import Final

import numpy as np

from arrowstream.io.compiled import compiled
from arrowstream.io.kafka.records.header import (
    ATTRIBUTES,
    BASE_OFFSET,
    BASE_TIME,
    BODY,
    COUNT,
    END,
    LAST_DELTA,
    LOG_APPEND_TIME,
    MAX_TIME,
)
from arrowstream.io.kafka.records.instructions import Array, Integer, copy
from arrowstream.io.kafka.records.varint import read_varint, read_varlong

ROWS, VALUE_BYTES, KEY_BYTES, HEADERS, HEADER_KEY_BYTES, HEADER_VALUE_BYTES, BATCH, RECORD = range(8)
"""Places of the state: how far the columns are filled, and the batch and record that a fault is in."""

STATE: Final = 8

FAULTS: Final = {
    1: "its length does not fit the batch",
    2: "its timestamp is no integer of 64 bits",
    3: "its offset is not between the one before and the last of the batch",
    4: "its key does not fit the record",
    5: "its value does not fit the record",
    6: "its headers do not fit the record",
    7: "bytes are left after its headers",
    8: "bytes are left after the last record",
}
"""What is wrong with a record, by the number that `scan` returns."""


def pass_headers(data: Array, at: Integer, end: Integer, count: Integer, state: Array) -> Integer:
    """Walk over the headers of a record, which end at `end`, and add up their bytes; return 0 or a fault."""
    for _ in range(count):
        key, at = read_varint(data, at, end)
        if at < 0 or key < 0 or key > end - at:
            return 6
        value, at = read_varint(data, at + key, end)
        if at < 0 or value < -1 or value > end - at:
            return 6
        at += max(value, 0)
        state[HEADER_KEY_BYTES] += key
        state[HEADER_VALUE_BYTES] += max(value, 0)
    state[HEADERS] += count
    return 0 if at == end else 7


def read_record(
    data: Array, at: Integer, stop: Integer, before: Integer, last: Integer
) -> tuple[Integer, ...]:
    """Read a record up to its headers.

    Parameters
    ----------
    data, at
        The bytes, and where the record begins.
    stop
        Where the batch ends.
    before, last
        Difference of offset of the record before, and of the last of the batch.

    Returns
    -------
    tuple
        0 or a fault; end of the record; differences of time and offset; place and size of the key, of the value;
        number and place of the headers. Sizes are -1 for null.
    """
    length, at = read_varint(data, at, stop)
    if at < 0 or length < 1 or length > stop - at:
        return 1, 0, 0, 0, 0, 0, 0, 0, 0, 0
    end = at + length
    time, at = read_varlong(data, at + 1, end)
    if at < 0:
        return 2, 0, 0, 0, 0, 0, 0, 0, 0, 0
    delta, at = read_varint(data, at, end)
    if at < 0 or delta <= before or delta > last:
        return 3, 0, 0, 0, 0, 0, 0, 0, 0, 0
    key, key_at = read_varint(data, at, end)
    if key_at < 0 or key < -1 or key > end - key_at:
        return 4, 0, 0, 0, 0, 0, 0, 0, 0, 0
    value, value_at = read_varint(data, key_at + max(key, 0), end)
    if value_at < 0 or value < -1 or value > end - value_at:
        return 5, 0, 0, 0, 0, 0, 0, 0, 0, 0
    headers, at = read_varint(data, value_at + max(value, 0), end)
    if at < 0 or headers < 0:
        return 6, 0, 0, 0, 0, 0, 0, 0, 0, 0
    return 0, end, time, delta, key_at, key, value_at, value, headers, at


@compiled(
    "int64(Array(uint8, 1, 'C', readonly=True), int64[:, ::1], int64, int64[::1], int64[::1], "
    "int64[::1], uint8[::1], uint8[::1], int64[::1], uint8[::1], uint8[::1], int64[::1], int64[::1], int64[::1])",
    read_varint,
    read_varlong,
    read_record,
    copy,
    pass_headers,
)
def scan(
    data: Array,
    batches: Array,
    fetch_offset: int,
    offsets: Array,
    times: Array,
    value_ends: Array,
    value_nulls: Array,
    values: Array,
    key_ends: Array,
    key_nulls: Array,
    keys: Array,
    header_ends: Array,
    header_places: Array,
    state: Array,
) -> Integer:
    """Read the records of batches, all of which lie in `data`, and append them to the columns.

    Parameters
    ----------
    data
        The bytes, not compressed.
    batches
        The table of batches. The records of a batch have at least `LEAST_RECORD_BYTES` each.
    fetch_offset
        The first offset that is wanted.
    offsets, times
        Offset and timestamp of each row, int64.
    value_ends, value_nulls, values
        Ends of the values, int64, one more than rows and 0 at first; 1 for each that is null, and 0 before;
        their bytes. There is room for all bytes of the batches, less `LEAST_RECORD_BYTES` for each record.
    key_ends, key_nulls, keys
        The same for keys. Empty: keys are not wanted.
    header_ends, header_places
        Number of headers up to the end of each row, one more than rows; where in `data` those of a row begin.
        Empty: headers are not wanted.
    state
        How far the columns are filled: `ROWS` to `RECORD`.

    Returns
    -------
    int
        0, or the number of a fault in `FAULTS` of the record that `state` names.
    """
    row = state[ROWS]
    value_end = state[VALUE_BYTES]
    key_end = state[KEY_BYTES]
    for batch in range(len(batches)):
        at = batches[batch, BODY]
        stop = batches[batch, END]
        last = batches[batch, LAST_DELTA]
        base_offset = batches[batch, BASE_OFFSET]
        own_times = batches[batch, ATTRIBUTES] & LOG_APPEND_TIME == 0
        time = batches[batch, BASE_TIME if own_times else MAX_TIME]
        delta: Integer = np.int64(-1)
        for record in range(batches[batch, COUNT]):
            fault, end, time_delta, delta, key_at, key, value_at, value, headers, headers_at = read_record(
                data, at, stop, delta, last
            )
            at = end
            if base_offset + delta < fetch_offset and not fault:
                continue
            if not fault and (headers or headers_at != end):
                fault = pass_headers(data, headers_at, end, headers, state)
            if fault:
                state[BATCH] = batch
                state[RECORD] = record
                return fault
            offsets[row] = base_offset + delta
            times[row] = time + time_delta if own_times else time
            if value < 0:
                value_nulls[row] = 1
            else:
                copy(data, value_at, values, value_end, value)
                value_end += value
            if len(key_ends):
                if key < 0:
                    key_nulls[row] = 1
                else:
                    copy(data, key_at, keys, key_end, key)
                    key_end += key
                key_ends[row + 1] = key_end
            if len(header_ends):
                header_places[row] = headers_at
                header_ends[row + 1] = state[HEADERS]
            row += 1
            value_ends[row] = value_end
        if at != stop:
            state[BATCH] = batch
            state[RECORD] = batches[batch, COUNT]
            return 8
    state[ROWS] = row
    state[VALUE_BYTES] = value_end
    state[KEY_BYTES] = key_end
    return 0
