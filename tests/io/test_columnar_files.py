"""Parquet and Arrow files that change while they are read, and copies in memory of an Arrow file's record batches."""

import io
import os
import struct
import subprocess
import sys
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from arrowstream import Pipeline, Sink, Source
from arrowstream.errors import SourceError
from arrowstream.io.files.columnar import ipc_file, parquet_pieces, scan
from arrowstream.io.files.columnar.buffer_counts import column_buffers
from arrowstream.io.files.columnar.flatbuffer import FlatTable
from arrowstream.io.files.columnar.ipc_file import IpcFile
from arrowstream.io.files.columnar.open_file import OpenFile
from arrowstream.io.files.source import FileSource

ROWS = 200_000


def write_arrow(frame, path):
    table = frame.to_arrow()
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=10_000)


WRITE = {
    "parquet": lambda frame, path: frame.write_parquet(path, row_group_size=10_000),
    "arrow": write_arrow,
}


@pytest.fixture
def small_pieces(monkeypatch):
    """Far more pieces than are read ahead."""
    for module in (scan, parquet_pieces):
        monkeypatch.setattr(module, "PIECE_BYTES", 100_000)


def version(number):
    return pl.DataFrame({"i": pl.int_range(ROWS, eager=True)}).with_columns(v=pl.lit(number))


def run(path, on_first_batch):
    """Read a file; gives the versions of its rows with their counts."""
    seen = {}

    def sink(batch):
        if not seen:
            on_first_batch()
        for value, count in pl.from_arrow(batch)["v"].value_counts().rows():
            seen[value] = seen.get(value, 0) + count

    Pipeline.builder().source(Source.from_file(path)).sink(Sink.to_fn(sink)).build().run_sync()
    return seen


@pytest.mark.untraced
@pytest.mark.parametrize("format", WRITE)
def test_a_file_that_is_replaced_while_it_is_read_gives_rows_of_one_version(format, tmp_path, small_pieces):
    path, new = tmp_path / f"x.{format}", tmp_path / f"new.{format}"
    WRITE[format](version(1), path)
    WRITE[format](version(2), new)
    assert run(path, lambda: new.replace(path)) == {1: ROWS}
    assert run(path, path.unlink) == {2: ROWS}


IN_PLACE = WRITE if int(pl.__version__.split(".")[0]) > 1 else ["arrow"]
"""Polars 1 maps a Parquet file while it decodes a piece, and one that is cut then ends the process."""


def test_opening_waits_for_no_writer_and_is_for_this_process_alone(tmp_path):
    (tmp_path / "x").write_bytes(b"x")
    file = OpenFile(tmp_path / "x")
    handle = int(file.place.removeprefix("/dev/fd/"))
    assert not os.get_blocking(handle) and not os.get_inheritable(handle)


@pytest.mark.parametrize("format", IN_PLACE)
def test_a_file_that_is_written_in_place_while_it_is_read_is_an_error(format, tmp_path, small_pieces):
    path = tmp_path / f"x.{format}"
    WRITE[format](version(1), path)
    other = io.BytesIO()
    WRITE[format](version(2), other)
    with pytest.raises(SourceError, match="changed while it was read") as caught:
        run(path, lambda: path.write_bytes(other.getvalue()))
    assert caught.value.position == str(path)
    assert "rename" in caught.value.hint


def test_a_later_time_of_change_alone_is_a_change(tmp_path):
    version(1).head(3).write_parquet(tmp_path / "x.parquet")
    file = OpenFile(tmp_path / "x.parquet")
    file.check()
    os.utime(tmp_path / "x.parquet", (1, 1))
    with pytest.raises(SourceError, match="changed") as caught:
        file.check()
    assert caught.value.found == "a later time of change"


TRUNCATED = """
import os, sys
import polars as pl
from arrowstream import Pipeline, Sink, Source
from arrowstream.io.files.columnar import scan
scan.PIECE_BYTES = 100_000
path, seen = sys.argv[1], []
def sink(batch):
    if not seen:
        os.truncate(path, 0)
    seen.append(pl.from_arrow(batch)["v"].sum())
try:
    Pipeline.builder().source(Source.from_file(path)).sink(Sink.to_fn(sink)).build().run_sync()
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.untraced
def test_an_arrow_file_that_is_cut_short_while_it_is_read_is_an_error_and_does_not_kill_the_process(tmp_path):
    path = tmp_path / "x.arrow"
    WRITE["arrow"](version(1), path)
    done = subprocess.run(
        [sys.executable, "-c", TRUNCATED, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "UnreadableData" in done.stdout and "changed while it was read" in done.stdout


def test_a_read_beyond_the_end_is_a_change(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    file = OpenFile(tmp_path / "x")
    with pytest.raises(SourceError, match="changed"):
        file.read_into(1, memoryview(bytearray(5)))
    assert file.read(1, 5) == b"bc"


def test_descriptors_are_closed_when_nobody_reads(tmp_path):
    for number in range(5):
        version(number).head(10).write_parquet(tmp_path / f"{number}.parquet")
    for _ in range(3):
        assert Pipeline.builder().source(Source.from_file(tmp_path)).collect_sync().height == 50
    held = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    assert not [path for path in held if path.startswith(str(tmp_path))]


@pytest.mark.parametrize("format", WRITE)
def test_a_name_that_is_not_utf8_is_read_and_shown(format, tmp_path, capsys):
    folder = tmp_path / "d"
    folder.mkdir()
    path = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9." + format.encode()))
    WRITE[format](version(1).head(5), tmp_path / f"t.{format}")
    (tmp_path / f"t.{format}").rename(path)
    source = Source.from_file(folder)
    assert Pipeline.builder().source(source).collect_sync().equals(version(1).head(5))
    path.write_bytes(b"no such file")
    with pytest.raises(SourceError) as caught:
        Source.from_file(folder).schema()
    print(caught.value)
    assert "caf\\udce9" in capsys.readouterr().out


TYPES = {
    "categorical": pl.Series(["a", "b", None], dtype=pl.Categorical),
    "enum": pl.Series(["a", None, "x"], dtype=pl.Enum(["x", "a"])),
    "decimal": pl.Series([Decimal("1.25"), None, None], dtype=pl.Decimal(20, 2)),
    "time": pl.Series([time(1), None, time(2)]),
    "duration": pl.Series([timedelta(1), None, timedelta(2)], dtype=pl.Duration("ms")),
    "date": pl.Series([date(2020, 1, 1)] * 3),
    "binary": pl.Series([b"a", b"", None]),
    "null": pl.Series([None] * 3),
    "list": pl.Series([[1], [], None]),
    "array": pl.Series([[1, 2], None, [3, 4]], dtype=pl.Array(pl.Int8, 2)),
    "struct": pl.Series([{"a": 1, "b": "x"}, None, {"a": 2, "b": "y" * 30}]),
    "nested": pl.Series([[{"a": ["x" * 20]}], None, []]),
    "list of enum": pl.Series([["a"], ["b"], None], dtype=pl.List(pl.Enum(["a", "b"]))),
    "text": pl.Series(["a" * 20, None, "c"]),
    "bool": pl.Series([True, None, False]),
    "last": pl.Series([1.5, None, 2.5], dtype=pl.Float32),
}
NAMES = list(TYPES)


@pytest.fixture(scope="module", params=[None, "zstd"])
def all_types(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("types") / "x.arrow"
    pl.DataFrame(TYPES).write_ipc(path, compression=request.param or "uncompressed")
    return path


@given(names=st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
@settings(max_examples=examples(60))
def test_a_copy_with_some_columns_has_their_values_of_every_type(all_types, names):
    ipc = IpcFile(OpenFile(all_types))
    batches = list(ipc.batches(names))
    assert_frame_equal(
        scan.scan_ipc(ipc.copy(batches)).select(names).collect(), pl.DataFrame(TYPES).select(names)
    )
    if len(names) < len(NAMES) // 2:
        assert sum(batch.nbytes for batch in batches) < all_types.stat().st_size


PYARROW = {
    "words": pa.array(["a", "b", None]).dictionary_encode(),
    "text": pa.array(["a", None, "b"]),
    "large": pa.array(["a", None, "b"], pa.large_string()),
    "view": pa.array(["a", None, "b" * 20], pa.string_view()),
    "map": pa.array([[("a", 1)], [], None], pa.map_(pa.string(), pa.int64())),
    "fixed": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int32(), 2)),
    "bytes": pa.array([b"ab", None, b"cd"], pa.binary(2)),
    "last": pa.array([1, None, 3]),
}


@pytest.mark.untraced
@pytest.mark.parametrize("name", PYARROW)
def test_a_copy_of_a_file_that_pyarrow_wrote(name, tmp_path):
    table = pa.table(PYARROW)
    with pa.ipc.new_file(tmp_path / "x.arrow", table.schema) as writer:
        for _ in range(3):
            writer.write_table(table)
    ipc = IpcFile(OpenFile(tmp_path / "x.arrow"))
    batches = list(ipc.batches([name]))
    found = scan.scan_ipc(ipc.copy(batches[1:])).select(name).collect()
    assert_frame_equal(found, pl.scan_ipc(tmp_path / "x.arrow").select(name).slice(0, 6).collect())
    assert ipc.rows == 9


def test_a_type_that_pyarrow_does_not_know_is_copied_with_all_columns(tmp_path):
    frame = pl.DataFrame({"x": pl.Series([1, 2**100], dtype=pl.Int128), "y": ["a", "b"]})
    frame.write_ipc(tmp_path / "x.arrow")
    ipc = IpcFile(OpenFile(tmp_path / "x.arrow"))
    assert scan.scan_ipc(ipc.copy(list(ipc.batches(["y"])))).collect().equals(frame)


def test_layouts_that_are_not_known_keep_all_columns(tmp_path, monkeypatch):
    pl.DataFrame({"x": [1], "y": [2]}).write_ipc(tmp_path / "x.arrow")
    monkeypatch.setattr(ipc_file, "column_buffers", lambda schema, texts: [range(0, 1), range(1, 2)])
    ipc = IpcFile(OpenFile(tmp_path / "x.arrow"))
    assert scan.scan_ipc(ipc.copy(list(ipc.batches(["y"])))).collect().rows() == [(1, 2)]


def test_buffers_by_column():
    schema = pa.schema(
        {"n": pa.null(), "v": pa.string_view(), "l": pa.list_(pa.string_view()), "u": pa.uuid()}
    )
    assert column_buffers(schema, [3, 0]) == [range(0), range(5), range(5, 9), range(9, 11)]


def two_columns(path, rows):
    batch = pa.record_batch({"x": pa.array(range(rows)), "y": pa.array(range(rows))})
    with pa.ipc.new_file(path, batch.schema) as writer:
        writer.write_batch(batch)
    return IpcFile(OpenFile(path))


def test_a_record_batch_of_no_rows_has_no_body(tmp_path):
    ipc = two_columns(tmp_path / "x.arrow", 0)
    assert [batch.rows for batch in ipc.batches(["y"])] == [0]
    assert scan.scan_ipc(ipc.copy(list(ipc.batches(["y"])))).select("y").collect().height == 0


def test_a_footer_that_lists_no_dictionaries(tmp_path, monkeypatch):
    monkeypatch.setattr(ipc_file, "_DICTIONARIES", 9)
    ipc = two_columns(tmp_path / "x.arrow", 3)
    assert scan.scan_ipc(ipc.copy(list(ipc.batches(["x", "y"])))).collect().height == 3


def test_damaged_metadata_is_an_error_of_the_source(tmp_path):
    path = tmp_path / "x.arrow"
    ipc = two_columns(path, 5)
    (offset, length, body) = ipc._blocks[0]
    good = path.read_bytes()
    for damaged, names in (
        (good[: offset + 4] + bytes(length - 4) + good[offset + length :], ["x"]),
        (good.replace(struct.pack("<qq", 40, 40), struct.pack("<qq", 40, 2**40)), ["y"]),
        (good[:-10] + struct.pack("<i", -1) + good[-6:], ["x"]),
        (good[:-10] + struct.pack("<i", 2**30) + good[-6:], ["x"]),
        (
            good.replace(
                struct.pack("<qi4xq", offset, length, body), struct.pack("<qi4xq", offset, length, 2**50)
            ),
            ["x"],
        ),
    ):
        assert damaged != good
        path.write_bytes(damaged)
        with pytest.raises(SourceError, match="is not a complete Arrow IPC file"):
            list(IpcFile(OpenFile(path)).batches(names))


def test_a_piece_that_fails_because_the_file_was_cut_says_so(tmp_path):
    path = tmp_path / "x.parquet"
    version(1).write_parquet(path)
    file = OpenFile(path)
    piece = scan.slice_piece(scan.Table(file, scan.schema_of(file, "parquet"), ("v",), lambda f: f), 0, 5, 1)
    assert piece.read().height == 5
    os.truncate(path, 10)
    with pytest.raises(SourceError, match="changed while it was read"):
        piece.read()
    assert "changed while it was read" in str(piece.explain(ValueError("broken"), 0))


@pytest.mark.parametrize(("dtype", "low", "high"), [(pl.UInt32, 0, 2**32 - 1), (pl.Int8, -128, 127)])
def test_a_filter_may_compare_with_the_ends_of_a_type(dtype, low, high, tmp_path):
    frame = pl.DataFrame({"x": pl.Series([low, None, 1, high], dtype=dtype), "text": ["a", "b", "c", "d"]})
    frame.write_parquet(tmp_path / "x.parquet")
    x, least, most = pl.col("x"), pl.lit(low, dtype), pl.lit(high, dtype)
    for kept in (x <= least, ~(x > least), x >= most, least.is_between(least, x), x.is_between(most, least)):
        rows = Pipeline.builder().source(Source.from_file(tmp_path / "x.parquet")).filter(kept).collect_sync()
        assert_frame_equal(rows, frame.filter(kept))


@pytest.mark.untraced
@pytest.mark.parametrize("piece_bytes", [1, 500, 1 << 20])
def test_batches_are_read_together_one_by_one_or_in_slices(piece_bytes, tmp_path, monkeypatch):
    monkeypatch.setattr(scan, "PIECE_BYTES", piece_bytes)
    frame = pl.DataFrame({"i": range(100), "s": [f"text {n}" for n in range(100)]})
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    with pa.ipc.new_file(tmp_path / "x.arrow", table.schema) as writer:
        for start, rows in ((0, 0), (0, 1), (1, 39), (40, 60)):
            writer.write_table(table.slice(start, rows))
    source = Source.from_file(tmp_path / "x.arrow")
    assert Pipeline.builder().source(source).collect_sync().equals(frame)
    assert Pipeline.builder().source(source).select("s").collect_sync().equals(frame.select("s"))
    (tmp_path / "k=7").mkdir()
    (tmp_path / "x.arrow").rename(tmp_path / "k=7" / "x.arrow")
    keys = Pipeline.builder().source(Source.from_file(tmp_path)).select("k").collect_sync()
    assert keys["k"].to_list() == [7] * 100


@pytest.mark.parametrize(("compression", "together"), [(None, 8), ("zstd", 2), ("lz4", 2)])
def test_fewer_compressed_batches_are_read_together(compression, together, tmp_path, monkeypatch):
    batch = pl.DataFrame({"x": np.random.default_rng(0).random(1_000)}).to_arrow()
    with pa.ipc.new_file(
        tmp_path / "x.arrow", batch.schema, options=pa.ipc.IpcWriteOptions(compression=compression)
    ) as writer:
        for _ in range(16):
            writer.write_table(batch)
    monkeypatch.setattr(scan, "PIECE_BYTES", 8_500 * 8)
    heights: list[int] = []

    def noted(rows: pl.DataFrame) -> pl.DataFrame:
        heights.append(rows.height)
        return rows

    source = Pipeline.builder().source(Source.from_file(tmp_path / "x.arrow"))
    assert source.map(noted, frame="polars", schema={"x": pl.Float64}).collect_sync().height == 16_000
    assert heights == [1_000 * together] * (16 // together)


def test_a_file_without_rows(tmp_path):
    pl.DataFrame(schema={"x": pl.Int64}).write_ipc(tmp_path / "x.arrow")
    source = Source.from_file(tmp_path / "x.arrow")
    assert Pipeline.builder().source(source).collect_sync().schema == {"x": pl.Int64}


@given(data=st.data())
@settings(max_examples=examples(60))
def test_a_damaged_footer_or_header_is_an_error_of_the_source(data, tmp_path_factory):
    """Any byte of the metadata changed, any cut: rows, or a SourceError, and nothing else."""
    content = io.BytesIO()
    pl.DataFrame(TYPES).select("text", "nested", "enum", "last").write_ipc(content)
    damaged = bytearray(content.getvalue())
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged))) :]
    else:
        place = data.draw(st.integers(len(damaged) - 500, len(damaged) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "x.arrow"
    path.write_bytes(damaged)
    try:
        for batch in IpcFile(OpenFile(path)).batches(["last"]):
            assert isinstance(batch.rows, int)
    except SourceError as error:
        assert str(path) in error.what


def test_a_name_in_a_parquet_footer_that_is_not_utf8_is_damage(tmp_path):
    path = tmp_path / "x.parquet"
    pl.DataFrame({"x": [[1]]}).write_parquet(path)
    sound = path.read_bytes()
    places = [at for at in range(len(sound)) if sound.startswith(b"element", at)]
    assert (
        len(places) == 3
    )  # before the pages' index, which nothing reads; in the schema; with the column's pages
    for at in places[1:]:
        path.write_bytes(sound[: at + 2] + b"\xe5" + sound[at + 3 :])
        with pytest.raises(SourceError, match=r"x\.parquet is not a complete Parquet file"):
            Pipeline.builder().source(Source.from_file(path)).collect_sync()


def test_missing_fields_of_a_flatbuffer():
    data = struct.pack("<IHHi", 8, 4, 4, 4)
    table = FlatTable.root(data)
    assert (table.field(5), table.integer(5, "<q"), table.vector(5, 8)) == (None, 0, (0, 0))
    with pytest.raises(struct.error):
        table.table(5)
    with pytest.raises(struct.error):
        FlatTable(data, -4).field(0)
    with pytest.raises(struct.error, match="more elements"):
        FlatTable(struct.pack("<IHHHHiII", 12, 6, 8, 4, 0, 8, 4, 9), 12).vector(0, 8)


def test_schemas_are_read_again_when_the_file_is_another(tmp_path, monkeypatch):
    monkeypatch.setattr(scan, "_KNOWN_SCHEMAS", 1)
    scan._known.clear()
    for name in ("a", "b", "c"):
        pl.DataFrame({name: [1]}).write_parquet(tmp_path / "x.parquet")
        assert list(FileSource.of(tmp_path / "x.parquet").schema()) == [name]
    assert len(scan._known) == 1
