"""What a file sink writes, read back by Polars and DuckDB, for any cut of the rows into batches."""

import gzip
import math
import string
from datetime import date, datetime, timedelta
from decimal import Decimal

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from contexts import context
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scripted import publish

from arrowstream import Pipeline, Source
from arrowstream.core.batch import Batch, to_record
from arrowstream.io.files.sink import FileSink

TEXT = st.text(st.sampled_from(string.printable + "äß漢\u2028"), max_size=8)
VALUES = {
    "i": (pl.Int64, st.integers(-(2**63), 2**63 - 1)),
    "u": (pl.UInt8, st.integers(0, 255)),
    "f": (pl.Float64, st.floats(allow_nan=False, allow_infinity=False)),
    "b": (pl.Boolean, st.booleans()),
    "s": (pl.String, TEXT),
    "d": (pl.Date, st.dates(date(1900, 1, 1), date(2100, 1, 1))),
    "t": (pl.Datetime("us"), st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))),
}
NESTED = {
    "l": (pl.List(pl.Int64), st.lists(st.none() | st.integers(-5, 5), max_size=3)),
    "r": (
        pl.Struct({"a": pl.Int64, "b": pl.String}),
        st.fixed_dictionaries({"a": st.integers(0, 9), "b": TEXT}),
    ),
}
BINARY = {
    "y": (pl.Binary, st.binary(max_size=5)),
    "n": (pl.Decimal(10, 2), st.decimals(-1000, 1000, places=2)),
    "p": (pl.Duration("us"), st.timedeltas(timedelta(-9), timedelta(9))),
    "e": (pl.Enum(["x", "y", "z"]), st.sampled_from(["x", "y", "z"])),
}
CATEGORICAL = {"c": (pl.Categorical, st.sampled_from(["a", "b", "c"]))}

TYPES = {
    "parquet": VALUES | NESTED | BINARY | CATEGORICAL,
    "arrow": VALUES | NESTED | BINARY,
    "csv": VALUES,
    "ndjson": VALUES | NESTED,
    "json": VALUES | NESTED,
}
FILES = {
    "parquet": [("out.parquet", codec) for codec in ("zstd", "snappy", "lz4", "gzip", "none", None)],
    "arrow": [("out.arrow", codec) for codec in ("zstd", "lz4", "none", None)],
    "csv": [(name, None) for name in ("out.csv", "out.csv.gz", "out.csv.zst", "out.tsv")],
    "ndjson": [(name, None) for name in ("out.ndjson", "out.jsonl.gz", "out.ndjson.zst")],
    "json": [(name, None) for name in ("out.json", "out.json.gz", "out.json.zst")],
}
"""Names and compressions by format. To draw a frame takes longer than to write it: it is written to each of them."""


@st.composite
def frames(draw, columns, max_rows=30):
    height = draw(st.integers(0, max_rows))
    data = {
        name: pl.Series(draw(st.lists(st.none() | values, min_size=height, max_size=height)), dtype=dtype)
        for name, (dtype, values) in columns.items()
    }
    return pl.DataFrame(data)


def cut(draw, frame):
    """The frame's rows in batches of any size, of either form."""
    cuts = sorted(draw(st.lists(st.integers(0, frame.height), max_size=5)))
    for start, stop in zip([0, *cuts], [*cuts, frame.height], strict=True):
        rows = frame[start:stop]
        yield Batch(to_record(rows) if draw(st.booleans()) else rows)


def write(sink, schema, batches):
    writer = sink.open(schema, context())
    for batch in batches:
        writer.write(batch)
    publish(writer)


def unpacked(path):
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".zst":
        return pa.input_stream(path, compression="zstd").read()
    return path.read_bytes()


def read(path, kind, schema):
    data = unpacked(path)
    if kind == "parquet":
        return pl.read_parquet(data)
    if kind == "arrow":
        return pl.read_ipc(data)
    if kind == "csv":
        return pl.read_csv(data, schema=schema, separator="\t" if "tsv" in path.name else ",")
    return read_json(data, schema, pl.read_json if kind == "json" else pl.read_ndjson)


def read_json(data, schema, reader):
    if data in (b"", b"[]\n"):
        return pl.DataFrame(schema=schema)
    # Polars' NDJSON reader knows neither dates nor small integers.
    plain = {name: pl.String if dtype.is_temporal() else dtype for name, dtype in schema.items()}
    plain |= {name: pl.Int64 for name, dtype in schema.items() if dtype == pl.UInt8}
    times = [pl.col(name).str.to_datetime(time_unit="us") for name in schema if schema[name] == pl.Datetime]
    dates = [pl.col(name).str.to_date() for name in schema if schema[name] == pl.Date]
    return reader(data, schema=plain).with_columns(*times, *dates).cast(dict(schema))


@pytest.mark.parametrize("kind", FILES)
@given(data=st.data())
@settings(max_examples=examples(12))
def test_one_file_holds_the_rows_in_order(kind, data, tmp_path_factory):
    frame = data.draw(frames(TYPES[kind]))
    for name, compression in FILES[kind]:
        path = tmp_path_factory.mktemp("out") / name
        write(FileSink.of(path, compression=compression), frame.schema, cut(data.draw, frame))
        back = read(path, kind, frame.schema)
        assert back.schema == frame.schema
        assert back.equals(frame)
        assert [entry.name for entry in path.parent.iterdir()] == [name]


@pytest.mark.parametrize("name", ["out.parquet", "out.csv"])
@given(data=st.data())
@settings(max_examples=examples(12))
def test_duckdb_reads_the_same_rows(name, data, tmp_path_factory):
    frame = data.draw(frames({key: VALUES[key] for key in "iubdt"}, max_rows=10))
    path = tmp_path_factory.mktemp("out") / name
    write(FileSink.of(path), frame.schema, cut(data.draw, frame))
    types = "{'i': 'BIGINT', 'u': 'UTINYINT', 'b': 'BOOLEAN', 'd': 'DATE', 't': 'TIMESTAMP'}"
    reader = f"read_csv('{path}', header=true, columns={types})" if "csv" in name else f"'{path}'"
    assert duckdb.sql(f"select * from {reader}").fetchall() == frame.rows()


@given(data=st.data(), max_rows=st.integers(1, 12))
@settings(max_examples=examples(12))
def test_part_files_hold_the_rows_in_order(data, max_rows, tmp_path_factory):
    frame = data.draw(frames({key: VALUES[key] for key in "is"}))
    folder = tmp_path_factory.mktemp("out") / "parts"
    sink = FileSink.of(f"{folder}/", max_rows_per_file=max_rows)
    write(sink, frame.schema, cut(data.draw, frame))
    assert pl.read_parquet(folder).equals(frame)
    files = max(1, math.ceil(frame.height / max_rows))
    assert sorted(p.name for p in folder.iterdir()) == [f"part-{k:05d}.parquet" for k in range(files)]


@given(data=st.data())
@settings(max_examples=examples(12))
def test_partitions_hold_the_rows_and_polars_decodes_them(data, tmp_path_factory):
    keys = {"k": (pl.String, st.text(max_size=4)), "d": VALUES["d"], "e": BINARY["e"]}
    frame = data.draw(frames({**keys, "i": VALUES["i"]}, max_rows=15)).with_row_index()
    folder = tmp_path_factory.mktemp("out") / "parts"
    write(FileSink.of(folder, partition_by=["k", "d", "e"]), frame.schema, cut(data.draw, frame))
    schema = {"k": pl.String, "d": pl.Date, "e": pl.String}
    back = pl.scan_parquet(f"{folder}/", hive_schema=schema).collect().cast({"e": keys["e"][0]})
    assert back.select(frame.columns).sort("index").equals(frame)
    assert all(folder in path.resolve().parents for path in folder.rglob("*"))


@pytest.mark.untraced
def test_more_rows_than_a_unit_in_every_format(tmp_path):
    frame = pl.DataFrame({"x": range(300_000), "s": ["some text"] * 300_000})
    for kind, name in [("csv", "a.csv.gz"), ("json", "a.json"), ("ndjson", "a.ndjson"), ("arrow", "a.arrow")]:
        write(FileSink.of(tmp_path / name), frame.schema, [Batch(frame[:200_000]), Batch(frame[200_000:])])
        assert read(tmp_path / name, kind, frame.schema).equals(frame)


def test_more_rows_than_a_unit_in_part_files(tmp_path):
    frame = pl.DataFrame({"x": range(300_000)})
    write(FileSink.of(tmp_path, format="csv", max_rows_per_file=140_000), frame.schema, [Batch(frame)])
    parts = sorted(tmp_path.iterdir())
    assert [pl.read_csv(part).height for part in parts] == [140_000, 140_000, 20_000]
    assert pl.concat(pl.read_csv(part) for part in parts).equals(frame)


def test_decimals_survive_json_as_text(tmp_path):
    frame = pl.DataFrame({"n": pl.Series([Decimal("1.50"), None], dtype=pl.Decimal(10, 2))})
    write(FileSink.of(tmp_path / "out.ndjson"), frame.schema, [Batch(frame)])
    assert (tmp_path / "out.ndjson").read_text() == '{"n":"1.50"}\n{"n":null}\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("o.csv", b"x,s\n"),
        ("o.csv.gz", b"x,s\n"),
        ("o.json", b"[]\n"),
        ("o.ndjson", b""),
        ("o.ndjson.gz", b""),
    ],
)
def test_no_rows_give_a_valid_empty_file(name, content, tmp_path):
    path = tmp_path / name
    write(FileSink.of(path), pl.Schema({"x": pl.Int64, "s": pl.String}), [])
    assert unpacked(path) == content
    if path.suffix == ".gz":
        assert path.read_bytes().startswith(b"\x1f\x8b")


@pytest.mark.parametrize("name", ["o.parquet", "o.arrow"])
def test_no_rows_keep_the_schema(name, tmp_path):
    schema = pl.Schema({"x": pl.Int64, "e": pl.Enum(["a", "b"]), "t": pl.Datetime("ms", "UTC")})
    write(FileSink.of(tmp_path / name), schema, [Batch(pl.DataFrame(schema=schema))])
    back = (pl.read_parquet if "parquet" in name else pl.read_ipc)((tmp_path / name).read_bytes())
    assert back.schema == schema
    assert back.height == 0


@pytest.mark.parametrize("partition_by", [(), ("x",)])
def test_no_rows_give_one_empty_part_with_every_column(partition_by, tmp_path):
    schema = pl.Schema({"x": pl.Int64, "s": pl.String})
    write(
        FileSink.of(f"{tmp_path}/parts/", partition_by=partition_by),
        schema,
        [Batch(pl.DataFrame(schema=schema))],
    )
    assert [p.name for p in (tmp_path / "parts").iterdir()] == ["part-00000.parquet"]
    assert pl.read_parquet(f"{tmp_path}/parts/").schema == schema


def test_times_in_ndjson_are_those_of_polars_and_are_read_again(tmp_path):
    times = pl.DataFrame({"us": [datetime(2026, 1, 31, 12, 0, 0, 5), datetime(2026, 1, 31), None]})
    times = times.with_columns(
        ms=pl.col("us").cast(pl.Datetime("ms")),
        ns=pl.col("us").cast(pl.Datetime("ns")),
        utc=pl.col("us").dt.replace_time_zone("UTC"),
        day=pl.col("us").dt.date(),
        inside=pl.struct("us"),
    )
    path = tmp_path / "o.ndjson"
    write(FileSink.of(path), times.schema, [Batch(times)])
    text = path.read_text()
    assert text == times.write_ndjson() and '"us":"2026-01-31 12:00:00.000005"' in text
    for form in (text, text.replace("31 ", "31T")):
        path.write_text(form)
        source = Source.from_file(path, schema=times.schema)
        assert_frame_equal(Pipeline.builder().source(source).collect_sync(), times)
