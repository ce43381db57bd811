"""Positions of file sources: a new reader goes on after the rows that another has handed out, and notices changes."""

import gzip
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from contexts import context
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from arrowstream import Source
from arrowstream.errors import SourceError
from arrowstream.io.files.reading.done_files import DoneFiles, decoded
from arrowstream.io.files.reading.stamps import Stamp, check_unchanged, fingerprint, stamp_of
from arrowstream.io.files.source import FileSource
from arrowstream.io.open_source import open_source
from arrowstream.io.source import Query

SCHEMA = {"n": pl.Int64, "s": pl.String}


def frame(start: int, rows: int) -> pl.DataFrame:
    return pl.DataFrame({"n": range(start, start + rows), "s": [f"t{n}" for n in range(rows)]}, schema=SCHEMA)


def binary(write: Callable[[pl.DataFrame, io.BytesIO], Any]) -> Callable[[pl.DataFrame], bytes]:
    def encode(rows: pl.DataFrame) -> bytes:
        out = io.BytesIO()
        write(rows, out)
        return out.getvalue()

    return encode


def zipped(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("inside", content)
    return out.getvalue()


def write_ipc(rows: pl.DataFrame, out: io.BytesIO) -> None:
    table = rows.to_arrow()
    with pa.ipc.new_file(out, table.schema) as file:
        file.write_table(table, max_chunksize=7)


ENCODE: dict[str, Callable[[pl.DataFrame], bytes]] = {
    "parquet": binary(lambda rows, out: rows.write_parquet(out, row_group_size=7)),
    "arrow": binary(write_ipc),
    "avro": binary(lambda rows, out: rows.write_avro(out)),
    "xlsx": binary(lambda rows, out: rows.write_excel(out)),
    "csv": lambda rows: rows.write_csv().encode(),
    "ndjson": lambda rows: rows.write_ndjson().encode(),
    "json": lambda rows: rows.write_json().encode(),
    "csv.gz": lambda rows: gzip.compress(rows.write_csv().encode()),
    "ndjson.zst": lambda rows: pa.compress(rows.write_ndjson().encode(), "zstd", asbytes=True),
    "csv.zip": lambda rows: zipped(rows.write_csv().encode()),
}


@pytest.fixture
def tiny_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces so small that every file has several."""
    monkeypatch.setattr("arrowstream.io.files.text.file.BLOCK_BYTES", 60)
    monkeypatch.setattr("arrowstream.io.files.columnar.scan.PIECE_BYTES", 200)
    monkeypatch.setattr("arrowstream.io.files.columnar.parquet_pieces.PIECE_BYTES", 200)
    monkeypatch.setattr("arrowstream.io.files.avro.rows.PIECE_BYTES", 200)


def read(
    source: FileSource, resume: Any = None, batches: int | None = None, query: Query | None = None
) -> tuple[list[tuple[Any, ...]], Any, list[str]]:
    """The rows of the next batches, the position after them as it is stored, and texts of the bad rows."""
    reader: Any = open_source(source, context(), query, resume)
    found: list[tuple[Any, ...]] = []
    bad: list[str] = []
    try:
        while batches is None or batches:
            element = reader.read()
            if (rows := reader.take_bad_rows()) is not None:
                bad += rows["text"].to_list()
            if element is None:
                break
            if element.num_rows:
                found += element.polars().rows()
                batches = None if batches is None else batches - 1
        return found, json.loads(json.dumps(dict(reader.position()))), bad
    finally:
        reader.close()


def cuts(source: FileSource, query: Query | None = None) -> Iterator[tuple[list[tuple[Any, ...]], Any]]:
    """The rows so far and the position after each batch of one reader."""
    reader: Any = open_source(source, context(), query)
    found: list[tuple[Any, ...]] = []
    yield [], dict(reader.position())
    while (batch := reader.read()) is not None:
        found += batch.polars().rows()
        yield [*found], json.loads(json.dumps(dict(reader.position())))
    yield found, json.loads(json.dumps(dict(reader.position())))
    reader.close()


def put(folder: Path, suffix: str, sizes: Sequence[int]) -> list[tuple[Any, ...]]:
    start = 0
    for number, size in enumerate(sizes):
        (folder / f"{number:02}.{suffix}").write_bytes(ENCODE[suffix](frame(start, size)))
        start += size
    return frame(0, start).select("n").rows()


ODD: Query = lambda rows: rows.filter(pl.col("n") % 3 > 0).select("n", t=pl.col("s") + "!")  # noqa: E731
TYPED = ("parquet", "arrow", "avro", "xlsx")
"""Formats whose reads take over a filter."""

QUERIES: dict[str, Query | None] = {"all rows": None, "a filter": ODD}


@pytest.mark.parametrize(
    ("suffix", "query"),
    [*((suffix, "all rows") for suffix in ENCODE), *((suffix, "a filter") for suffix in TYPED)],
)
def test_a_new_reader_goes_on_after_every_batch(
    suffix: str, query: str, tmp_path: Path, tiny_pieces: None
) -> None:
    put(tmp_path, suffix, [20, 3, 17])
    source = Source.from_file(tmp_path, batch_rows=5, schema=SCHEMA)
    whole, end, _ = read(source, query=QUERIES[query])
    assert len(whole) == (40 if query == "all rows" else 26)
    for rows, position in cuts(source, QUERIES[query]):
        rest, at_end, _ = read(source, position, query=QUERIES[query])
        assert rows + rest == whole
        assert at_end == end
    assert read(source, end)[0] == []


def test_lines_and_their_bad_rows_go_on(tmp_path: Path, tiny_pieces: None) -> None:
    for number in range(3):
        (tmp_path / f"{number}.log").write_bytes(
            b"".join(b"%d\xff\n" % n if n % 7 == 6 else b"line %d\n" % n for n in range(20))
        )
    source = Source.from_file(tmp_path, format="lines", batch_rows=3, bad_rows="skip")
    whole, end, bad = read(source)
    assert (len(whole), len(bad)) == (54, 6)
    for batches in range(1, 20, 3):
        found, position, texts = read(source, None, batches)
        rest, at_end, more = read(source, position)
        assert (found + rest, texts + more, at_end) == (whole, bad, end)


@given(
    suffix=st.sampled_from(["parquet", "arrow", "csv", "ndjson"]),
    sizes=st.lists(st.integers(0, 30), min_size=1, max_size=5),
    batch_rows=st.integers(1, 20),
    first=st.integers(0, 12),
    second=st.integers(0, 12),
)
@settings(max_examples=examples(25))
def test_two_restarts_read_every_row_once(
    suffix: str,
    sizes: list[int],
    batch_rows: int,
    first: int,
    second: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("grown")
    expected = put(folder, suffix, sizes)
    source = Source.from_file(folder, batch_rows=batch_rows, schema=SCHEMA)
    query = (lambda rows: rows.filter(pl.col("n") % 5 > 0)) if suffix in ("parquet", "arrow") else None
    found, position, _ = read(source, None, first, query)
    for batches in (second, None):
        rows, position, _ = read(source, position, batches, query)
        found += rows
    assert [row[:1] for row in found] == [row for row in expected if query is None or row[0] % 5]


def test_pieces_of_another_size_begin_at_the_same_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "parquet", [40])
    source = Source.from_file(tmp_path, batch_rows=100)
    whole, _, _ = read(source, query=ODD)
    for size, other in ((100, 5000), (5000, 100), (90, 230)):
        for number in range(1, 4):
            monkeypatch.setattr("arrowstream.io.files.columnar.parquet_pieces.PIECE_BYTES", size)
            rows, position, _ = read(source, None, number, ODD)
            monkeypatch.setattr("arrowstream.io.files.columnar.parquet_pieces.PIECE_BYTES", other)
            assert rows + read(source, position, None, ODD)[0] == whole


def test_an_error_after_a_restart_names_the_row_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = pl.DataFrame({"x": [float(n) for n in range(40)]}).with_columns(
        x=pl.when(pl.col("x") == 33).then(0.5).otherwise("x")
    )
    rows.write_parquet(tmp_path / "x.parquet", row_group_size=5)
    source = Source.from_file(tmp_path, schema={"x": int})
    monkeypatch.setattr("arrowstream.io.files.columnar.parquet_pieces.PIECE_BYTES", 50)
    _, position, _ = read(source, None, 3)
    for size in (50, 5000):
        monkeypatch.setattr("arrowstream.io.files.columnar.parquet_pieces.PIECE_BYTES", size)
        with pytest.raises(SourceError, match=r"row 34 of .*x\.parquet does not fit"):
            read(source, position)


BAD = ["1,a", "?,b", "3,c", "4,d", "!,e", "6,f", "7,g", "oops,h", "9,i"]


@pytest.mark.untraced
@pytest.mark.once
@pytest.mark.parametrize("files", [1, 4])
def test_a_bad_row_is_reported_once(files: int, tmp_path: Path, tiny_pieces: None) -> None:
    for number in range(files):
        (tmp_path / f"{number}.csv").write_text("\n".join(["n,s", *BAD * 3, ""]))
    source = Source.from_file(tmp_path, schema=SCHEMA, bad_rows="skip", batch_rows=2)
    whole, end, bad = read(source)
    assert len(whole) == 18 * files
    assert len(bad) == 9 * files
    reader: Any = source.open(context())
    found: list[Any] = []
    texts: list[str] = []
    while (batch := reader.read()) is not None:
        found += batch.polars().rows()
        if (rows := reader.take_bad_rows()) is not None:
            texts += rows["text"].to_list()
        rest, at_end, more = read(source, json.loads(json.dumps(dict(reader.position()))))
        assert (found + rest, texts + more, at_end) == (whole, bad, end)
    reader.close()


def test_what_was_left_out_is_noted_once(tmp_path: Path) -> None:
    lines = ['{"a":1,"a":2}\n', '{"a":3}\n']
    (tmp_path / "x.ndjson").write_text("".join(lines * 4))
    source = Source.from_file(tmp_path, batch_rows=3)
    _, position, _ = read(source, None, 2)
    (tmp_path / "y.ndjson").write_text("".join(lines))
    reader = source.open(context(), None, position)
    while reader.read() is not None:
        pass
    assert [(note.count, "x.ndjson" in note.first) for note in reader.notes] == [(5, True)]
    _, end, _ = read(source)
    reader.close()
    reader = source.open(context(), None, end)
    assert [str(note) for note in reader.notes] == [
        f"2 files left out that an earlier run has read, first in {tmp_path}/x.ndjson"
    ]
    assert not reader.notes[0].lost
    assert reader.total_rows is None
    reader.close()


def test_the_rows_that_are_left_are_counted(tmp_path: Path, tiny_pieces: None) -> None:
    put(tmp_path, "parquet", [20, 10])
    source = Source.from_file(tmp_path)
    _, position, _ = read(source, None, 2)
    reader = source.open(context(), None, position)
    assert reader.total_rows == 30 - position["row"] < 30
    read_rows = 0
    while (batch := reader.read()) is not None:
        read_rows += batch.num_rows
    assert reader.rows_read == read_rows
    reader.close()


def test_a_file_that_a_list_names_twice_is_read_twice(tmp_path: Path) -> None:
    put(tmp_path, "csv", [5])
    source = Source.from_file([tmp_path / "00.csv"] * 2, batch_rows=2)
    whole, end, _ = read(source)
    assert len(whole) == 10
    for rows, position in cuts(source):
        assert rows + read(source, position)[0] == whole
    assert read(source, end)[0] == []
    assert len(read(Source.from_file([tmp_path / "00.csv"] * 3), end)[0]) == 5


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def rewrite_in_place(path: Path) -> None:
    """Other content of the same size, with the time of change put back, as some copying programs do."""
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b"t1", b"u1"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "appended to": (lambda path: path.write_bytes(path.read_bytes() + b"9,z\n"), r"found: \d+ bytes"),
    "touched": (touch, "found: another time of change"),
    "rewritten": (rewrite_in_place, "found: other content of the same size"),
    "removed": (Path.unlink, "found: no such file"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_when_a_part_was_read_is_an_error(change: str, tmp_path: Path) -> None:
    put(tmp_path, "csv", [10, 10])
    source = Source.from_file(tmp_path, batch_rows=4, schema=SCHEMA)
    _, position, _ = read(source, None, 1)
    deed, found = CHANGES[change]
    deed(tmp_path / "00.csv")
    with pytest.raises(SourceError, match=rf"(?s)00.csv (has changed since|is gone, of which).*{found}"):
        read(source, position)


@pytest.mark.parametrize("change", ["appended to", "touched"])
def test_a_file_that_changes_after_it_was_read_is_an_error(change: str, tmp_path: Path) -> None:
    put(tmp_path, "csv", [3, 3])
    source = Source.from_file(tmp_path, schema=SCHEMA)
    _, end, _ = read(source)
    deed, found = CHANGES[change]
    deed(tmp_path / "01.csv")
    with pytest.raises(
        SourceError, match=rf"(?s)01.csv has changed since an earlier run read it.*19 bytes.*{found}"
    ):
        read(source, end)


def test_a_file_that_was_read_may_go(tmp_path: Path) -> None:
    put(tmp_path, "csv", [3, 3, 4])
    source = Source.from_file(tmp_path, schema=SCHEMA)
    reader: Any = source.open(context())
    reader.read()
    position = reader.position()  # looked at once the end of the file is known
    reader.read()
    reader.close()
    (tmp_path / "00.csv").unlink()
    assert len(read(source, json.loads(json.dumps(dict(position))))[0]) == 7


def test_new_files_come_after_the_one_that_was_begun_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("n\n1\n2\n3\n")
    source = Source.from_file(f"{tmp_path}/*.csv", batch_rows=2)
    found, position, _ = read(source, None, 1)
    for name in "dca":
        (tmp_path / f"{name}.csv").write_text(f"n\n{ord(name)}\n")
    rest, _, _ = read(source, position)
    assert [n for (n,) in found + rest] == [1, 2, 3, ord("a"), ord("c"), ord("d")]


def test_a_step_that_gives_fewer_rows_than_before_is_an_error(tmp_path: Path) -> None:
    put(tmp_path, "parquet", [9])
    source = Source.from_file(tmp_path, batch_rows=4)
    _, position, _ = read(source, None, 2)
    with pytest.raises(
        SourceError, match=r"(?s)fewer rows than an earlier run had handed out.*6 rows.*found: 3"
    ):
        read(source, position, query=lambda rows: rows.filter(pl.col("n") < 3))


@pytest.mark.parametrize(
    "position",
    [
        {"version": 2, "row": 0, "rows": 0},
        {"version": 1, "row": 0, "rows": 0},
        {
            "version": 1,
            "row": 0,
            "rows": 0,
            "reading": [],
            "done": ["aGk="],
            "bad_rows": 0,
            "given": {"paths": ["x"], "cwd": ""},
        },
        {
            "version": 1,
            "row": 0,
            "rows": 0,
            "reading": [1],
            "done": [],
            "bad_rows": 0,
            "given": {"paths": ["x"], "cwd": ""},
        },
    ],
)
def test_the_position_of_another_source_is_refused(position: Any, tmp_path: Path) -> None:
    put(tmp_path, "csv", [1])
    with pytest.raises(SourceError, match="cannot continue after this position"):
        Source.from_file(tmp_path).open(context(), None, position)


def test_the_position_of_many_files_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    names = (f"/data/2026/{number // 250:03}/trips-{number:06}.csv" for number in range(20_000))
    stamps = [
        Stamp(name, 1000 + n * 37 % 5000, 1_790_000_000_000_000_000 + n * 987_654_321)
        for n, name in enumerate(names)
    ]
    done = DoneFiles(stamps)
    texts = done.encoded(len(done))
    assert sum(map(len, texts)) < 20 * len(done)
    more = Stamp("/data/new", 1, 1)
    done.add(more)
    again = done.encoded(len(done))
    assert all(a is b for a, b in zip(again[:-1], texts[:-1], strict=True))
    assert done.encoded(len(done) - 1) == texts
    found = decoded(again)
    assert (len(found), found.stamp("/data/new"), found.count(stamps[7].path)) == (20_001, more, 1)


def test_what_cannot_be_read_again_is_not_resumed(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    names: dict[Any, bool] = {
        "-": False,
        pipe: False,
        "https://example.org/x.csv": False,
        "s3://bucket/x.csv": True,
        tmp_path / "later.csv": True,
        tmp_path: True,
    }
    for name, resumable in names.items():
        assert Source.from_file(name, format="csv").resumable is resumable
        if not resumable:
            with pytest.raises(SourceError, match="cannot continue where an earlier run ended"):
                open_source(Source.from_file(name, format="csv"), context(), None, {"version": 1})
    done = DoneFiles()
    done.add(stamp_of(pipe))
    assert done.count(str(pipe)) == 0
    with pytest.raises(SourceError, match="a run with checkpoints cannot read one of the files"):
        done.encoded(1)
    assert stamp_of(tmp_path / "gone") is None
    with pytest.raises(SourceError, match=r"(?s)gone has changed.*found: no such file"):  # just now
        check_unchanged(Stamp(f"{tmp_path}/gone", 1, 1), None, None, "read it", "")
    (tmp_path / "other").write_text("x")
    assert fingerprint(Stamp(f"{tmp_path}/other", 1, 1)) is None
    assert fingerprint(Stamp(f"{tmp_path}/gone", 1, 1)) is None
    assert fingerprint(Stamp("s3://bucket/x.csv", 1, "tag")) is None
