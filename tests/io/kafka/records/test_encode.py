"""Columns as record batches: read by aiokafka, by the strict reader, and as they were by ourselves."""

import random
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from aiokafka.record.memory_records import MemoryRecords
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from arrowstream.errors import SinkError
from arrowstream.io.compiled import Compiled
from arrowstream.io.kafka.records import encode
from arrowstream.io.kafka.records.compression import Codec
from arrowstream.io.kafka.records.decode import decode_records
from arrowstream.io.kafka.records.encode import EncodableRecords, encode_batch
from arrowstream.io.kafka.records.prebuilt import PrebuiltBatch
from tools.broken_messages.record_batches import rows_of
from tools.broken_messages.reference import Row, record

TIME = 1_700_000_000_000
BINARIES = (pa.binary(), pa.large_binary(), pa.string(), pa.large_string(), pa.binary_view())
HEADER = pa.struct([("key", pa.string()), ("value", pa.binary())])
HEADER_TYPES = (
    pa.list_(HEADER),
    pa.large_list(pa.struct([("key", pa.large_string()), ("value", pa.large_binary())])),
)
VECTOR = bytes.fromhex(
    "000000000000000000000052ffffffff025994ca6c0010000000020000018bcfe5680000"
    "00018bcfe5692c000000000000000700010000000300000003"
    "1c000000046b3104763102026802780c0001020100001400d80404000102026e01"
)
"""A batch of three records of a transaction: producer 7, epoch 1, from sequence 3."""


@pytest.fixture(params=["compiled", "plain"])
def both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test runs with machine code, and with the plain functions that it is made of."""
    if request.param == "plain":
        monkeypatch.setattr(Compiled, "__call__", lambda self, *arguments: self.py_func(*arguments))


def times(numbers: Sequence[int | None]) -> pa.Array:
    return pa.array(numbers, pa.timestamp("ms", "UTC"))


def header_lists(rows: Sequence[Row], type: pa.DataType = HEADER_TYPES[0]) -> pa.Array:
    lists = [[{"key": key, "value": value} for key, value in row.headers] or None for row in rows]
    return pa.array(lists, type)


def columns_of(rows: Sequence[Row], type: pa.DataType = BINARIES[0]) -> tuple[Any, Any, Any, Any]:
    keys, values = (pa.array([row[place] for row in rows], pa.binary()).cast(type) for place in (2, 3))
    return values, keys, times([row.time for row in rows]), header_lists(rows)


def read(data: bytes) -> list[Row]:
    return rows_of(decode_records(data, 0, headers=True))


def read_by_aiokafka(data: bytes) -> list[Row]:
    batch = MemoryRecords(data).next_batch()
    assert batch.validate_crc()
    return [Row(row.offset, row.timestamp, row.key, row.value, tuple(row.headers)) for row in batch]


@pytest.mark.once
def test_the_bytes_of_a_batch(both: None) -> None:
    rows = [
        Row(0, TIME, b"k1", b"v1", (("h", b"x"),)),
        Row(1, TIME - 1, None, b""),
        Row(2, TIME + 300, b"", None, (("n", None),)),
    ]
    batch = encode_batch(*columns_of(rows))
    assert batch.finish(7, 1, 3, transactional=True) == VECTOR
    assert (batch.size, batch.record_count) == (len(VECTOR), 3)
    theirs = MemoryRecords(batch.finish()).next_batch()
    assert (theirs.producer_id, theirs.producer_epoch, theirs.base_sequence) == (-1, -1, -1)
    assert not theirs.is_transactional
    assert read(batch.finish()) == rows


def drawn_rows(count: int) -> list[Row]:
    draw = random.Random(count)
    words = [b"", b"a", b"b" * 63, b"c" * 64, bytes(127), bytes(128), b"d" * 9000]
    return [
        Row(
            place,
            draw.choice([0, TIME, TIME + place, 2**40]),
            draw.choice([None, *words[:4]]),
            draw.choice([None, *words]),
            tuple(
                (f"h{number}", draw.choice([None, b"", b"x"])) for number in range(draw.choice([0, 0, 1, 3]))
            ),
        )
        for place in range(count)
    ]


@pytest.mark.parametrize("codec", Codec)
def test_what_is_encoded_comes_back(codec: Codec) -> None:
    rows = drawn_rows(200)
    data = encode_batch(*columns_of(rows), codec=codec).finish()
    assert data[22] == codec
    assert read(data) == rows
    if codec in (Codec.NONE, Codec.GZIP):
        assert read_by_aiokafka(data) == rows


@pytest.mark.parametrize("type", BINARIES, ids=str)
def test_columns_may_be_slices_of_any_binary_type(type: pa.DataType, both: None) -> None:
    rows = [row._replace(value=row.value and b"v" * (len(row.value) % 9)) for row in drawn_rows(16)]
    for first, last in ((0, 16), (3, 14), (8, 9)):
        for headers in (header_lists(rows, each) for each in HEADER_TYPES):
            values, keys, moments, _ = columns_of(rows, type)
            part = (each.slice(first, last - first) for each in (values, keys, moments, headers))
            wanted = [row._replace(offset=row.offset - first) for row in rows[first:last]]
            assert read(encode_batch(*part).finish()) == wanted
    columns = EncodableRecords(*columns_of(rows, type))
    assert len(columns) == 16
    assert read(columns.encode(3, 14).finish()) == [row._replace(offset=row.offset - 3) for row in rows[3:14]]


def test_keys_and_headers_may_be_left_out(both: None) -> None:
    data = encode_batch(pa.array([b"a", None]), None, times([5, None])).finish()
    assert read(data) == [Row(0, 5, None, b"a"), Row(1, -1, None, None)]
    assert data[61:] == record(Row(0, 5, None, b"a"), 0, 5) + record(Row(1, -1, None, None), 0, 5)
    nulls = encode_batch(pa.nulls(2, pa.binary()), pa.nulls(2, pa.string()), times([5, 6])).finish()
    assert read(nulls) == [Row(0, 5, None, None), Row(1, 6, None, None)]


@pytest.mark.parametrize(
    "moments",
    [
        pa.array([1_500, 2_999], pa.int64()),
        pa.array([1_500_000, 2_999_999], pa.timestamp("us")),
        pa.array([1_500_000_000, 2_999_999_999], pa.timestamp("ns", "Europe/Amsterdam")),
    ],
    ids=str,
)
def test_times_are_whole_milliseconds(moments: pa.Array) -> None:
    data = encode_batch(pa.array([b"", b""]), None, moments).finish()
    assert [row.time for row in read(data)] == [1_500, 2_999]


def test_the_largest_times_fit() -> None:
    far = [2**63 - 1, -(2**63), 0]
    data = encode_batch(pa.array([b"a", b"b", b"c"]), None, pa.array(far)).finish()
    assert [row.time for row in read(data)] == far


def test_records_that_do_not_get_smaller_are_not_compressed() -> None:
    values = pa.array([random.Random(0).randbytes(500)])
    for codec in Codec:
        batch = encode_batch(values, None, times([0]), codec=codec)
        assert (batch.codec, batch.size) == (Codec.NONE, 61 + 509)


def test_a_header_needs_a_key() -> None:
    headers = pa.array([[{"key": None, "value": b"a"}]], HEADER_TYPES[0])
    with pytest.raises(SinkError, match="a header has no key"):
        encode_batch(pa.array([b""]), None, times([0]), headers)


def test_more_than_a_batch_can_have_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "_MAX_BYTES", 300)
    columns = EncodableRecords(pa.array([bytes(100)] * 3), None, times([0] * 3))
    assert columns.encode(0, 2).record_count == 2
    with pytest.raises(SinkError, match="a record batch is too large") as failed:
        columns.encode(0, 3)
    assert failed.value.found == "3 records of 327 bytes"


def test_compiled_functions_never_get_rows_that_are_not_there() -> None:
    values, moments = pa.array([b"a", b"b"]), times([0, 1])
    for keys, each, headers in (
        (values[:1], moments, None),
        (None, moments[:1], None),
        (None, moments, pa.array([[]], HEADER_TYPES[0])),
    ):
        with pytest.raises(ValueError, match="columns of different lengths"):
            EncodableRecords(values, keys, each, headers)
    columns = EncodableRecords(values, None, moments)
    for first, last in ((0, 0), (1, 3), (-1, 1)):
        with pytest.raises(IndexError):
            columns.encode(first, last)


def test_rows_are_split_into_batches_that_fit() -> None:
    sizes = [10, 300, 20, 110, 110, 110, 400, 400, 1, 310]
    columns = EncodableRecords(pa.array([bytes(size) for size in sizes]), None, times([TIME] * 10))
    found = columns.split(400)
    assert found.too_large.tolist() == [6, 7]
    assert found.batches == [(0, 2), (2, 5), (5, 6), (8, 10)]
    assert all(columns.encode(*each).size <= 400 for each in found.batches)
    assert columns.split(10**6).batches == [(0, 10)]
    assert columns.split(61).batches == []
    assert EncodableRecords(pa.array([], pa.binary()), None, times([])).split(400).batches == []


@settings(max_examples=examples(40))
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 50, 63, 64, 127, 128, 600]), st.integers(-(2**40), 2**40)),
        max_size=40,
    ),
    st.integers(61, 800),
)
def test_batches_are_never_larger_than_allowed(rows: list[tuple[int, int]], most: int) -> None:
    values, moments = (
        pa.array([bytes(size) for size, _ in rows], pa.binary()),
        times([time for _, time in rows]),
    )
    columns = EncodableRecords(values, values, moments)
    batches, too_large = columns.split(most)
    covered = [row for first, last in batches for row in range(first, last)]
    assert sorted([*covered, *too_large.tolist()]) == list(range(len(rows)))
    assert all(columns.encode(*each).size <= most for each in batches)
    assert all(columns.encode(row, row + 1).size > most - 17 for row in too_large.tolist())


@settings(max_examples=examples(40))
@given(st.integers(1, 60), st.sampled_from(Codec), st.sampled_from(BINARIES[:2]))
def test_any_rows_come_back(count: int, codec: Codec, type: pa.DataType) -> None:
    rows = drawn_rows(count)
    data = encode_batch(*columns_of(rows, type), codec=codec, level=None).finish()
    assert read(data) == rows
    if data[22] in (Codec.NONE, Codec.GZIP):
        assert read_by_aiokafka(data) == rows


def test_a_prebuilt_batch_is_built_once() -> None:
    rows = drawn_rows(5)
    batch = encode_batch(*columns_of(rows))
    built = PrebuiltBatch(batch, transactional=True)
    assert (built.closed(), built.record_count(), built.size()) == (True, 5, batch.size)
    assert built.append(timestamp=1, key=None, value=b"") is None
    built.close()
    built._set_producer_state(7, 1, 30)
    data = built._build()
    assert built._build() is data
    assert data == batch.finish(7, 1, 30, transactional=True)
    assert len(data) == built.size()
    assert PrebuiltBatch(batch)._build() == batch.finish()
