"""Many small files, read together where they are alike: the same rows, places and errors as one by one."""

import gzip
import io
import os
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from contexts import context
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from arrowstream.errors import SchemaError, SourceError, StageError
from arrowstream.io.files.columnar.footer_bytes import IpcEnds, ParquetEnds, parquet_footer
from arrowstream.io.files.reading import pieces
from arrowstream.io.files.source import FileSource
from arrowstream.io.files.text.formats import FlawedRecord
from arrowstream.io.files.text.options.text_options import TextOptions
from arrowstream.io.files.text.record_errors import RaggedRecord
from arrowstream.io.files.together import alike, group
from arrowstream.io.files.together.alike import SMALL_BYTES, TOGETHER_BYTES, small_content
from arrowstream.io.files.together.columnar import AlikeIpc, AlikeParquet
from arrowstream.io.files.together.text import AlikeCsv, AlikeJson, AlikeNdjson


def batches(folder, query=None, **options):
    opened = FileSource.of(folder, **options).open(context(), query)
    try:
        found = []
        while (batch := opened.read()) is not None:
            found.append(batch)
        return found
    finally:
        opened.close()


def rows(folder, query=None, **options):
    found = [batch.polars() for batch in batches(folder, query, **options)]
    return pl.concat(found) if found else pl.DataFrame()


def parquet(frame):
    out = io.BytesIO()
    frame.write_parquet(out)
    return out.getvalue()


def ipc(frame):
    out = io.BytesIO()
    frame.write_ipc(out)
    return out.getvalue()


ENCODE = {
    "csv": lambda frame: frame.write_csv().encode(),
    "ndjson": lambda frame: frame.write_ndjson().encode(),
    "json": lambda frame: frame.write_json().encode(),
    "parquet": parquet,
    "arrow": ipc,
    "csv.gz": lambda frame: gzip.compress(frame.write_csv().encode()),
    "ndjson.zst": lambda frame: pa.compress(frame.write_ndjson().encode(), "zstd", asbytes=True),
}


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


CSV = st.sampled_from(
    [
        b"a,b\n1,x\n",
        b"a,b\n1,x\n2,y\n",
        b"a,b\n",
        b"a,b",
        b"a,b\n3,z",
        b"a,b\r\n4,u\r\n",
        b"\xef\xbb\xbfa,b\n5,v\n",
        b'a,b\n6,"w\n,"\n7,t\n',
        b"b,a\nx,8\n",
        b'"a","b"\n9,s\n',
        b"a,b\n,\n",
        b"a,b\n1,x\n\n2,y\n",
        b"\na,b\n1,x\n",
        b"a,b\n1,x\n\r\n2,y\r\n",
        b"a,b\n1,x\r",
        b'a,b\n11,5" pipe\n',
        b"a,b\n" + b"10,long\n" * 10_000,
    ]
)
NDJSON = st.sampled_from(
    [
        b'{"a":1,"b":"x"}\n',
        b'{"a":1,"b":"x"}\n{"b":"y","a":2}',
        b"",
        b"\n",
        b'{"b":"z"}\n',
        b'\xef\xbb\xbf{"a":3,"b":null}\r\n{"a":4}\r\n',
        b'{"a":5}\n\n{"a":6}\n',
        b'{"a":5}\n   \n{"a":6}\n  ',
        b'{"a":7,"b":"\\ud83d\\ude00"}\n',
        b'{"a":7,"a":8}\n',
        b'{"a":10}\n' * 10_000,
    ]
)
JSON = st.sampled_from(
    [
        b'[{"a":1,"b":"x"}]',
        b' [{"a":1,"b":"],["},\n {"b":"y","a":2}]\n',
        b"[]",
        b"[ ]\n",
        b'[{"b":"z"}]',
        b'{"a":5}\n{"a":6}\n',
        b'[{"a":7,"a":8}]',
        b'\xef\xbb\xbf[{"a":9}\n,\n{"a":10}\n]',
    ]
)


@given(
    files=st.sampled_from([("csv", CSV), ("ndjson", NDJSON), ("json", JSON)]).flatmap(
        lambda kind: st.tuples(st.just(kind[0]), st.lists(kind[1], min_size=2, max_size=12))
    ),
    most=st.integers(1, 5),
)
@settings(max_examples=examples(40))
def test_text_files_give_the_rows_places_and_notes_that_each_gives_alone(files, most, tmp_path_factory):
    assert_as_alone(*files, most, tmp_path_factory.mktemp(files[0]))


@pytest.mark.parametrize("format", ["ndjson", "json"])
def test_a_key_that_comes_twice_is_noted_as_alone(tmp_path, format):
    rows = ['{"a":1,"b":"x"}', '{"a":7,"a":8}', '{"a":2}']
    contents = [f"[{row}]" if format == "json" else f"{row}\n" for row in rows]
    assert_as_alone(format, [content.encode() for content in contents], 3, tmp_path)
    values, notes = outcome(tmp_path)
    assert [row for row, *_ in values] == [(1, "x"), (7, None), (2, None)] and notes


@pytest.mark.parametrize("most", [1, 2, 5])
def test_files_without_rows_give_what_each_gives_alone(tmp_path, most):
    assert_as_alone("csv", [b"a,b\n1,x\n", b"a,b\n", b"a,b\n", b"a,b\n2,y\n", b"a,b\n"], most, tmp_path)


def assert_as_alone(format, contents, most, folder):
    for number, content in enumerate(contents):
        put(folder / f"{number:02}.{format}", content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group, "TOGETHER_FILES", most)
        together = outcome(folder)
        patch.setattr(pieces.FilePieces, "_small", lambda self, number: None)
        assert together == outcome(folder)


def outcome(folder):
    """Each row with its file and number there, and the notes of the reader."""
    opened = FileSource.of(folder, schema={"a": pl.Int64, "b": pl.String}).open(context())
    found = []
    try:
        while (batch := opened.read()) is not None:
            for row, values in enumerate(batch.polars().rows()):
                place = batch.position.part(row, 1, batch.num_rows)
                found.append((values, place.origin, place.start))
        return found, opened.notes
    finally:
        opened.close()


@pytest.mark.untraced
@pytest.mark.parametrize("partitioned", [True, False])
@pytest.mark.parametrize("format", ENCODE)
def test_rows_keep_their_order_partition_and_place(tmp_path, monkeypatch, format, partitioned):
    monkeypatch.setattr(group, "TOGETHER_FILES", 7)
    sizes = [2, 0, 1, 3, 0, 2, 1, 1, 4, 0, 1]
    expected, places, start = [], [], 0
    for number, size in enumerate(sizes):
        frame = pl.DataFrame(
            {"x": range(start, start + size), "s": [f"t{n}" for n in range(size)]}, schema=SCHEMA
        )
        folder = tmp_path / (f"day=2020-01-{number // 3 + 1:02}/k={number}" if partitioned else ".")
        put(
            folder / f"{number:02}.{format}",
            ENCODE[format](frame),
        )
        expected += frame.rows()
        places += [(f"{number:02}.{format}", row) for row in range(size)]
        start += size
    found = batches(tmp_path)
    assert pl.concat(b.polars() for b in found).select("x", "s").rows() == expected
    assert pl.concat(b.polars() for b in batches(tmp_path, lambda rows: rows.select("x"))).rows() == [
        row[:1] for row in expected
    ]
    assert len(found) <= 4
    told = []
    for batch in found:
        for row in range(batch.num_rows):
            place = batch.position.part(row, 1, batch.num_rows)
            told.append((Path(place.origin).name, place.start))
    assert told == places
    if partitioned:
        oracle = pl.scan_parquet(f"{tmp_path}/", hive_partitioning=True) if format == "parquet" else None
        got = rows(tmp_path)
        assert got["k"].to_list() == [n for n, size in enumerate(sizes) for _ in range(size)]
        assert got.schema["day"] == pl.Date
        if oracle is not None:
            assert_frame_equal(got, oracle.collect(), check_column_order=False)


SCHEMA = {"x": pl.Int64, "s": pl.String}


def test_filters_and_columns_are_applied_to_files_together(tmp_path):
    for number in range(20):
        put(tmp_path / f"{number:02}.parquet", parquet(pl.DataFrame({"x": [number], "s": ["t"], "y": [1.5]})))

    def query(frame):
        return frame.filter(pl.col("x") % 3 == 0).select("s", double=pl.col("x") * 2)

    found = batches(tmp_path, query)
    assert pl.concat(b.polars() for b in found)["double"].to_list() == [n * 2 for n in range(0, 20, 3)]
    assert found[-1].position.rows is None and found[-1].position.origin.endswith("01.parquet")
    types = {"x": pl.Float64}
    assert rows(tmp_path, schema=types)["x"].to_list() == [float(n) for n in range(20)]


def test_an_error_names_its_file_and_row(tmp_path):
    for number in range(30):
        put(tmp_path / f"{number:02}.csv", b"a,b\n1,x\n2,y\n")
    put(tmp_path / "17.csv", b"a,b\n1,x\nno,y\n")
    with pytest.raises(SourceError, match=r"row 2 \(line 3\) of .*17\.csv"):
        rows(tmp_path)
    put(tmp_path / "17.csv", b"a,b\n1,x\n1,y,z\n")
    with pytest.raises(SourceError, match=r"row 2 \(line 3\) of .*17\.csv"):
        rows(tmp_path)
    put(tmp_path / "17.csv", b"a,c\n1,x\n")
    with pytest.raises(SchemaError, match=r"17\.csv has no column 'b'"):
        rows(tmp_path)


def test_a_step_that_fails_on_one_of_many_names_its_file(tmp_path):
    for number in range(12):
        put(tmp_path / f"{number:02}.parquet", parquet(pl.DataFrame({"s": ["5" if number != 9 else "x"]})))
    with pytest.raises(StageError) as caught:
        rows(tmp_path, lambda frame: frame.with_columns(pl.col("s").cast(pl.Int64)))
    assert caught.value.position.endswith("09.parquet rows 0-1")


def test_a_damaged_one_of_many_is_named(tmp_path):
    content = parquet(pl.DataFrame({"s": ["5"] * 50}))
    for number in range(12):
        put(tmp_path / f"{number:02}.parquet", content)
    source = FileSource.of(tmp_path)
    source.schema()
    put(tmp_path / "09.parquet", content[:4] + bytes(30) + content[34:])
    opened = source.open(context())
    with pytest.raises(SourceError, match=r"09\.parquet"):
        while opened.read() is not None:
            pass
    opened.close()


def test_other_columns_types_and_writers_are_read_alone_or_refused(tmp_path, monkeypatch):
    frames = [pl.DataFrame({"x": [n], "s": ["t"]}) for n in range(6)]
    monkeypatch.setattr(alike, "SMALL_BYTES", 4096)
    for number, frame in enumerate(frames):
        put(tmp_path / f"{number}.parquet", parquet(frame))
    frames[3].select("s", "x").write_parquet(tmp_path / "3.parquet")
    frames[4].to_pandas().to_parquet(tmp_path / "4.parquet")
    put(
        tmp_path / "5.parquet",
        parquet(pl.DataFrame({"x": range(200_000), "s": [str(n * n) for n in range(200_000)]})),
    )
    assert (tmp_path / "5.parquet").stat().st_size > alike.SMALL_BYTES
    found = rows(tmp_path)
    assert found["x"].to_list() == [0, 1, 2, 3, 4, *range(200_000)]


@pytest.mark.parametrize("format", ["csv", "ndjson", "json", "ndjson.gz", "arrow", "parquet"])
def test_a_broken_one_of_many_fails_as_it_does_alone(tmp_path, format):
    frame = pl.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    text = frame.write_ndjson().encode()
    sound, broken = {
        "csv": (frame.write_csv().encode(), b"a,b\n1,x\n2,y,z\n"),
        "ndjson": (text, text + b'{"a":"no"}\n'),
        "json": (frame.write_json().encode(), b'[{"a":1}, ["'),
        "ndjson.gz": (gzip.compress(text), gzip.compress(text)[:-9]),
        "arrow": (ipc(frame), ipc(frame)[:-20]),
        "parquet": (parquet(frame), parquet(frame)[:-20]),
    }[format]
    for number in range(9):
        put(tmp_path / f"{number}.{format}", sound)
    source = FileSource.of(tmp_path)
    assert source.schema() == frame.schema
    put(tmp_path / f"7.{format}", broken)
    with pytest.raises(SourceError) as alone:
        rows(tmp_path / f"7.{format}", schema=frame.schema if "json" in format else {})
    opened = source.open(context())
    with pytest.raises(SourceError) as together:
        while opened.read() is not None:
            pass
    opened.close()
    # Types can be widened only over several files.
    widen = " pass widen=True if only some of the files have another type,"
    assert str(together.value).replace(widen, "") == str(alone.value)


@pytest.mark.parametrize("extra", [b'{"a":1,"zz":2}\n', b'{"a":1,"zz":null}\n'])
def test_a_key_that_only_one_of_many_files_has_is_an_error(tmp_path, extra):
    for number in range(9):
        put(tmp_path / f"{number}.ndjson", b'{"a":1}\n')
    put(tmp_path / "7.ndjson", extra)
    with pytest.raises(SchemaError, match=r"7\.ndjson has a column 'zz' more"):
        rows(tmp_path)


def test_strict_keys_hold_for_files_together(tmp_path):
    for number in range(9):
        put(tmp_path / f"{number}.ndjson", b'{"a":{"b":1}}\n')
    source = FileSource.of(tmp_path).with_strict_keys()
    source.schema()
    put(tmp_path / "7.ndjson", b'{"a":{"c":1}}\n')
    opened = source.open(context())
    with pytest.raises((SourceError, SchemaError), match=r"7\.ndjson"):
        while opened.read() is not None:
            pass
    opened.close()


def test_arrays_that_are_whole_only_when_joined_are_refused(tmp_path):
    put(tmp_path / "0.json", b'[{"a":"x"}]')
    put(tmp_path / "1.json", b'[{"a":"]')
    put(tmp_path / "2.json", b'["}]')
    with pytest.raises(SourceError, match=r"1\.json is not one JSON array"):
        rows(tmp_path)
    for text in (b'[{"a":"x"}],[{"a":"y"}]', b'[{"a":"x"}}', b'[{"a":"x"},{"a":"y"}', b"[{}"):
        put(tmp_path / "1.json", text)
        with pytest.raises(SourceError, match=r"1\.json is not one JSON array"):
            rows(tmp_path)


def test_what_makes_parquet_files_alike():
    content = parquet(pl.DataFrame({"x": range(300)}))
    traits = AlikeParquet.of(content, 1)
    assert traits.take(3, content).rows == 300
    assert traits.take(3, parquet(pl.DataFrame({"y": [1]}))) is None
    assert traits.take(3, b"PAR1 no parquet file") is None
    assert traits.take(3, b"") is None
    assert AlikeParquet.of(b"", 1) is None
    ends, footer = traits.ends, parquet_footer(content)
    assert ParquetEnds(ends.head[:-1], ends.tail).rows(footer) is None
    assert ends.rows(ends.head + b"\x16" + b"\xff" * 10) is None
    assert ParquetEnds(ends.head, b"").rows(ends.head + b"\x16" + b"\xff" * 10) is None
    a_map = b"\x1b\x00"
    assert ParquetEnds.of(a_map) is None
    far, low, nothing = b"\x05\x06\x02", b"\x18\x00", b"\x00"  # field 3 by its number, then 4 after it
    assert ParquetEnds.of(far + low + b"\x15\x02" + nothing) == ParquetEnds(b"", b"\x15\x02\x00")
    assert parquet_footer(content[-20:]) == b""


@pytest.mark.parametrize("encode", [parquet, ipc])
def test_footers_of_other_lengths_are_compared_by_their_schemas(encode):
    many = pl.DataFrame({"x": range(300), "s": ["t"] * 300})
    of = AlikeParquet.of if encode is parquet else AlikeIpc.of
    traits = of(encode(many), 2)
    assert traits.take(3, encode(many.clear())).rows == 0
    assert traits.take(3, encode(many.with_columns(s=1))) is None
    assert of(encode(many.clear()), 2).take(0, encode(many)).rows == 300


def test_files_of_pandas_are_alike_whatever_number_of_rows_they_name():
    contents = []
    for height in (1, 2000):
        out = io.BytesIO()
        pl.DataFrame({"x": range(height)}).to_pandas().to_parquet(out)
        contents.append(out.getvalue())
    assert AlikeParquet.of(contents[0], 1).take(0, contents[1]).rows == 2000


def test_a_small_file_of_many_rows_is_read_alone_in_slices(tmp_path):
    for number in range(3):
        put(tmp_path / f"{number}.parquet", parquet(pl.DataFrame({"x": [1]})))
    put(tmp_path / "3.parquet", parquet(pl.select(x=pl.repeat(1, 5_000_000, dtype=pl.Int64))))
    assert (tmp_path / "3.parquet").stat().st_size < SMALL_BYTES
    content = small_content(tmp_path / "3.parquet")[0]
    assert AlikeParquet.of(content, 1).take(3, content).nbytes > TOGETHER_BYTES
    found = batches(tmp_path)
    assert len(found) > 20 and sum(batch.num_rows for batch in found) == 5_000_003


def test_what_makes_arrow_files_alike():
    content = ipc(pl.DataFrame({"x": range(300)}))
    traits = AlikeIpc.of(content, 1)
    assert traits.take(3, content).rows == 300
    assert traits.take(3, ipc(pl.DataFrame({"x": range(7)}))).rows == 7
    assert traits.take(3, ipc(pl.DataFrame({"y": range(7)}))) is None
    assert traits.take(3, b"ARROW1") is None
    assert AlikeIpc.of(content[:-20], 1) is None
    assert IpcEnds.of(content[:8] + content[-60:]) is None


def test_what_makes_csv_files_alike():
    traits = AlikeCsv.of(TextOptions(), b"\xef\xbb\xbfa,b\n1,2\n")
    bodies = [b"", b"1,2", b"1,2\n3,4\n", b'"1\n,",2\n']
    files = [traits.take(number, b"a,b\n" + body) for number, body in enumerate(bodies)]
    schema = pl.Schema({"a": pl.String, "b": pl.Int64})
    frame, sizes = traits.read(files, schema, ["a", "b"])
    assert frame.rows() == [("1", 2), ("1", 2), ("3", 4), ("1\n,", 2)] and sizes == [0, 1, 2, 1]
    for content in (b"a,c\n", b"a,b\n\n", b"a,b\n1,2\n\n", b"a,b\r\n1,2\r\n", b"a,b", b"a,b\n1,2\r"):
        assert traits.take(0, content) is None
    for content in (b"", b"a,b", b"\n1\n"):
        assert AlikeCsv.of(TextOptions(), content) is None
    with pytest.raises(RaggedRecord, match=r"1 field$"):
        traits.read([traits.take(0, b"a,b\n1\n")], schema, ["a"])
    with pytest.raises(ValueError, match="within a record"):
        traits.read([traits.take(0, b'a,b\n1,"x'), traits.take(1, b'a,b\ny",2\n')], schema, ["a"])
    quoted = AlikeCsv.of(TextOptions(), b'"a\n,",b\r\n1,2\n')
    assert quoted.format.names == ("a\n,", "b")


def test_what_makes_objects_alike():
    lines = AlikeNdjson(None)
    schema = pl.Schema({"a": pl.Int64})
    assert lines.take(0, b"{}\n\n{}") is None
    with pytest.raises(ValueError, match="a key that is not a column"):
        lines.read([lines.take(0, b'{"b":1}')], schema, ["a"])
    with pytest.raises(FlawedRecord):
        lines.read([lines.take(0, b'{"a":"\\ud800"}')], pl.Schema({"a": pl.String}), ["a"])
    arrays = AlikeJson(None)
    for text in (b"{}", b"[{}}", b"({}]", b"[{}"):
        assert arrays.take(0, text) is None
    assert arrays.read([arrays.take(0, b"[]")], schema, ["a"])[1] == [0]


def test_a_file_that_grows_while_it_is_opened_is_not_cut(tmp_path, monkeypatch):
    path = tmp_path / "0.csv"
    put(path, b"x\n1\n")
    monkeypatch.setattr(alike, "S_ISREG", lambda mode: path.write_bytes(b"x" * (alike.SMALL_BYTES + 1)))
    assert alike.small_content(path) is None


def test_a_file_that_may_not_be_read_is_left_to_the_reader_that_says_so(tmp_path, monkeypatch):
    put(tmp_path / "x", b"x")

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(io, "FileIO", refuse)
    assert small_content(tmp_path / "x") is None


def test_files_that_are_large_or_gone_are_not_read_together(tmp_path):
    put(tmp_path / "x", b"x" * (SMALL_BYTES + 1))
    assert small_content(tmp_path / "x") is None
    assert small_content(tmp_path / "gone") is None
    os.mkfifo(tmp_path / "pipe")
    assert small_content(tmp_path / "pipe") is None
    put(tmp_path / "x", b"x" * SMALL_BYTES)
    assert len(small_content(tmp_path / "x")[0]) == SMALL_BYTES
    put(tmp_path / "x", gzip.compress(b"x" * (SMALL_BYTES + 1)))
    assert small_content(tmp_path / "x", "gzip") is None
    put(tmp_path / "x", b"no gzip")
    assert small_content(tmp_path / "x", "gzip") is None
