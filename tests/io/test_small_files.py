"""Many small files, read together where they are alike: the same rows, places and errors as one by one."""

import io
import os
from pathlib import Path

import polars as pl
import pytest
from contexts import context
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from arrowstream.errors import SchemaError, SourceError, StageError
from arrowstream.io.files import reader
from arrowstream.io.files.columnar.parquet_stitching import footer_ends
from arrowstream.io.files.small_files import SMALL_BYTES, AlikeCsv, AlikeParquet, small_content
from arrowstream.io.files.source import FileSource
from arrowstream.io.files.text.csv_format import Csv


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
        b"a,b\n" + b"10,long\n" * 10_000,
    ]
)


@given(contents=st.lists(CSV, min_size=2, max_size=12), files=st.integers(1, 5))
@settings(max_examples=examples(60))
def test_csv_files_give_the_rows_that_each_gives_alone(contents, files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("csv")
    for number, content in enumerate(contents):
        put(folder / f"{number:02}.csv", content)
    given = {"a": pl.Int64, "b": pl.String}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "TOGETHER_FILES", files)
        together = rows(folder, schema=given)
        places = [str(batch.position) for batch in batches(folder, schema=given)]
        patch.setattr(reader.FileReader, "_small", lambda self, number: None)
        alone = rows(folder, schema=given)
    assert_frame_equal(together, alone)
    assert together.height == 0 or places


@pytest.mark.parametrize("partitioned", [True, False])
@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_rows_keep_their_order_partition_and_place(tmp_path, monkeypatch, format, partitioned):
    monkeypatch.setattr(reader, "TOGETHER_FILES", 7)
    sizes = [2, 0, 1, 3, 0, 2, 1, 1, 4, 0, 1]
    expected, places, start = [], [], 0
    for number, size in enumerate(sizes):
        frame = pl.DataFrame(
            {"x": range(start, start + size), "s": [f"t{n}" for n in range(size)]}, schema=SCHEMA
        )
        folder = tmp_path / (f"day=2020-01-{number // 3 + 1:02}/k={number}" if partitioned else ".")
        put(
            folder / f"{number:02}.{format}",
            parquet(frame) if format == "parquet" else frame.write_csv().encode(),
        )
        expected += frame.rows()
        places += [(f"{number:02}.{format}", row) for row in range(size)]
        start += size
    found = batches(tmp_path)
    assert pl.concat(b.polars() for b in found).select("x", "s").rows() == expected
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


def test_other_columns_types_and_writers_are_read_alone_or_refused(tmp_path):
    frames = [pl.DataFrame({"x": [n], "s": ["t"]}) for n in range(6)]
    for number, frame in enumerate(frames):
        put(tmp_path / f"{number}.parquet", parquet(frame))
    frames[3].select("s", "x").write_parquet(tmp_path / "3.parquet")
    frames[4].to_pandas().to_parquet(tmp_path / "4.parquet")
    put(
        tmp_path / "5.parquet",
        parquet(pl.DataFrame({"x": range(50_000), "s": [str(n) for n in range(50_000)]})),
    )
    assert (tmp_path / "5.parquet").stat().st_size > SMALL_BYTES
    found = rows(tmp_path)
    assert found["x"].to_list() == [0, 1, 2, 3, 4, *range(50_000)]


def test_what_makes_parquet_files_alike():
    content = parquet(pl.DataFrame({"x": range(300)}))
    alike = AlikeParquet.of(content)
    assert alike.take(3, content).rows == 300
    assert alike.take(3, parquet(pl.DataFrame({"y": [1]}))) is None
    assert alike.take(3, b"PAR1 no parquet file") is None
    assert alike.take(3, b"") is None
    assert AlikeParquet(alike.head[:-1], alike.tail).take(0, content) is None
    length = int.from_bytes(content[-8:-4], "little")
    footer = content[-8 - length : -8]
    assert footer.startswith(footer_ends(footer)[0])
    endless = content[: -8 - length] + alike.head + b"\x16" + b"\xff" * 10 + alike.tail
    assert (
        alike.take(0, endless + (len(alike.head) + 11 + len(alike.tail)).to_bytes(4, "little") + b"PAR1")
        is None
    )


def test_what_makes_csv_files_alike():
    alike = AlikeCsv.of(Csv(",", ("a", "b")), b"\xef\xbb\xbfa,b\n1,2\n")
    assert [alike.take(0, b"a,b\n" + body).rows for body in (b"", b"1,2", b"1,2\n3,4\n")] == [0, 1, 2]
    for content in (b"a,c\n", b'a,b\n"1",2\n', b"a,b\n\n", b"a,b\n1,2\n\n", b"a,b\r\n1,2\r\n", b"a,b"):
        assert alike.take(0, content) is None
    for content in (b"", b"a,b", b'"a",b\n', b"a,c\n"):
        assert AlikeCsv.of(Csv(",", ("a", "b")), content) is None
    with pytest.raises(ValueError, match="fields"):
        alike.scan([alike.take(0, b"a,b\n1\n")], pl.Schema({"a": pl.Int64, "b": pl.Int64}))


def test_a_file_that_may_not_be_read_is_left_to_the_reader_that_says_so(tmp_path, monkeypatch):
    put(tmp_path / "x", b"x")

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert small_content(tmp_path / "x") is None


def test_files_that_are_large_or_gone_are_not_read_together(tmp_path):
    put(tmp_path / "x", b"x" * (SMALL_BYTES + 1))
    assert small_content(tmp_path / "x") is None
    assert small_content(tmp_path / "gone") is None
    os.mkfifo(tmp_path / "pipe")
    assert small_content(tmp_path / "pipe") is None
    put(tmp_path / "x", b"x" * SMALL_BYTES)
    assert len(small_content(tmp_path / "x")) == SMALL_BYTES
