"""Parquet files put together from separately encoded row groups."""

import io
import struct
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest

from arrowstream.io.files.columnar import thrift
from arrowstream.io.files.columnar.parquet_stitching import GROUP_ROWS, RowGroups

EVERYTHING = pl.DataFrame(
    {
        "int": pl.Series([1, None, -3], dtype=pl.Int64),
        "small": pl.Series([1, None, 255], dtype=pl.UInt8),
        "float": [1.5, float("nan"), None],
        "bool": [True, None, False],
        "string": ["", None, "ünï\n"],
        "binary": [b"\xff\x00", None, b""],
        "date": [date(2013, 1, 1), None, date(1900, 1, 1)],
        "time": [time(1, 2, 3), None, time(0)],
        "naive": pl.Series([datetime(2013, 1, 1), None, datetime(1900, 1, 1)], dtype=pl.Datetime("ns")),
        "zoned": pl.Series([datetime(2013, 1, 1, tzinfo=UTC)] * 3).dt.convert_time_zone("Europe/Berlin"),
        "duration": pl.Series([timedelta(1), None, timedelta(-1)], dtype=pl.Duration("ms")),
        "decimal": pl.Series([Decimal("1.50"), None, Decimal("-0.01")], dtype=pl.Decimal(12, 2)),
        "categorical": pl.Series(["a", None, "b"], dtype=pl.Categorical),
        "enum": pl.Series(["x", None, "y"], dtype=pl.Enum(["x", "y", "z"])),
        "list": [[1, None], None, []],
        "strings": [["a"], None, [None]],
        "array": pl.Series([[1, 2], None, [3, None]], dtype=pl.Array(pl.Int32, 2)),
        "struct": [{"a": 1, "b": "x"}, None, {"a": None, "b": None}],
        "null": pl.Series([None, None, None], dtype=pl.Null),
    }
)


def written(groups: RowGroups, *frames: pl.DataFrame) -> bytes:
    pieces = [piece for frame in frames for piece in groups.append(frame)]
    return b"".join([*pieces, *groups.finish()])


@pytest.mark.parametrize("codec", ["zstd", "snappy", "lz4", "gzip", "uncompressed"])
def test_every_type_comes_back_as_it_was(codec):
    data = written(RowGroups(codec), EVERYTHING, EVERYTHING.clear(), EVERYTHING.reverse())
    read = pl.read_parquet(data)
    expected = pl.concat([EVERYTHING, EVERYTHING.reverse()])
    assert read.schema == expected.schema
    assert read.equals(expected)
    named = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(0).compression
    assert named == {"lz4": "LZ4"}.get(codec, codec.upper())


@pytest.mark.skipif(not hasattr(pl, "Float16"), reason="this Polars has no half floats")
def test_half_floats_are_stitched_and_come_back():
    frame = pl.DataFrame({"h": pl.Series([1.5, None, -0.0], dtype=pl.Float16), "l": [[1], None, []]})
    frame = frame.with_columns(lists=pl.concat_list("h"), struct=pl.struct("h"))
    assert pl.read_parquet(written(RowGroups("zstd"), frame, frame)).equals(pl.concat([frame, frame]))


def test_other_readers_find_the_same_rows_statistics_and_page_indexes(tmp_path):
    frames = [pl.DataFrame({"x": range(k * 1000, (k + 1) * 1000), "s": [f"v{k}"] * 1000}) for k in range(40)]
    path = tmp_path / "out.parquet"
    path.write_bytes(written(RowGroups("zstd"), *frames))
    expected = pl.concat(frames)

    assert pl.from_arrow(pq.read_table(path)).equals(expected)
    counted = duckdb.sql(f"select count(*), min(x), max(s) from '{path}' where x >= 39000 and s = 'v39'")
    assert counted.fetchall() == [(1000, 39000, "v39")]
    lazy = pl.scan_parquet(path).filter(pl.col("x").is_between(17_500, 18_500))
    assert lazy.collect()["x"].to_list() == list(range(17_500, 18_501))

    metadata = pq.ParquetFile(path).metadata
    assert (metadata.num_rows, metadata.num_row_groups) == (40_000, 40)
    chunk = metadata.row_group(17).column(0)
    assert (chunk.statistics.min, chunk.statistics.max) == (17_000, 17_999)
    assert chunk.has_offset_index and chunk.has_column_index


def test_page_offsets_in_the_index_point_at_the_moved_pages():
    frame = pl.DataFrame({"x": range(300)})
    data = written(RowGroups("uncompressed"), frame, frame)
    (length,) = struct.unpack("<I", data[-8:-4])
    footer = thrift.read_struct(data[-8 - length : -8])
    for group in footer[4][1][1]:
        column = group[1][1][1][0]
        index = thrift.read_struct(data[column[4][1] : column[4][1] + column[5][1]])
        first_page = index[1][1][1][0][1][1]
        # Not the chunk's own data page offset: Polars 1 sets that to the dictionary before the pages.
        start = column[3][1][9][1]
        assert start <= first_page < start + column[3][1][7][1]
        # A page starts with its header, whose first field is its type: 0, a data page.
        assert thrift.read_struct(data[first_page:])[1] == (5, 0)


def test_a_large_frame_becomes_several_row_groups():
    data = written(RowGroups("zstd"), pl.DataFrame({"x": range(2 * GROUP_ROWS)}))
    metadata = pq.ParquetFile(io.BytesIO(data)).metadata
    assert metadata.num_row_groups >= 2
    assert pl.read_parquet(data)["x"].to_list() == list(range(2 * GROUP_ROWS))


def test_a_frame_of_another_schema_is_refused():
    groups = RowGroups("zstd")
    list(groups.append(pl.DataFrame({"x": [1]})))
    with pytest.raises(ValueError, match="not that of the file's first one"):
        list(groups.append(pl.DataFrame({"x": ["a"]})))


def test_fields_that_polars_leaves_out_are_handled_where_others_write_them(monkeypatch):
    """A footer with a group offset and an ordinal, and none of the indexes, as pyarrow writes it."""

    def encoded_by_pyarrow(frame):
        out = io.BytesIO()
        pq.write_table(frame.to_arrow(), out)
        return out.getbuffer()

    groups = RowGroups("zstd")
    monkeypatch.setattr(groups, "_encode", encoded_by_pyarrow)
    frame = pl.DataFrame({"x": [1, 2, 3], "s": ["a", "b", "a"]})
    data = written(groups, frame, frame.reverse())
    assert pl.read_parquet(data).equals(pl.concat([frame, frame.reverse()]))
    assert pq.read_table(io.BytesIO(data)).num_rows == 6


@pytest.mark.parametrize("writer", ["polars", "pyarrow"])
def test_a_real_footer_is_written_back_byte_for_byte(writer):
    out = io.BytesIO()
    if writer == "polars":
        EVERYTHING.write_parquet(out)
    else:
        pq.write_table(EVERYTHING.drop("null", "array").to_arrow(), out)
    data = out.getvalue()
    (length,) = struct.unpack("<I", data[-8:-4])
    footer = data[-8 - length : -8]
    assert thrift.write_struct(thrift.read_struct(footer)) == footer


def test_every_wire_type_is_written_back():
    fields = {
        1: (1, True),
        2: (2, False),
        3: (3, 200),
        4: (4, -5),
        5: (7, struct.pack("<d", 1.5)),
        40: (9, (2, [1, 2, 1])),
        41: (9, (5, list(range(-10, 10)))),
        42: (12, {1: (8, b"x" * 300)}),
        # Fields need not be in order, though Parquet's are.
        7: (6, -(2**62)),
    }
    assert thrift.read_struct(thrift.write_struct(fields)) == fields


def test_maps_are_refused():
    with pytest.raises(ValueError, match="wire type 11"):
        thrift.read_struct(bytes([0x1B, 0x00]))
