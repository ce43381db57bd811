"""What Polars' streaming sinks write, piece by piece: types, row groups, several batches, and no rows."""

import ctypes
import gzip
import io
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from threading import Condition, Thread

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.errors import SinkError
from arrowstream.io.files import held_partitions
from arrowstream.io.files.held_partitions import HeldPartition, groups
from arrowstream.io.files.output import encoders, frame_queue, write_back
from arrowstream.io.files.output.encoders import GROUP_ROWS, encoder_for
from arrowstream.io.files.output.frame_queue import FrameQueue
from arrowstream.io.files.output.growing_file import GrowingFile
from arrowstream.io.files.output.output_file import Abandoned
from arrowstream.io.files.output.sorting_encoder import SortingEncoder
from arrowstream.io.files.output.streaming_sink import encoded, encoded_files

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


class Bytes(io.BytesIO):
    """Target of an encoder, in memory."""

    def add(self, data: bytes) -> None:
        self.write(data)


def written(format, codec, *frames, schema=None) -> bytes:
    target = Bytes()
    encoder_for(format, schema or frames[0].schema, codec).encode(iter(frames), target)
    return target.getvalue()


@pytest.mark.parametrize("codec", ["zstd", "snappy", "lz4", "gzip", None])
def test_every_type_comes_back_from_parquet_as_it_was(codec):
    data = written("parquet", codec, EVERYTHING, EVERYTHING.clear(), EVERYTHING.reverse(), EVERYTHING[1:])
    read = pl.read_parquet(data)
    expected = pl.concat([EVERYTHING, EVERYTHING.reverse(), EVERYTHING[1:]])
    assert read.schema == expected.schema
    assert read.equals(expected)
    named = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(0).compression
    assert named == {"lz4": "LZ4", None: "UNCOMPRESSED"}.get(codec, str(codec).upper())


@pytest.mark.parametrize("codec", ["zstd", "lz4", None])
def test_every_type_comes_back_from_an_arrow_file_as_it_was(codec):
    rows = EVERYTHING.drop("categorical")
    data = written("ipc", codec, rows, rows.clear(), rows.reverse(), rows[1:])
    read = pl.read_ipc(data)
    expected = pl.concat([rows, rows.reverse(), rows[1:]])
    assert read.schema == expected.schema
    assert read.equals(expected)
    table = pa.ipc.open_file(io.BytesIO(data)).read_all()
    assert pl.from_arrow(table).equals(expected)
    assert table.schema.field("string").type == pa.large_string()  # the oldest-compatible type


@pytest.mark.parametrize("frames", [(), (EVERYTHING.clear(),)])
@pytest.mark.parametrize("format", ["parquet", "ipc"])
def test_no_rows_keep_every_type(format, frames):
    schema = EVERYTHING.drop("categorical").schema
    frames = [frame.drop("categorical") for frame in frames]
    data = written(format, "zstd", *frames, schema=schema)
    assert (pl.read_parquet if format == "parquet" else pl.read_ipc)(data).schema == schema


@pytest.mark.skipif(not hasattr(pl, "Float16"), reason="this Polars has no half floats")
def test_half_floats_come_back():
    frame = pl.DataFrame({"h": pl.Series([1.5, None, -0.0], dtype=pl.Float16), "l": [[1], None, []]})
    frame = frame.with_columns(lists=pl.concat_list("h"), struct=pl.struct("h"))
    assert pl.read_parquet(written("parquet", "zstd", frame, frame)).equals(pl.concat([frame, frame]))


def test_arrays_inside_lists_and_structs_are_written_from_slices():
    inner = pl.Series([[1, 2], [3, 4], [5, 6]], dtype=pl.Array(pl.Int32, 2))
    frame = pl.DataFrame({"a": inner}).select(s=pl.struct("a"), l=pl.concat_list(pl.struct("a")))
    for format, read in (("parquet", pl.read_parquet), ("ipc", pl.read_ipc)):
        assert read(written(format, None, frame[1:], frame[2:])).equals(pl.concat([frame[1:], frame[2:]]))


READERS = {
    "parquet": pl.read_parquet,
    "ipc": pl.read_ipc,
    "csv": pl.read_csv,
    "ndjson": pl.read_ndjson,
    "json": pl.read_json,
}


@pytest.mark.parametrize("format", READERS)
def test_columns_whose_chunks_end_at_different_rows_are_written(format):
    """As after a join of columns: dead letters have those of the rows, next to one of errors."""
    chunked = pl.concat([pl.Series("x", [1, 2]), pl.Series("x", [3])], rechunk=False)
    frame = pl.DataFrame([chunked, pl.Series("y", ["a", "b", "c"])])
    assert frame.n_chunks("all") == [2, 1]
    for frames in ([frame], [frame, frame[1:], frame.clear(), frame]):
        found = READERS[format](io.BytesIO(written(format, None, *frames)))
        assert found.equals(pl.concat(frames))


def test_other_readers_find_the_same_rows_and_statistics(tmp_path, monkeypatch):
    monkeypatch.setattr(encoders, "GROUP_ROWS", 1000)
    frames = [pl.DataFrame({"x": range(k * 1000, (k + 1) * 1000), "s": [f"v{k}"] * 1000}) for k in range(40)]
    path = tmp_path / "out.parquet"
    path.write_bytes(written("parquet", "zstd", *frames))
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


def test_a_large_frame_becomes_several_row_groups():
    data = written("parquet", "zstd", pl.DataFrame({"x": range(2 * GROUP_ROWS)}))
    metadata = pq.ParquetFile(io.BytesIO(data)).metadata
    assert [metadata.row_group(k).num_rows for k in range(metadata.num_row_groups)] == [GROUP_ROWS] * 2
    assert pl.read_parquet(data)["x"].to_list() == list(range(2 * GROUP_ROWS))


def test_row_groups_of_wide_rows_have_fewer_rows(monkeypatch):
    monkeypatch.setattr(encoders, "GROUP_BYTES", 100_000)
    frame = pl.DataFrame({"s": ["x" * 984] * 1000})  # 1,000 bytes a row
    metadata = pq.ParquetFile(io.BytesIO(written("parquet", "zstd", frame))).metadata
    assert metadata.num_row_groups == 10


@pytest.mark.parametrize("format", ["parquet", "ipc", "csv", "ndjson", "json"])
@pytest.mark.parametrize("codec", ["gzip", None])
def test_files_that_are_encoded_at_once_are_those_encoded_alone(format, codec):
    if format == "ipc" and codec is not None:
        codec = "zstd"
    frames = [pl.DataFrame({"x": range(rows), "s": [f"{rows},\n" * rows] * rows}) for rows in range(1, 40)]
    if format != "ipc":  # whose file without rows is not written by Polars
        frames.append(frames[0].clear())
    encoder = encoder_for(format, frames[0].schema, codec)
    for files in (frames[:39], frames):
        assert encoded_files(files, encoder) == [encoded(frame, encoder) for frame in files]


@pytest.mark.parametrize("format", ["parquet", "ipc", "ndjson", "json", "csv"])
def test_types_are_the_same_in_files_that_are_encoded_at_once(format):
    """Also old times in a zone, which Polars' text rounds: those of one file change nothing in another."""
    old, new = (datetime(year, 1, 1, tzinfo=UTC) for year in (1890, 2020))
    rows = pl.DataFrame(
        {
            "t": pl.Series([old, new, new, None]).dt.convert_time_zone("Asia/Kolkata"),
            "e": pl.Series(["b", "a", None, "b"], dtype=pl.Enum(["b", "a"])),
            "c": pl.Series(["x", "y", "z", None], dtype=pl.Categorical),
            "d": pl.Series([Decimal("1.50"), None, Decimal("2.25"), Decimal("0.01")]),
            "n": [None, None, True, None],
            "#": [1.5, float("nan"), None, float("-inf")],
            **(
                {}
                if format == "csv"
                else {
                    "a": pl.Series([[1, 2], None, [3, None], [5, 6]], dtype=pl.Array(pl.Int8, 2)),
                    "l": [[{"f": "x"}], [], None, [{"f": None}]],
                }
            ),
        }
    )
    frames = [rows[start : start + 2] for start in range(3)]
    encoder = encoder_for(format, rows.schema, None)
    alone, at_once = [encoded(frame, encoder) for frame in frames], encoded_files(frames, encoder)
    if format == "ipc":  # bits of validity after the last row may differ
        tables = [[pa.ipc.open_file(data).read_all() for data in files] for files in (alone, at_once)]
        assert all(
            one.schema.equals(other.schema, check_metadata=True) for one, other in zip(*tables, strict=True)
        )
        alone, at_once = ([pl.read_ipc(data) for data in files] for files in (alone, at_once))
        assert all(one.equals(other) for one, other in zip(alone, at_once, strict=True))
        return
    assert at_once == alone


def test_the_query_of_a_sorting_encoder_is_that_of_the_format():
    frame = pl.DataFrame({"x": [2, 1]})
    found = Bytes()
    inner = encoder_for("csv", frame.schema, None)
    SortingEncoder(inner, ["x"], MemoryBudget(), "sink", 10).encode_lazy(frame.lazy(), frame, found)
    assert found.getvalue() == b"x\n2\n1\n"


def test_partitions_are_written_together_as_far_as_their_rows_are_few(monkeypatch):
    monkeypatch.setattr(held_partitions, "_TOGETHER", 3)
    monkeypatch.setattr(held_partitions, "_TOGETHER_BYTES", 20_000)

    def partition(name: str, nbytes: int, *, spilled: bool = False) -> HeldPartition:
        made = HeldPartition(name, 1000)
        made.add(pl.DataFrame({"x": [1]}), nbytes)
        if spilled:
            made.replace(made.held())
            made.add(pl.DataFrame({"x": [2]}), nbytes)
        return made

    sizes = {"a": 100, "b": 100, "c": 100, "d": 12_000, "e": 10_000, "f": 50_000, "g": 1, "h": 1, "i": 1}
    found = groups([partition(name, nbytes, spilled=name == "h") for name, nbytes in sizes.items()])
    assert ["".join(one.folder for one in group) for group in found] == ["abc", "d", "e", "f", "g", "h", "i"]
    assert list(groups([])) == []


def test_large_text_is_packed_in_several_members(monkeypatch):
    monkeypatch.setattr(encoders, "_PACKED_BYTES", 1000)
    frame = pl.DataFrame({"x": range(300_000)})
    data = written("csv", "gzip", *frame.iter_slices(30_000))
    assert data.count(b"\x1f\x8b\x08") > 1
    assert gzip.decompress(data) == frame.write_csv().encode()


def test_small_frames_that_wait_are_joined_and_a_full_queue_makes_the_producer_wait():
    queue = FrameQueue(Condition(), unit_rows=5, capacity=4000)
    for k in range(3):
        queue.put(pl.DataFrame({"x": [k]}), 8, lambda: False)
    late = Thread(target=queue.put, args=(pl.DataFrame({"x": [3]}), 2000, lambda: False))
    late.start()
    taken = queue.take()  # before it has a unit of rows, since the producer waits
    late.join(60)
    queue.close()
    rest = list(queue.frames())
    assert taken is not None and taken["x"].to_list() == [0, 1, 2] and taken.n_chunks() == 1
    assert [frame["x"].to_list() for frame in rest] == [[3]]


def test_a_queue_that_nobody_takes_from_loses_no_frame():
    queue = FrameQueue(Condition(), unit_rows=1, capacity=10)
    queue.put(pl.DataFrame({"x": [1]}), 8, lambda: True)
    queue.put(pl.DataFrame({"x": [2]}), 8, lambda: True)
    queue.close()
    assert [frame["x"].to_list() for frame in queue.frames()] == [[1, 2]]


def test_a_cancelled_queue_ends_its_encoder():
    queue = FrameQueue(Condition(), unit_rows=1, capacity=10)
    queue.put(pl.DataFrame({"x": [1]}), 8, lambda: False)
    queue.cancel()
    with pytest.raises(frame_queue.Cancelled):
        queue.take()


@pytest.mark.parametrize("size", range(1, 12))
def test_lines_become_one_array_whatever_the_pieces(size):
    lines, target = b'{"x":1}\n{"x":22}\n', Bytes()
    array = encoders._Array(target)
    array.add(b"")
    for start in range(0, len(lines), size):
        array.add(lines[start : start + size])
    array.end()
    assert target.getvalue() == b'[{"x":1},\n{"x":22}]\n'


def test_pieces_are_packed_once_they_are_large_enough(monkeypatch):
    monkeypatch.setattr(encoders, "_PACKED_BYTES", 3)
    target = Bytes()
    packed = encoders._Packed(target, pa.Codec("gzip"))
    for piece in (b"a", b"bcd", b"e"):
        packed.add(piece)
    packed.end()
    assert gzip.decompress(target.getvalue()) == b"abcde"
    assert target.getvalue().count(b"\x1f\x8b\x08") == 2


def test_rows_are_prepared_alike_whether_they_are_packed_or_not():
    frame = pl.DataFrame({"t": [datetime(1890, 1, 1, tzinfo=UTC)]})
    frame = frame.with_columns(pl.col("t").dt.convert_time_zone("Asia/Kolkata"))
    plain, packed = (encoder_for("csv", frame.schema, codec).prepared(frame) for codec in (None, "gzip"))
    assert plain.equals(packed) and not plain.equals(frame)


def test_the_end_of_a_file_waits_for_a_disk_until_it_takes_the_bytes_or_the_run_has_failed(tmp_path):
    for gives_up in (False, True):
        folder = tmp_path / str(gives_up)
        file = GrowingFile(lambda folder=folder: folder / "out", folder / "out")
        raised = []

        def encode(file=file, raised=raised):
            file._chunk = 1
            try:
                file.add(b"rows")
                file.flush()
            except Abandoned as error:
                raised.append(error)

        encoder = Thread(target=encode)
        encoder.start()
        with file.changed:
            file.changed.wait_for(lambda file=file: file.failed, 60)
        for _ in range(2):
            with pytest.raises(SinkError, match="create the folder first"):
                file.check()
        if gives_up:
            file.abandon()
            for call in (file.flush, lambda file=file: file.add(b"more")):
                with pytest.raises(Abandoned):
                    call()
        else:
            folder.mkdir()
            file.check()
        encoder.join(60)
        assert len(raised) == gives_up and folder.exists() != gives_up


@pytest.mark.parametrize("known", [True, False])
def test_the_disk_starts_on_a_file_while_it_grows(tmp_path, monkeypatch, known):
    """Each byte of whole stretches once, on systems that have the call; elsewhere the file is the same."""
    begun = []

    def call(handle, start, nbytes, flags):
        begun.append((start, nbytes))

    monkeypatch.setattr(write_back, "BYTES", 100)
    monkeypatch.setattr(write_back, "_call", lambda: call if known else None)
    file = GrowingFile(lambda: tmp_path / "out", tmp_path / "out")
    for number in range(50):
        file.add(bytes([number]) * 30)
        file.flush()
    file.end(b"end")
    expected = b"".join(bytes([number]) * 30 for number in range(50)) + b"end"
    assert (tmp_path / "out").read_bytes() == expected
    assert begun == ([(start, 120) for start in range(0, 1_440, 120)] if known else [])


def test_the_kernel_takes_the_call_to_start_on_a_file(tmp_path):
    with (tmp_path / "out").open("wb") as file:
        file.write(bytes(100))
        file.flush()
        call = write_back._call()
        assert call is None or call(file.fileno(), 0, 100, 2) == 0
        write_back.start_write_back(file.fileno(), 0, 100)


def test_a_system_that_lacks_the_call_is_known_as_one(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert write_back._call.__wrapped__() is None
