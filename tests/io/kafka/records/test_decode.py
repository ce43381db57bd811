"""Record batches as columns: what Java, aiokafka and a writer in plain Python write comes back, column by column."""

import gzip
import random

import numpy as np
import pyarrow as pa
import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from arrowstream.errors import SourceError
from arrowstream.io.compiled import Compiled
from arrowstream.io.kafka.records import checksum, decode, header
from arrowstream.io.kafka.records.checks import header_error
from arrowstream.io.kafka.records.compression import Codec
from arrowstream.io.kafka.records.decode import decode_records
from tools.broken_messages.record_batches import make, rows_of, verdict
from tools.broken_messages.reference import Row, batch, record, sealed, varint

TIME = 1_700_000_000_000
JAVA_RECORDS = (
    "1c000000046b3104763102026802780c0001020100001400d80404000102026e01ec0400da0406046b32d804"
    + "7a" * 300
    + "00"
)
JAVA_ROWS = [
    Row(1000, TIME, b"k1", b"v1", (("h", b"x"),)),
    Row(1001, TIME - 1, None, b""),
    Row(1002, TIME + 300, b"", None, (("n", None),)),
    Row(1003, TIME + 301, b"k2", b"z" * 300),
]
JAVA_HEADER = (
    "{}0000000502{}001{}000000030000018bcfe568000000018bcfe5692d00000000000000070001000000030000000{}"
)
JAVA = {
    Codec.NONE: ("0000018a", "9ec6b0ac", JAVA_RECORDS),
    Codec.GZIP: (
        "00000075",
        "412b4bc3",
        "1f8b08000000000000ff9361606060c9366429336462ca60aae06160646264601061b8c1c2026432e531be6161b8c5c2c69"
        "26d7483a56a14100d1800d034b34f59010000",
    ),
    Codec.SNAPPY: (
        "00000088",
        "4aea749d",
        "82534e4150505900000000010000000100000043d902b81c000000046b3104763102026802780c0001020100001400d804"
        "04000102026e01ec0400da0406046b32d8047a7a7afe0200fe0200fe0200fe0200a202000000",
    ),
    Codec.LZ4: (
        "00000079",
        "ef6e4682",
        "04224d1860408239000000ff1e1c000000046b3104763102026802780c0001020100001400d80404000102026e01ec0400"
        "da0406046b32d8047a0100ff15507a7a7a7a0000000000",
    ),
    Codec.ZSTD: (
        "00000073",
        "659f21ce",
        "28b52ffd0058b40100e4021c000000046b3104763102026802780c0001020100001400d80404000102026e01ec0400da04"
        "06046b32d8047a00010045514119010000",
    ),
}
"""Batches that Kafka's own library for Java 4.4 wrote: length, CRC and records."""


def java(codec: Codec) -> bytes:
    length, crc, records = JAVA[codec]
    header = JAVA_HEADER.format("00000000000003e8" + length, crc, int(codec), 4)
    return bytes.fromhex(header + records)


@pytest.fixture(params=["compiled", "plain"])
def both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test runs with machine code, and with the plain functions that it is made of."""
    if request.param == "plain":
        monkeypatch.setattr(Compiled, "__call__", lambda self, *arguments: self.py_func(*arguments))


@pytest.fixture
def without_instruction(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor cannot compute a CRC-32C."""
    for module in (checksum, decode):
        monkeypatch.setattr(module, "has_instruction", lambda: False)


@pytest.mark.once
@pytest.mark.parametrize("codec", Codec)
def test_what_java_writes_comes_back(codec: Codec, both: None) -> None:
    data = java(codec)
    assert data == sealed(data)
    records = decode_records(data, 1000, headers=True)
    assert rows_of(records) == JAVA_ROWS
    assert (len(records), records.next_offset, records.more) == (4, 1004, False)
    for column in (records.values, records.keys, records.timestamps, records.offsets, records.headers):
        column.validate(full=True)
    assert records.timestamps.type == pa.timestamp("ms", "UTC")
    assert records.headers.type.value_type.field("key").type == pa.large_string()
    assert records.nbytes > 306
    few = decode_records(data, 1002)
    assert (few.offsets.to_pylist(), few.headers) == ([1002, 1003], None)
    assert few.values.to_pylist() == [None, b"z" * 300]


@pytest.mark.parametrize(
    "form", [bytes, memoryview, pa.py_buffer, lambda data: pa.py_buffer(bytearray(data))]
)
def test_bytes_may_be_in_any_buffer(form: object) -> None:
    assert rows_of(decode_records(form(java(Codec.NONE)), 0, headers=True)) == JAVA_ROWS


@pytest.mark.parametrize("data", [b"", bytes(16), batch([Row(3, TIME, None, b"a")])[:-1]])
def test_without_a_whole_batch_nothing_moves(data: bytes, both: None) -> None:
    records = decode_records(data, 3, headers=True)
    assert (len(records), records.next_offset, records.more) == (0, 3, False)
    assert (len(records.keys), len(records.headers)) == (0, 0)


def rows_from(first: int, count: int, **more: object) -> list[Row]:
    return [
        Row(first + place, TIME + place, b"k%d" % place, b"v%d" % place, **more) for place in range(count)
    ]


def test_batches_of_all_compressions_are_joined(both: None) -> None:
    rows = [rows_from(10 * place, 5, headers=(("a", b"1"), ("b", None))) for place in range(7)]
    data = b"".join(
        [
            batch(rows[0]),
            java_like(rows[1], Codec.GZIP),
            java_like(rows[2], Codec.LZ4),
            batch(rows[3]),
            batch(rows[4]),
            java_like(rows[5], Codec.ZSTD),
            batch(rows[6]),
        ]
    )
    assert rows_of(decode_records(data, 0, headers=True)) == [row for each in rows for row in each]
    assert decode_records(data, 33, keys=False).offsets.to_pylist()[:3] == [33, 34, 40]
    for cut in range(1, 61, 7):
        records = decode_records(data + batch(rows_from(90, 1))[:cut], 0, headers=True)
        assert (len(records), records.next_offset) == (35, 65)


def java_like(rows: list[Row], codec: Codec) -> bytes:
    from arrowstream.io.kafka.records.compression import compress

    return batch(rows, attributes=codec, pack=lambda data: compress(codec, pa.py_buffer(data)).to_pybytes())


def test_offsets_have_the_gaps_that_compaction_leaves(both: None) -> None:
    rows = [Row(10, TIME, b"k", b"a"), Row(14, TIME - 5, b"k", b"b")]
    data = (
        batch([], base_offset=0, last_delta=9)
        + batch(rows, base_offset=10, last_delta=9)
        + batch([], base_offset=25, last_delta=4, attributes=Codec.GZIP)
    )
    records = decode_records(data, 0, headers=True)
    assert (rows_of(records), records.next_offset) == (rows, 30)
    assert decode_records(data, 31).next_offset == 31


def test_times_are_those_of_the_broker_if_it_says_so(both: None) -> None:
    rows = [Row(0, TIME, None, b"a"), Row(1, TIME + 9, None, b"b"), Row(2, TIME - 2**40, None, b"c")]
    assert [row.time for row in rows_of(decode_records(batch(rows), 0, headers=True))] == [
        row.time for row in rows
    ]
    data = batch(rows, attributes=8)
    assert {row.time for row in rows_of(decode_records(data, 0, headers=True))} == {TIME + 9}


def test_a_headers_key_that_is_no_text_has_the_sign_for_it() -> None:
    plain = batch([Row(0, TIME, None, b"", (("ab", b"1"), ("c", None)))])
    data = sealed(plain.replace(b"ab", b"\xffb"))
    assert rows_of(decode_records(data, 0, headers=True))[0].headers == (("\ufffdb", b"1"), ("c", None))


def marks(rows: list[Row], producer: int, **options: object) -> bytes:
    return batch(rows, producer_id=producer, attributes=16, **options)


def control(offset: int, producer: int, kind: int, key: bytes | None = None, **options: object) -> bytes:
    row = Row(offset, TIME, bytes([0, 0, 0, kind]) if key is None else key, bytes(6))
    return batch([row], producer_id=producer, attributes=48, **options)


def test_aborted_transactions_are_left_out(both: None) -> None:
    data = b"".join(
        [
            marks(rows_from(0, 2), 7),  # aborted
            marks(rows_from(2, 2), 8),
            batch(rows_from(4, 1), producer_id=7),  # outside of a transaction
            control(5, 7, 0),
            marks(rows_from(6, 1), 7),
            control(7, 8, 1),
            control(8, 7, 1),
            marks(rows_from(9, 1), 8),  # aborted, before its marker came
            batch([], base_offset=10, producer_id=8, attributes=48),
            marks(rows_from(11, 1), 8),  # still
            batch(rows_from(12, 1)),
            control(13, 99, 0),  # of a transaction without data
        ]
    )
    aborted = [(8, 9), (7, 0)]
    records = decode_records(data, 0, read_committed=True, aborted=aborted)
    assert (records.offsets.to_pylist(), records.next_offset) == ([2, 3, 4, 6, 12], 14)
    everything = [0, 1, 2, 3, 4, 6, 9, 11, 12]
    assert decode_records(data, 0, read_committed=True).offsets.to_pylist() == everything
    assert decode_records(data, 0, aborted=aborted).offsets.to_pylist() == everything


@pytest.mark.parametrize("key", [b"\0\0\0", b""])
def test_a_mark_that_is_none_is_damage(key: bytes) -> None:
    with pytest.raises(SourceError, match=r"at offset 5 is damaged") as failed:
        decode_records(control(5, 7, 0, key), 0, read_committed=True, aborted=[(7, 0)])
    assert failed.value.expected == "a mark of a transaction"


def test_batches_that_are_too_large_together_are_left_for_another_call() -> None:
    data = b"".join(java_like([Row(place, TIME, None, bytes(1000))], Codec.ZSTD) for place in range(5))
    found, offset, calls = [], 0, 0
    while True:
        records = decode_records(data, offset, step_bytes=2500)
        found += records.offsets.to_pylist()
        offset, calls = records.next_offset, calls + 1
        if not records.more:
            break
    assert (found, offset, calls) == (list(range(5)), 5, 3)
    with pytest.raises(SourceError, match="at offset 0 is too large") as failed:
        decode_records(data, 0, max_decompressed_bytes=1000)
    assert "max_decompressed_bytes=" in str(failed.value.hint)


@pytest.mark.parametrize("step_bytes", [1, 1100, 2500, 3300, 4200, 9000])
def test_a_call_returns_no_more_than_a_step_or_one_batch(step_bytes: int) -> None:
    sizes = [500, 10, 2000, 500, 500, 900, 3, 1000, 1000]
    codecs = [*Codec, Codec.NONE, Codec.NONE, Codec.ZSTD, Codec.NONE]
    rows = [Row(place, TIME, None, bytes(size)) for place, size in enumerate(sizes)]
    data = b"".join(java_like([row], codec) for row, codec in zip(rows, codecs, strict=True))
    found, offset, more = [], 0, True
    while more:
        records = decode_records(data, offset, headers=True, step_bytes=step_bytes)
        assert (
            len(records) == 1 or sum(map(len, records.values.to_pylist())) + 32 * len(records) <= step_bytes
        )
        found += rows_of(records)
        offset, more = records.next_offset, records.more
    assert (found, offset) == (rows, len(rows))


def test_a_processor_without_the_instruction_checks_too(without_instruction: None) -> None:
    data = java(Codec.NONE) + batch(rows_from(2000, 2))
    assert len(decode_records(data, 0)) == 6
    wrong = harmed(data, data.rindex(b"v1"), b"w1")
    assert decode_records(wrong, 0, check_crc=False).values.to_pylist()[-1] == b"w1"
    with pytest.raises(SourceError, match="offset 2000") as failed:
        decode_records(wrong, 0)
    assert failed.value.expected == "bytes with the CRC-32C of the header"
    with pytest.raises(SourceError, match="offset 255 is in an old format"):
        decode_records(data + bytes(7) + b"\xff" + bytes(9), 0)


def harmed(data: bytes, at: int, put: bytes) -> bytes:
    return data[:at] + put + data[at + len(put) :]


SOUND = batch(rows_from(7, 3))
LARGE = (2**31 - 1).to_bytes(4, "big")
DAMAGES = {
    "crc": (harmed(SOUND, 70, b"\xff"), "bytes with the CRC-32C of the header"),
    "old format": (harmed(SOUND, 16, b"\1"), "a record batch, magic 2"),
    "no format": (harmed(SOUND, 16, b"\xff"), "a record batch, magic 2"),
    "short": (harmed(SOUND, 8, (48).to_bytes(4, "big")), "a length of at least 49"),
    "negative length": (harmed(SOUND, 8, b"\xff"), "a length of at least 49"),
    "negative offset": (harmed(SOUND, 0, b"\xff"), "offsets from 0 to 2^63 - 2"),
    "negative last offset": (batch(rows_from(7, 3), last_delta=-1), "offsets from 0 to 2^63 - 2"),
    "largest offset": (harmed(SOUND, 0, b"\x7f" + b"\xff" * 7), "offsets from 0 to 2^63 - 2"),
    "backward": (SOUND + batch(rows_from(9, 1)), "offsets after those of the batch before"),
    "no codec": (batch(rows_from(7, 3), attributes=5), "a compression from 0 to 4"),
    "negative count": (batch(rows_from(7, 3), count=-1), "at most one record for each offset"),
    "too many for the offsets": (batch(rows_from(7, 3), count=4), "at most one record for each offset"),
    "too many for the bytes": (
        batch(rows_from(7, 3), count=2**31 - 1, last_delta=2**31 - 1),
        "at least 7 bytes for each record",
    ),
    "too many for the unpacked bytes": (
        batch(rows_from(7, 3), count=30, last_delta=30, attributes=1, pack=gzip.compress),
        "at least 7 bytes for each record",
    ),
    "no gzip": (batch(rows_from(7, 3), attributes=1), "bytes of gzip"),
    "no bytes": (batch(rows_from(7, 3), attributes=2, records=b""), "bytes of snappy"),
}


@pytest.mark.once
@pytest.mark.parametrize("data, expected", DAMAGES.values(), ids=DAMAGES)
def test_damage_to_a_batch_names_its_offset(data: bytes, expected: str, both: None) -> None:
    with pytest.raises(SourceError, match=r"the record batch at offset -?\d+ is ") as failed:
        decode_records(data, 0)
    assert failed.value.position == f"offset {int.from_bytes(failed_batch(data)[:8], 'big', signed=True)}"
    assert failed.value.expected == expected
    assert failed.value.found
    assert failed.value.hint


@pytest.mark.parametrize("fault", range(header.OLD_FORMAT, header.DENSE + 1))
def test_an_error_bears_any_number_in_fields_that_were_not_read(fault: int) -> None:
    row = np.array([-(2**63), 2**63 - 1] * 7, np.int64)
    assert "record batch at offset -9223372036854775808 is" in str(header_error(row, fault))


def failed_batch(data: bytes) -> bytes:
    return data[len(SOUND) :] if len(data) > len(SOUND) and data.startswith(SOUND) else data


def raw(
    *, length: int | None = None, time=b"\0", delta=b"\0", key=b"\1", value=b"\1", headers=b"\0"
) -> bytes:
    body = b"\0" + time + delta + key + value + headers
    return varint(len(body) if length is None else length) + body


NEVER_ENDS = b"\x80" * 11
FAULTS = {
    "length past the batch": (raw(length=1000), "its length does not fit the batch"),
    "length of 0": (raw(length=0), "its length does not fit the batch"),
    "length of 11 bytes": (NEVER_ENDS + raw(), "its length does not fit the batch"),
    "time of 11 bytes": (raw(time=NEVER_ENDS), "its timestamp is no integer of 64 bits"),
    "offset backward": (raw(delta=varint(-1)), "its offset is not between"),
    "offset after the last": (raw(delta=varint(6)), "its offset is not between"),
    "offset of 6 bytes": (raw(delta=b"\x80" * 5 + b"\0"), "its offset is not between"),
    "key of -2": (raw(key=varint(-2)), "its key does not fit"),
    "key past the record": (raw(key=varint(100)), "its key does not fit"),
    "no key": (raw(length=3), "its key does not fit"),
    "value of -2": (raw(value=varint(-2)), "its value does not fit"),
    "value past the record": (raw(value=varint(2)), "its value does not fit"),
    "no value": (raw(length=4), "its value does not fit"),
    "headers of -1": (raw(headers=varint(-1)), "its headers do not fit"),
    "no headers": (raw(headers=b""), "its headers do not fit"),
    "a header without a key": (raw(headers=varint(1) + varint(-1)), "its headers do not fit"),
    "a header without a value": (raw(headers=varint(1) + b"\0"), "its headers do not fit"),
    "a header past the record": (raw(headers=varint(1) + b"\0" + varint(3)), "its headers do not fit"),
    "many headers": (raw(headers=varint(2**31 - 1)), "its headers do not fit"),
    "bytes after the headers": (raw(headers=b"\0\0"), "bytes are left after its headers"),
    "bytes after a header": (raw(headers=varint(1) + b"\0\0\0"), "bytes are left after its headers"),
    "bytes after the record": (raw() + bytes(8), "bytes are left after the last record"),
}


@pytest.mark.once
@pytest.mark.parametrize("records, found", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("headers", [False, True])
def test_damage_to_a_record_is_found(records: bytes, found: str, headers: bool, both: None) -> None:
    data = batch(rows_from(0, 2)) + batch(
        [], base_offset=3, last_delta=5, count=1, records=records + bytes(7)
    )
    with pytest.raises(SourceError, match="at offset 3 is damaged") as failed:
        decode_records(data, 0, headers=headers)
    assert str(failed.value.found).startswith("record ")
    expected = "bytes are left after" if "left" in found else found
    assert expected in str(failed.value.found)


@pytest.mark.untraced
def test_damaged_batches_are_read_as_a_strict_reader_reads_them() -> None:
    found = [verdict(number, 1) for number in range(300)]
    assert {what for what, _ in found} == {"same", "refused"}, found


def test_the_strict_reader_notices_a_row_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = next(number for number in range(100) if verdict(number, 1)[0] == "same" and rows_in(number))
    monkeypatch.setattr("tools.broken_messages.record_batches.rows_of", lambda records: rows_of(records)[1:])
    assert verdict(sound, 1)[0] == "DIFFERENT"


def rows_in(number: int) -> int:
    data, offset = make(number, 1)
    return len(decode_records(data, offset))


VALUES = st.none() | st.builds(
    lambda size, seed: random.Random(seed).randbytes(size),
    st.sampled_from([0, 1, 63, 64, 127, 128, 9000]),
    st.integers(0, 3),
)
ROWS = st.lists(
    st.tuples(
        st.sampled_from([0, TIME, TIME - 1, 2**40]),
        VALUES,
        VALUES,
        st.lists(st.tuples(st.text(max_size=3), VALUES), max_size=3),
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=examples(40))
@given(ROWS, st.sampled_from([0, 1]), st.integers(0, 25))
def test_what_aiokafka_writes_comes_back(rows: list, codec: int, skipped: int) -> None:
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 30)
    for offset, (time, key, value, headers) in enumerate(rows):
        builder.append(offset, time, key, value, headers)
    data = bytes(builder.build())
    found = rows_of(decode_records(data, skipped, headers=True))
    wanted = [Row(offset, *each[:3], tuple(each[3])) for offset, each in enumerate(rows)]
    assert found == wanted[skipped:]
    theirs = MemoryRecords(data).next_batch()
    assert [(row.offset, row.timestamp, row.key, row.value) for row in theirs][skipped:] == [
        row[:4] for row in found
    ]


def test_a_table_that_is_too_small_is_made_again() -> None:
    data = b"".join(batch([Row(offset, TIME, None, b"")]) for offset in range(200))
    assert len(data) < 200 * decode._USUAL_BATCH_BYTES
    assert decode_records(data, 0).offsets.to_pylist() == list(range(200))


def test_columns_keep_only_the_bytes_that_they_need() -> None:
    data = batch([Row(offset, TIME, b"k" * 1000, b"v") for offset in range(100)])
    records = decode_records(data, 0)
    assert [column.buffers()[2].size for column in (records.values, records.keys)] == [100, 100_000]
    assert np.frombuffer(records.values.buffers()[1], np.int64).tolist() == list(range(101))
    assert record(Row(0, 0, None, None)) == bytes.fromhex("0c000000010100")
