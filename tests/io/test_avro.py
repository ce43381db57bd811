"""Avro files: rows as fastavro reads and writes them, in pieces of whole blocks; damage is an error."""

import bz2
import datetime as dt
import decimal
import io
import json
import lzma
import random
import re
import zlib

import fastavro
import polars as pl
import pyarrow as pa
import pytest
from contexts import context
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from arrowstream import Pipeline, Sink, Source
from arrowstream.errors import ArrowstreamError, PlanError, SchemaError, SinkError, SourceError
from arrowstream.io.files.avro import rows
from arrowstream.io.files.avro.codecs import CODECS, DAMAGES
from arrowstream.io.files.avro.container import number_bytes
from arrowstream.io.files.avro.types import AvroTypes, UnfitType
from arrowstream.io.files.destination.existing_rows import holds_rows
from arrowstream.io.files.formats import FileKind
from arrowstream.io.files.source import FileSource

UTC = dt.UTC
ENUM = {"type": "enum", "name": "color", "symbols": ["red", "blue"]}
PAIR = {"type": "record", "name": "pair", "fields": [{"name": "a", "type": "long"}]}
DECIMAL = {"logicalType": "decimal", "precision": 9, "scale": 2}
MOMENT = dt.datetime(2020, 1, 2, 3, 4, 5, 6000)


def logical(plain, name):
    return {"type": plain, "logicalType": name}


TYPES = {
    "boolean": ("boolean", pl.Boolean(), [True, False]),
    "int": ("int", pl.Int32(), [1, -(2**31)]),
    "long": ("long", pl.Int64(), [2**63 - 1, -(2**63)]),
    "float": ("float", pl.Float32(), [1.5, -0.25]),
    "double": ("double", pl.Float64(), [1.1, -2.0]),
    "bytes": ("bytes", pl.Binary(), [b"", b"\xff"]),
    "string": ({"type": "string"}, pl.String(), ["", "é"]),
    "wrapped": ({"type": "long", "doc": "a number"}, pl.Int64(), [3]),
    "enum": (ENUM, pl.Enum(["red", "blue"]), ["blue", "red"]),
    "enums": (
        {"type": "array", "items": ["null", ENUM]},
        pl.List(pl.Enum(["red", "blue"])),
        [["red", None], []],
    ),
    "fixed": ({"type": "fixed", "name": "f", "size": 3}, pl.Binary(), [b"abc"]),
    "list": ({"type": "array", "items": ["long", "null"]}, pl.List(pl.Int64()), [[1, None], []]),
    "record": (PAIR, pl.Struct({"a": pl.Int64()}), [{"a": 1}]),
    "date": (logical("int", "date"), pl.Date(), [dt.date(1900, 1, 1)]),
    "time-millis": (logical("int", "time-millis"), pl.Time(), [dt.time(1, 2, 3)]),
    "time-micros": (logical("long", "time-micros"), pl.Time(), [dt.time(1, 2, 3, 4)]),
    "ms": (logical("long", "timestamp-millis"), pl.Datetime("ms", "UTC"), [MOMENT.replace(tzinfo=UTC)]),
    "us": (logical("long", "timestamp-micros"), pl.Datetime("us", "UTC"), [MOMENT.replace(tzinfo=UTC)]),
    "local ms": (logical("long", "local-timestamp-millis"), pl.Datetime("ms"), [MOMENT]),
    "local us": (logical("long", "local-timestamp-micros"), pl.Datetime("us"), [MOMENT]),
    "decimal": ({"type": "bytes", **DECIMAL}, pl.Decimal(9, 2), [decimal.Decimal("-1.25")]),
    "fixed decimal": (
        {"type": "fixed", "name": "f", "size": 5, **DECIMAL},
        pl.Decimal(9, 2),
        [decimal.Decimal("1.25"), decimal.Decimal("-7.00")],
    ),
    "unknown logical type": (logical("string", "uuid-of-ours"), pl.String(), ["x"]),
}
"""Types of Avro, the types of their columns, and values."""


def written(type, values, codec="null", **options):
    """A file with a row for each value and a second field, in blocks of a few rows."""
    fields = [{"name": "x", "type": type}, {"name": "n", "type": ["null", "long"]}]
    schema = {"type": "record", "name": "row", "namespace": "our.own", "fields": fields}
    content = io.BytesIO()
    records = ({"x": value, "n": number} for number, value in enumerate(values))
    fastavro.writer(content, fastavro.parse_schema(schema), records, codec=codec, sync_interval=8, **options)
    return content.getvalue()


def read(path, **options):
    return Pipeline.builder().source(Source.from_file(path, **options)).collect_sync()


@pytest.mark.parametrize("name", TYPES)
def test_every_type_alone_and_with_null(name, tmp_path):
    type, dtype, values = TYPES[name]
    for number, (kind, found) in enumerate(
        [(type, values), (["null", type], [None, *values]), ([type, "null"], [*values, None])]
    ):
        path = tmp_path / f"{number}.avro"
        path.write_bytes(written(kind, found * 2))
        frame = read(path)
        assert frame.schema == {"x": dtype, "n": pl.Int64}
        assert frame["x"].to_list() == found * 2 and frame["n"].to_list() == list(range(2 * len(found)))


def test_nanoseconds_maps_and_names_used_again(tmp_path):
    path = tmp_path / "x.avro"
    for name, zone in (("timestamp-nanos", "UTC"), ("local-timestamp-nanos", None)):
        path.write_bytes(written(["null", logical("long", name)], [1, None]))
        frame = read(path)
        assert frame["x"].dtype == pl.Datetime("ns", zone) and frame["x"].cast(pl.Int64).to_list() == [
            1,
            None,
        ]
    path.write_bytes(written({"type": "map", "values": ["null", ENUM]}, [{"a": "red", "b": None}, {}]))
    assert read(path)["x"].to_list() == [[{"key": "a", "value": "red"}, {"key": "b", "value": None}], []]
    twice = {"name": "other.q", "type": "record"}
    for again in ("color", "other.color"):
        fields = [{"name": "a", "type": ENUM}, {"name": "b", "type": ["null", again]}]
        path.write_bytes(written({**twice, "fields": fields}, [{"a": "red", "b": "blue"}]))
        assert read(path)["x"].to_list() == [{"a": "red", "b": "blue"}]


@pytest.mark.untraced
def test_rows_are_those_of_fastavro_in_pieces_of_any_size(tmp_path, monkeypatch):
    path = tmp_path / "x.avro"
    values = [None if n % 5 == 0 else "ab" * (n % 7) for n in range(300)]
    for codec in ("null", "deflate", "bzip2", "xz"):
        path.write_bytes(written(["null", "string"], values, codec))
        for size in (1, 64, 1 << 20):
            monkeypatch.setattr(rows, "PIECE_BYTES", size)
            frame = read(path)
            assert frame["x"].to_list() == values and frame["n"].to_list() == list(range(300))
    report = Pipeline.builder().source(Source.from_file(path)).sink(Sink.to_fn(len)).build().run_sync()
    assert report.rows_in == 300


@pytest.mark.parametrize("codec", ["none", "deflate", "snappy"])
def test_what_is_written_is_read_by_fastavro_and_polars(codec, tmp_path):
    frame = pl.DataFrame(
        {
            "x": [1, None] * 40_000,
            "s": ["a", "é"] * 40_000,
            "l": [[{"q": 1.5}], None] * 40_000,
            "t": [MOMENT, None] * 40_000,
        }
    )
    path = tmp_path / "x.avro"
    rows_in = Pipeline.builder().source(Source.from_frame(frame, batch_rows=30_000))
    rows_in.sink(Sink.to_file(path, compression=codec)).build().run_sync()
    assert_frame_equal(read(path), frame)
    assert_frame_equal(pl.read_avro(path), frame)
    if codec != "snappy":  # fastavro needs another library for it
        assert list(fastavro.reader(io.BytesIO(path.read_bytes()))) == frame.to_dicts()
    empty = Pipeline.builder().source(Source.from_frame(frame)).filter(pl.col("x") > 5)
    empty.sink(Sink.to_file(path, compression=codec)).build().run_sync()
    assert_frame_equal(read(path), frame.clear())


@pytest.mark.once
def test_small_parts_and_further_runs(tmp_path):
    frame = pl.DataFrame({"x": range(300), "k": [number % 150 for number in range(300)]})

    def write(rows, **options):
        sink = Sink.to_file(f"{tmp_path}/out/", format="avro", **options)
        Pipeline.builder().source(Source.from_frame(rows)).sink(sink).build().run_sync()

    write(frame, partition_by="k")
    assert_frame_equal(read(f"{tmp_path}/out/").sort("x"), frame)
    write(frame, partition_by="k", mode="append")
    assert read(f"{tmp_path}/out/").height == 600
    with pytest.raises(SchemaError, match="rows cannot be appended"):
        write(frame.rename({"x": "y"}), partition_by="k", mode="append")
    for path in (tmp_path / "out").rglob("*.avro"):
        path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(SinkError, match="cannot be read"):
        write(frame, partition_by="k", mode="append")
    write(frame.head(0).drop("k"), mode="overwrite")
    write(frame.drop("k"), mode="append")
    assert_frame_equal(read(f"{tmp_path}/out/"), frame.drop("k"))


def test_a_file_without_rows_is_a_placeholder(tmp_path):
    path = tmp_path / "x.avro"
    for content, expected in ((written("long", []), False), (written("long", [1]), True), (b"no avro", True)):
        path.write_bytes(content)
        assert holds_rows(path, FileKind("avro"), b"") is expected


def test_zstandard_blocks(tmp_path):
    content = written("long", [1, 2, 3])
    plain = tmp_path / "plain.avro"
    plain.write_bytes(content)
    import pyarrow as pa

    def repacked(codec, pack):
        head, at = content.index(b"avro.codec"), content.index(b"null", content.index(b"avro.codec"))
        name = codec.encode()
        start = len(content) - len(content.split(content[-16:], 1)[1])
        begin = content[: at - 1] + number_bytes(len(name)) + name + content[at + 4 : start]
        assert head < at
        rows_of_block = b"\x02\x02\x00\x04\x02\x02\x06\x02\x04"
        packed = pack(rows_of_block)
        return begin + number_bytes(3) + number_bytes(len(packed)) + packed + content[-16:]

    zstd = pa.Codec("zstd")
    for codec, pack in (("zstandard", lambda data: zstd.compress(data, asbytes=True)), ("null", bytes)):
        path = tmp_path / f"{codec}.avro"
        path.write_bytes(repacked(codec, pack))
        assert_frame_equal(read(path), read(plain))
    (tmp_path / "x.avro").write_bytes(repacked("brotli", bytes))
    with pytest.raises(SchemaError, match="compression that is not known") as error:
        Source.from_file(tmp_path / "x.avro").schema()
    assert error.value.found == "brotli" and error.value.expected == ", ".join(CODECS)


def test_only_needed_columns_are_read_and_filters_apply(tmp_path):
    path = tmp_path / "x.avro"
    path.write_bytes(written(ENUM, ["red", "blue"] * 20))
    source = Pipeline.builder().source(Source.from_file(path))
    assert source.filter(pl.col("x") == "blue").select("n").collect_sync()["n"].to_list() == list(
        range(1, 40, 2)
    )
    assert source.with_columns(one=1).select("one").collect_sync().height == 40
    assert "columns: 1 of 2 (n)" in source.select("n").explain()
    with pytest.raises(ArrowstreamError, match="first steps, which run inside the read, failed") as failed:
        source.with_columns(y=pl.col("x").cast(pl.String).cast(pl.Int64)).collect_sync()
    assert f"{path} rows 0-40" in str(failed.value) and "strict=False" in failed.value.hint


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        ("null", "x: null"),
        (["int", "string"], "x: a union of int, string"),
        (["null", ENUM, "int"], "x: a union of null, enum, int"),
        (["null", ["null", "int"]], "x: a union of null, union"),
        ([["null", "int"], "null", "int"], "x: a union of union, null, int"),
        (
            {"type": "record", "name": "q", "fields": [{"name": "r", "type": ["null", "q"]}]},
            "x: r: q, which",
        ),
        ({"type": "record", "name": "q", "fields": []}, "x: a record without fields"),
        (
            {"type": "record", "name": "q", "fields": [{"name": "a", "type": "int"}] * 2},
            "x: a record with two",
        ),
        ({"type": "fixed", "name": "f", "size": 0}, "x: a fixed of 0 bytes"),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 50, "scale": 2},
            "x: a decimal of 50 digits",
        ),
        ({"type": "fixed", "name": "f", "size": 17, **DECIMAL}, "x: a decimal of 17 bytes"),
        ("made.up", "x: made.up, which the schema does not define"),
        (7, "x: 7, which is not a type"),
    ],
)
def test_types_that_no_column_can_have_are_refused_at_build(schema, found, tmp_path):
    path = tmp_path / "x.avro"
    row = {"type": "record", "name": "row", "fields": [{"name": "x", "type": schema}]}
    path.write_bytes(file_of(row))
    with pytest.raises(SchemaError, match="a type that no column can have") as error:
        Pipeline.builder().source(Source.from_file(path)).sink(Sink.to_fn(len)).build()
    assert found in error.value.found and str(path) in error.value.what


def test_names_of_types_are_those_of_their_namespace():
    suit = {"type": "enum", "name": "suit", "symbols": ["a", "b"]}
    fixed = {"type": "fixed", "name": "their.code", "size": 3}
    inner = {
        "type": "record",
        "name": "q",
        "namespace": "other",
        "fields": [{"name": "y", "type": "our.own.suit"}],
    }
    types = [suit, "suit", "our.own.suit", fixed, "their.code", inner, "other.q"]
    fields = [{"name": f"f{number}", "type": type} for number, type in enumerate(types)]
    for space in ({"namespace": "our.own", "name": "row"}, {"name": "our.own.row"}):
        found = AvroTypes().fields({"type": "record", **space, "fields": fields})
        dtypes = [type.dtype for type in found.values()]
        assert dtypes[0] == dtypes[1] == dtypes[2] == pl.Enum(["a", "b"])
        assert dtypes[3] == dtypes[4] == pl.Binary and dtypes[5] == dtypes[6] == pl.Struct({"y": dtypes[0]})
        for unknown in ("other.suit", "code", "q"):
            unfit = [*fields, {"name": "z", "type": unknown}]
            with pytest.raises(UnfitType, match="does not define"):
                AvroTypes().fields({"type": "record", **space, "fields": unfit})


def file_of(schema, body=b""):
    """An Avro file with a header of one pair, whose sync marker is 16 times an S."""
    text = schema if isinstance(schema, bytes) else json.dumps(schema).encode()
    pair = b"\x16avro.schema" + number_bytes(len(text)) + text
    return b"Obj\x01\x02" + pair + b"\x00" + b"S" * 16 + body


def test_rows_without_columns_and_schemas_that_are_none(tmp_path):
    path = tmp_path / "x.avro"
    for schema, found in (("long", "long"), ({"type": "array", "items": "long"}, "array")):
        path.write_bytes(file_of(schema))
        with pytest.raises(SchemaError, match="have no columns") as error:
            Source.from_file(path).schema()
        assert error.value.found == found
    for schema, found in (
        (b"{", "Expecting"),
        (b'{"type": "record", "name": "r", "fields": [7]}', "TypeError"),
        (b'{"type": "record", "name": "r", "fields": [{"type": "long"}]}', "KeyError"),
    ):
        path.write_bytes(file_of(schema))
        with pytest.raises(SourceError, match="is not a complete Avro file") as failed:
            Source.from_file(path).schema()
        assert found in failed.value.found


def test_headers_of_every_form(tmp_path):
    path = tmp_path / "x.avro"
    row = {"type": "record", "name": "row", "fields": [{"name": "x", "type": "long"}]}
    whole = file_of(row, b"\x02\x02\x0a" + b"S" * 16)
    path.write_bytes(whole)
    assert read(path).rows() == [(5,)]
    # The number of pairs may be negative: their size in bytes follows.
    path.write_bytes(whole.replace(b"Obj\x01\x02", b"Obj\x01\x01\x40"))
    assert read(path).rows() == [(5,)]
    path.write_bytes(file_of({**row, "doc": "long" * 50_000}, b"\x02\x02\x0a" + b"S" * 16))
    assert read(path).rows() == [(5,)]
    wrapped = {**row, "fields": [{"name": "x", "type": {"type": ["null", "long"]}}]}
    path.write_bytes(file_of(wrapped, b"\x04\x06\x00\x02\x0a" + b"S" * 16))
    assert read(path).rows() == [(None,), (5,)]
    path.write_bytes(file_of(row))
    assert_frame_equal(read(path), pl.DataFrame(schema={"x": pl.Int64}))
    for content, found in (
        (b"", "an empty file"),
        (b"PK\x03\x04 this is a zip", "begins with"),
        (b"Obj\x01\x00" + b"S" * 16, "has no schema"),
        (b"Obj\x01\x02\x01", "a text of -1 bytes"),
        (b"Obj\x01" + b"\xff" * 11, "more than 64 bits"),
        (whole[:30], "ends within it"),
        (whole[:-25], "ends within it"),
    ):
        path.write_bytes(content)
        with pytest.raises(SourceError, match="the header cannot be read") as error:
            Source.from_file(path).schema()
        assert found in error.value.found and error.value.position == f"{path} byte 0"


def test_damage_names_block_and_offset(tmp_path):
    path = tmp_path / "x.avro"
    row = {"type": "record", "name": "row", "fields": [{"name": "x", "type": "string"}]}
    sound = b"\x02\x04\x02a" + b"S" * 16
    start = len(file_of(row)) + len(sound)
    for block, found in (
        (b"\x02\x04\x02a" + b"T" * 16, "the sync marker after it is not that of the file"),
        (b"\x02\x04\x02a", "1 row of 2 bytes, in a file of"),
        (b"\x01\x04\x02a" + b"S" * 16, "-1 rows of 2 bytes"),
        (b"\xff" * 30, "its length cannot be read"),
        (b"\x80\x80", "its length cannot be read"),
        (b"\x80\x80\x80\x80\x80\x80\x80\x01\x04\x02a" + b"S" * 16, "rows in 2 bytes"),
        (b"\x02\x04\x08a" + b"S" * 16, ""),
    ):
        path.write_bytes(file_of(row, sound + block + sound))
        if len(block) < 5:
            path.write_bytes(file_of(row, sound + block))
        with pytest.raises(SourceError, match=r"is not a complete Avro file: block 2") as error:
            read(path)
        assert found in error.value.found and start <= int(error.value.position.split()[-1]) < start + 10


@pytest.mark.once
@pytest.mark.parametrize("columns", [["x"], ["flag"]])
@pytest.mark.parametrize(
    "name",
    [
        *(
            pytest.param(name, marks=pytest.mark.untraced)
            for name in ("int", "long", "float", "double", "bytes", "string")
        ),
        "enum",
    ],
)
def test_a_row_count_that_is_too_small_loses_no_rows_silently(name, columns, tmp_path):
    path = tmp_path / "x.avro"
    type, _, values = TYPES[name]
    value = values[-1] if name != "enum" else "red"
    for kind in (type, ["null", type], [type, "null"]):
        fields = [{"name": "flag", "type": "boolean"}, {"name": "x", "type": kind}]
        row = {"type": "record", "name": "row", "fields": fields}
        content = io.BytesIO()
        for _ in range(3):
            fastavro.schemaless_writer(content, fastavro.parse_schema(row), {"flag": True, "x": value})
        rows = content.getvalue()

        def block(count, rows=rows):
            return number_bytes(count) + number_bytes(len(rows)) + rows + b"S" * 16

        source = Source.from_file(path)
        path.write_bytes(file_of(row, block(3) + block(3)))
        frame = Pipeline.builder().source(source).select(*columns).collect_sync()
        assert frame.rows() == [(True,) if columns == ["flag"] else (value,)] * 6
        for count in (0, 1, 2, 4):
            path.write_bytes(file_of(row, block(3) + block(count)))
            with pytest.raises(SourceError, match=r"block 2 .*cannot be read"):
                Pipeline.builder().source(source).select(*columns).collect_sync()


def test_rows_of_types_that_have_no_known_row(tmp_path):
    path = tmp_path / "x.avro"
    row = {"type": "record", "name": "row", "fields": [{"name": "x", "type": "boolean"}]}
    path.write_bytes(file_of(row, b"\x04\x04\x01\x00" + b"S" * 16))
    assert read(path)["x"].to_list() == [True, False]


def test_damage_inside_of_compressed_blocks(tmp_path):
    path = tmp_path / "x.avro"
    frame = pl.DataFrame({"x": random.Random(0).randbytes(1500).hex()})
    frame.write_avro(path, compression="snappy")
    whole = path.read_bytes()
    for at, found in ((-21, "checksum"), (-17, "checksum")):
        changed = bytearray(whole)
        changed[at] ^= 1
        path.write_bytes(changed)
        with pytest.raises(SourceError, match="block 1") as error:
            read(path)
        assert found in error.value.found or "Corrupt" in error.value.found
    for head in (b"\xff\xff\xff\xff\x7f", b"\xff" * 9):
        with pytest.raises(DAMAGES):
            CODECS["snappy"](head + b"abcdefgh")
    frame.write_avro(path, compression="deflate")
    content = path.read_bytes()
    packed = content[-17 - 30 : -16]
    path.write_bytes(content.replace(packed, bytes(len(packed))))
    with pytest.raises(SourceError, match="block 1"):
        read(path)
    with pytest.raises(zlib.error):
        CODECS["deflate"](b"\xff")


@pytest.mark.parametrize("codec", ["deflate", "bzip2", "xz", "snappy", "zstandard"])
def test_a_block_is_read_to_its_end(codec):
    rows = b"some rows" * 9
    deflated = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = {
        "deflate": deflated.compress(rows) + deflated.flush(),
        "bzip2": bz2.compress(rows),
        "xz": lzma.compress(rows),
        "snappy": pa.Codec("snappy").compress(rows, asbytes=True),
        "zstandard": pa.Codec("zstd").compress(rows, asbytes=True),
    }[codec]
    checksum = zlib.crc32(rows).to_bytes(4, "big") if codec == "snappy" else b""
    assert CODECS[codec](packed + checksum) == rows
    for damaged in (packed[:-1], packed + b"x", packed + bytes(12)):
        with pytest.raises(DAMAGES):
            CODECS[codec](damaged + checksum)


def test_a_part_of_the_checksum_may_come_after_deflated_rows():
    rows = b"some rows" * 9
    packed = zlib.compress(rows)[2:]
    for end in (-4, -3, -1, len(packed)):
        assert CODECS["deflate"](packed[:end]) == rows
    for damaged in (packed + b"x", packed[:-2] + b"xx"):
        with pytest.raises(ValueError, match="bytes come after the packed rows"):
            CODECS["deflate"](damaged)


def test_a_file_that_changes_while_it_is_read(tmp_path):
    path = tmp_path / "x.avro"
    path.write_bytes(written("long", list(range(20))))
    source = FileSource.of(path)
    source.schema()
    reader = source.open(context(), None)
    try:
        assert reader.total_rows == 20
        assert reader.read().num_rows == 20
    finally:
        reader.close()
    assert re.search("1 file", source.label)


@settings(max_examples=examples(60), deadline=None)
@given(st.data())
def test_any_damage_is_rows_or_a_typed_error(tmp_path_factory, data):
    content = bytearray(written(["null", "string"], ["ab", None, "c" * 9] * 5))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(len(content) // 2, len(content))) :]
    path = tmp_path_factory.mktemp("damaged") / "x.avro"
    path.write_bytes(content)
    try:
        frame = read(path)
    except (SourceError, SchemaError) as error:
        assert str(path) in str(error)
    else:
        assert frame.width >= 1


def test_names_and_types_that_avro_lacks_are_refused_at_build(tmp_path):
    for frame, found in (
        (pl.DataFrame({"a b": [1]}), "rename it before the sink, such as to 'a_b'"),
        (pl.DataFrame({"x": [{"1": 1}]}), "rename it before the sink, such as to '_1'"),
        (pl.DataFrame({"x": [[{"ä": 1}]]}), "rename it before the sink"),
        (pl.DataFrame({"x": [None]}), "drop the column"),
        (pl.DataFrame({"x": [1]}, schema={"x": pl.UInt8}), "drop the column, or cast it"),
        (pl.DataFrame({"x": [dt.time(1)]}), "drop the column, or cast it"),
    ):
        sink = Pipeline.builder().source(Source.from_frame(frame)).sink(Sink.to_file(tmp_path / "x.avro"))
        with pytest.raises(SchemaError, match="cannot be written to an Avro file") as error:
            sink.build()
        assert found in error.value.hint
    with pytest.raises(PlanError, match="is not compressed as a whole"):
        (tmp_path / "x.avro.gz").write_bytes(b"")
        Source.from_file(tmp_path / "x.avro.gz").schema()
