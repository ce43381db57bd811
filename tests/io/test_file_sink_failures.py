"""Nothing unfinished under a final name, nothing left behind, whatever fails and whenever."""

import ctypes
import errno
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
import pytest
from contexts import context
from scripted import publish

from arrowstream.core.batch import Batch
from arrowstream.errors import SinkError
from arrowstream.io.files import folder_writer
from arrowstream.io.files import sink_errors as file_errors
from arrowstream.io.files import writer as file_writer
from arrowstream.io.files.destination import opening, resolved
from arrowstream.io.files.output import encoders, output_file
from arrowstream.io.files.output.growing_file import GrowingFile
from arrowstream.io.files.sink import FileSink
from arrowstream.io.files.staging import base as staging
from arrowstream.io.files.staging.base import MANY
from arrowstream.io.files.staging.single_file import StagedFile

ROWS = pl.DataFrame({"k": ["a", "b", "a", "c"], "x": [1, 2, 3, 4]})
TARGETS = [
    ("out.parquet", {}),
    ("out.csv.gz", {}),
    ("new/", {"max_rows_per_file": 1}),
    ("deep/er/new", {"partition_by": ["k"]}),
    ("there", {"max_rows_per_file": 1}),
    ("there", {"partition_by": ["k"]}),
    ("out.csv", {"mode": "append"}),
    ("deep/er/new/", {"mode": "append", "max_rows_per_file": 1}),
    ("there", {"mode": "append", "partition_by": ["k"]}),
    ("there", {"mode": "overwrite_partitions", "partition_by": ["k"]}),
    ("new/", {"mode": "append"}),
    ("deep/new/", {"mode": "append", "roll_every": "1m"}),
]


def tree(folder):
    """Every file with its content, and every folder, below `folder`."""
    paths = sorted(folder.rglob("*"))
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in paths}


def run(sink, rows=ROWS):
    writer = sink.open(rows.schema, context())
    try:
        writer.write(Batch(rows))
        publish(writer)
    except BaseException:
        writer.abort()
        raise


@pytest.fixture
def place(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "notes.txt").write_text("not data")
    return tmp_path


def sink_at(place, path, options):
    return FileSink.of(f"{place}/{path}", **options)


@pytest.mark.untraced
@pytest.mark.parametrize(("path", "options"), TARGETS)
def test_nothing_is_seen_before_the_end_and_nothing_is_left_after_an_abort(path, options, place):
    before = tree(place)
    writer = sink_at(place, path, options).open(ROWS.schema, context())
    writer.write(Batch(ROWS))
    visible = [p for p in tree(place) if not any(part.startswith(".") for part in Path(p).parts)]
    assert set(visible) <= {*before, "deep", "deep/er"}
    assert not [p for p in visible if "part-" in p]
    writer.abort()
    writer.abort()
    assert tree(place) == before


@pytest.mark.untraced
@pytest.mark.parametrize(("path", "options"), TARGETS)
def test_an_abort_after_the_end_removes_nothing(path, options, place):
    writer = sink_at(place, path, options).open(ROWS.schema, context())
    writer.write(Batch(ROWS))
    publish(writer)
    after = tree(place)
    writer.abort()
    assert tree(place) == after
    assert not [p for p in after if "inprogress" in p]


class Disk:
    """Fails one of the calls that a writer makes, the n-th."""

    def __init__(self, monkeypatch, number):
        self.left = number
        self.failed = False
        self._patch(monkeypatch, os, "fsync")
        for name in ("replace", "rename", "mkdir", "touch", "open"):
            self._patch(monkeypatch, Path, name)

    def _patch(self, monkeypatch, owner, name):
        call = getattr(owner, name)

        def maybe(*arguments, **options):
            self.left -= 1
            if self.left == 0:
                self.failed = True
                raise OSError(errno.ENOSPC, "No space left on device")
            return call(*arguments, **options)

        monkeypatch.setattr(owner, name, maybe)


@pytest.mark.once
@pytest.mark.parametrize(("path", "options"), TARGETS)
def test_whatever_call_fails_everything_is_as_before(path, options, place):
    """The disk fills up at the first call, at the second, ... until the run gets through."""
    sink = sink_at(place, path, options)
    before = tree(place)
    for number in range(1, 200):
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch, number)
            try:
                run(sink)
            except SinkError as error:
                caught = error
            else:
                assert not disk.failed
                break
        assert str(place / path.rstrip("/")) in caught.what
        assert caught.found == "No space left on device"
        assert "free some space" in caught.hint
        # The very last step makes the final name durable; it is there already, complete.
        if tree(place) != before:
            assert_complete(place / path, options)
            break
    assert number > 4


def assert_complete(path, options):
    if "csv" in path.name:
        assert pl.read_csv(path).equals(ROWS)
        return
    frame = pl.scan_parquet(path if path.is_file() else f"{path}/**/*.parquet").collect()
    assert frame.sort("x").select("x").equals(ROWS.select("x"))


def test_a_file_that_was_there_is_kept_until_it_is_replaced(tmp_path, monkeypatch):
    path = tmp_path / "out.csv"
    path.write_text("old")
    with monkeypatch.context() as patch:
        Disk(patch, 3)
        with pytest.raises(SinkError):
            run(FileSink.of(path))
    assert tree(tmp_path) == {"out.csv": b"old"}
    run(FileSink.of(path))
    assert pl.read_csv(path).equals(ROWS)


def test_a_full_disk_while_writing(tmp_path, monkeypatch):
    path = tmp_path / "out.parquet"

    class Full(opening.GrowingFile):
        def write(self):
            with file_errors.sink_errors("cannot write", path):
                raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(opening, "GrowingFile", Full)
    with pytest.raises(SinkError, match="Disk quota exceeded") as caught:
        run(FileSink.of(path))
    assert caught.value.what == f"cannot write {path}"
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("name", ["out.csv", "parts/"])
def test_a_full_disk_is_reported_by_the_next_write_and_no_row_is_lost_or_doubled(name, tmp_path, monkeypatch):
    full, files = [True], []

    class Full(GrowingFile):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            files.append(self)

        def write(self):
            with file_errors.sink_errors("cannot write", tmp_path):
                if full:
                    raise OSError(errno.ENOSPC, "No space left on device")
            super().write()

    monkeypatch.setattr(output_file, "CHUNK", 1)
    for module in (opening, folder_writer):
        monkeypatch.setattr(module, "GrowingFile", Full)
    monkeypatch.setattr(resolved, "unit_rows", lambda format: 1)
    writer = FileSink.of(f"{tmp_path}/{name}", format="csv").open(ROWS.schema, context())
    writer.write(Batch(ROWS[:2]))
    with files[0].changed:
        assert files[0].changed.wait_for(lambda: files[0].failed, 60)
    for _ in range(2):
        with pytest.raises(SinkError, match="No space left on device"):
            writer.write(Batch(ROWS[2:]))
    full.clear()
    writer.write(Batch(ROWS[2:]))
    publish(writer)
    (path,) = tmp_path.rglob("*.csv")
    assert pl.read_csv(path).equals(ROWS)


@pytest.mark.untraced
def test_files_that_cannot_be_written_do_not_keep_others_from_being_written(tmp_path, monkeypatch):
    """Polars' threads serve all files: if each waited for a file that fails, a file that does not would never end."""
    full, files, first = [True], {}, f"k={0}"

    class Full(GrowingFile):
        def __init__(self, place, shown):
            super().__init__(place, shown)
            files[shown.parent.name] = self

        def write(self):
            with file_errors.sink_errors("cannot write", self._shown):
                if full and self._shown.parent.name != first:
                    raise OSError(errno.ENOSPC, "No space left on device")
            super().write()

    monkeypatch.setattr(output_file, "CHUNK", 1)
    monkeypatch.setattr(folder_writer, "GrowingFile", Full)
    monkeypatch.setattr(resolved, "unit_rows", lambda format: 1)
    monkeypatch.setattr(folder_writer, "OPEN_FILES", 1_000)
    count = pl.thread_pool_size() + 2
    rows = pl.DataFrame({"k": [*range(count)] * 50, "x": range(50 * count)})
    writer = FileSink.of(f"{tmp_path}/parts", format="csv", partition_by="k").open(rows.schema, context())
    writer.write(Batch(rows[:count]))
    for name, file in files.items():
        with file.changed:
            assert name == first or file.changed.wait_for(lambda file=file: file.failed, 60)
    full.clear()
    for _ in range(count - 1):  # each of them has a failure to report
        with pytest.raises(SinkError, match="No space left on device"):
            writer.write(Batch(rows[count:]))
    writer.write(Batch(rows[count:]))
    publish(writer)
    assert pl.read_csv(f"{tmp_path}/parts/**/*.csv")["x"].sort().equals(rows["x"])


SCRIPT = f"""
import resource, sys
sys.path.append({str(Path(__file__).parents[1])!r})
from contexts import context
import polars as pl
from arrowstream.core.batch import Batch
from arrowstream.errors import SinkError
from arrowstream.io.files.sink import FileSink

frame = pl.DataFrame({{"x": range(100_000)}}).with_columns(k=pl.col("x") % 2000)
LIMIT
writer = FileSink.of(sys.argv[1], OPTIONS).open(frame.schema, context())
try:
    for start in range(0, 100_000, 50_000):
        writer.write(Batch(frame.slice(start, 50_000)))
    writer.commit(writer.prepare(0))
except SinkError as error:
    writer.abort()
    print(error)
"""


def run_limited(path, limit, options=""):
    script = SCRIPT.replace("LIMIT", limit).replace("OPTIONS", options)
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True, timeout=110
    )
    return done.stdout


@pytest.mark.untraced
@pytest.mark.parametrize(
    "name",
    [
        "out.csv",
        "out.parquet",
        *(pytest.param(name, marks=pytest.mark.once) for name in ("out.json", "parts/")),
    ],
)
def test_a_limit_on_the_size_of_files(name, tmp_path):
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    printed = run_limited(f"{tmp_path}/{name}", limit, "compression='none'")
    assert printed.startswith("cannot write")
    assert "File too large" in printed and "ulimit -f" in printed
    assert tree(tmp_path) == {}


@pytest.mark.once
@pytest.mark.untraced
def test_thousands_of_partitions_with_few_open_files(tmp_path):
    limit = "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))"
    assert run_limited(tmp_path / "parts", limit, "format='csv', partition_by='k'") == ""
    assert len(list((tmp_path / "parts").iterdir())) == 2000
    for k in (0, 7, 1999):
        part = tmp_path / "parts" / f"k={k}" / "part-00000.csv"
        assert part.read_text().split() == ["x", *map(str, range(k, 100_000, 2000))]


def test_an_overwrite_of_many_partitions_syncs_their_file_system_once(tmp_path):
    target = tmp_path / "parts"
    for turn in (1, 2):
        frame = pl.DataFrame({"k": range(MANY + 1), "x": [turn] * (MANY + 1)})
        writer = FileSink.of(target, partition_by="k", overwrite=True).open(frame.schema, context())
        writer.write(Batch(frame))
        publish(writer)
        found = pl.read_parquet(target, hive_partitioning=True)
        assert found.sort("k").select("k", "x").rows() == frame.rows()


@pytest.mark.parametrize(("path", "options"), TARGETS)
def test_an_encoder_that_fails_ends_the_run_and_its_thread(path, options, place, monkeypatch):
    def encode(encoder, frames, target):
        next(frames)
        raise ValueError("no encoding")

    before, threads = tree(place), {*threading.enumerate()}
    monkeypatch.setattr(encoders.FileEncoder, "encode", encode)
    monkeypatch.setattr(resolved, "unit_rows", lambda format: 1)
    writer = sink_at(place, path, options).open(ROWS.schema, context())
    writer.write(Batch(ROWS))
    with pytest.raises(SinkError, match="cannot be continued after a failure") as caught:
        publish(writer)
    assert caught.value.found == "ValueError: no encoding"
    writer.abort()
    assert tree(place) == before
    started = {*threading.enumerate()} - threads
    assert not [thread for thread in started if thread.name == "arrowstream-encoder"]


@pytest.mark.untraced
@pytest.mark.parametrize(("path", "options"), TARGETS)
def test_a_batch_without_rows_changes_nothing(path, options, place):
    writer = sink_at(place, path, options).open(ROWS.schema, context())
    for rows in (ROWS.clear(), ROWS, ROWS.clear()):
        writer.write(Batch(rows))
    publish(writer)
    assert_complete(place / path, options)


@pytest.mark.parametrize("open_files", [3, 16])
@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_partitions_that_wait_are_written_or_spilled_once_they_take_too_much(
    open_files, format, tmp_path, monkeypatch
):
    monkeypatch.setattr(folder_writer, "WAITING_BYTES", 200_000)
    monkeypatch.setattr(folder_writer, "OPEN_FILES", open_files)
    spilled = []
    spill = folder_writer.frame_in_file
    monkeypatch.setattr(folder_writer, "frame_in_file", lambda pieces: spilled.append(1) or spill(pieces))
    monkeypatch.setattr(resolved, "unit_rows", lambda format: 10_000)
    frame = pl.DataFrame({"x": range(60_000)}).with_columns(k=pl.col("x") % 7)
    writer = FileSink.of(tmp_path / "parts", format=format, partition_by="k").open(frame.schema, context())
    for start in range(0, 60_000, 10_000):
        writer.write(Batch(frame.slice(start, 10_000)))
        assert sum(part.nbytes for part in writer._folders.values()) <= 200_000
    assert bool(spilled) == (open_files == 3)
    publish(writer)
    for k in range(7):
        (part,) = (tmp_path / "parts" / f"k={k}").iterdir()
        rows = pl.read_csv(part) if format == "csv" else pl.read_parquet(part)
        assert rows["x"].to_list() == list(range(k, 60_000, 7))


def test_rows_sorted_by_partition_give_one_file_each_however_many_there_are(tmp_path, monkeypatch):
    monkeypatch.setattr(resolved, "unit_rows", lambda format: 100)
    monkeypatch.setattr(folder_writer, "OPEN_FILES", 2)
    frame = pl.DataFrame({"x": range(9_000)}).with_columns(k=pl.col("x") // 1000)
    run(FileSink.of(tmp_path / "parts", partition_by="k"), frame)
    for k in range(9):
        part = pl.read_parquet(tmp_path / "parts" / f"k={k}" / "part-00000.parquet")
        assert part["x"].to_list() == list(range(k * 1000, (k + 1) * 1000))
    assert len(list(tmp_path.rglob("*.parquet"))) == 9


@pytest.mark.untraced
@pytest.mark.parametrize("options", [{}, {"partition_by": "k", "max_bytes_per_file": 1000}])
def test_a_batch_that_fills_many_files_keeps_few_encoders(tmp_path, monkeypatch, options):
    """Each encoder holds a thread of Polars' too, of which there are 512: beyond that, all of them wait for ever."""
    monkeypatch.setattr(file_writer, "ENDING_FILES", 3)
    alive, others = [], {*threading.enumerate()}
    new_sink = folder_writer.FolderWriter._new_sink

    def counted(self, partition):
        started = {*threading.enumerate()} - others
        alive.append(sum(thread.name == "arrowstream-encoder" for thread in started))
        return new_sink(self, partition)

    monkeypatch.setattr(folder_writer.FolderWriter, "_new_sink", counted)
    frame = pl.DataFrame({"x": range(30), "k": [1] * 30})
    run(FileSink.of(f"{tmp_path}/parts/", format="csv", max_rows_per_file=1, **options), frame)
    assert len(alive) == 30 and max(alive) <= 4
    assert sorted(pl.read_csv(part)["x"].item() for part in tmp_path.rglob("*.csv")) == list(range(30))


def test_a_file_that_fails_to_end_while_a_batch_is_taken_fails_the_next_call(tmp_path, monkeypatch):
    monkeypatch.setattr(file_writer, "ENDING_FILES", 0)
    full = [True]

    class Failing(folder_writer.GrowingFile):
        def end(self, *content):
            with file_errors.sink_errors("cannot finish", tmp_path):
                if full:
                    raise OSError(errno.ENOSPC, "No space left on device")
            super().end(*content)

    monkeypatch.setattr(folder_writer, "GrowingFile", Failing)
    rows = pl.DataFrame({"x": range(5)})
    writer = FileSink.of(f"{tmp_path}/parts/", format="csv", max_rows_per_file=1).open(rows.schema, context())
    writer.write(Batch(rows))  # takes the rows
    with pytest.raises(SinkError, match="No space left"):
        writer.write(Batch(rows + 5))  # does not
    full.clear()
    writer.write(Batch(rows + 5))
    publish(writer)
    assert [pl.read_csv(part)["x"].item() for part in sorted(tmp_path.rglob("*.csv"))] == list(range(10))


def test_a_partition_whose_last_rows_fill_its_file(tmp_path, monkeypatch):
    monkeypatch.setattr(resolved, "unit_rows", lambda format: 10)
    frame = pl.DataFrame({"x": range(25), "k": [1] * 25})
    writer = FileSink.of(tmp_path / "parts", partition_by="k", max_rows_per_file=25).open(
        frame.schema, context()
    )
    writer.write(Batch(frame))
    publish(writer)
    (part,) = tmp_path.rglob("*.parquet")
    assert pl.read_parquet(part)["x"].to_list() == list(range(25))


def test_many_small_partitions_are_synced_together(tmp_path):
    frame = pl.DataFrame({"x": range(200)}).with_columns(k=pl.col("x"))
    run(FileSink.of(tmp_path / "parts", partition_by="k", format="csv"), frame)
    assert (tmp_path / "parts" / "k=7" / "part-00000.csv").read_text() == "x\n7\n"


def test_a_system_without_syncfs_syncs_every_file(tmp_path, monkeypatch):
    monkeypatch.setattr(staging.ctypes, "CDLL", lambda *_, **__: object())
    frame = pl.DataFrame({"x": range(200)}).with_columns(k=pl.col("x"))
    run(FileSink.of(tmp_path / "parts", partition_by="k", format="csv"), frame)
    assert len(list(tmp_path.rglob("*.csv"))) == 200


def test_a_file_system_that_fails_to_sync_ends_the_run(tmp_path, monkeypatch):
    class Broken:
        @staticmethod
        def syncfs(handle):
            ctypes.set_errno(errno.EIO)
            return -1

    monkeypatch.setattr(staging.ctypes, "CDLL", lambda *_, **__: Broken)
    frame = pl.DataFrame({"x": range(200)}).with_columns(k=pl.col("x"))
    with pytest.raises(SinkError, match="cannot finish") as caught:
        run(FileSink.of(tmp_path / "parts", partition_by="k", format="csv"), frame)
    assert caught.value.found == "Input/output error"
    assert tree(tmp_path) == {}


def test_what_the_system_says_about_a_sync_that_fails_is_passed_on(tmp_path, monkeypatch):
    opened = os.open
    # Such a descriptor names a folder, and cannot be synced.
    monkeypatch.setattr(os, "open", lambda path, flags: opened(path, os.O_PATH))
    with pytest.raises(OSError) as caught, staging.synced(tmp_path):
        pass
    assert caught.value.errno == errno.EBADF and caught.value.filename == str(tmp_path)


def test_missing_folder_of_a_file(tmp_path):
    with pytest.raises(SinkError) as caught:
        FileSink.of(tmp_path / "nope" / "out.parquet").open(ROWS.schema, context())
    assert caught.value.what == f"cannot write to {tmp_path}/nope/out.parquet"
    assert "create the folder first" in caught.value.hint
    assert tree(tmp_path) == {}


def test_a_file_as_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    for path in ("file/out.parquet", "file/parts/"):
        with pytest.raises(SinkError) as caught:
            FileSink.of(f"{tmp_path}/{path}").open(ROWS.schema, context())
        assert caught.value.hint == "a part of the path is a file, not a folder"
    with pytest.raises(SinkError, match="file is a file"):
        FileSink.of(f"{tmp_path}/file", partition_by="k").open(ROWS.schema, context())


def test_a_place_that_cannot_be_written_to():
    with pytest.raises(SinkError, match=r"cannot write to /proc/out\.parquet"):
        FileSink.of("/proc/out.parquet").open(ROWS.schema, context())


def test_a_folder_that_takes_the_place_of_the_file(tmp_path):
    sink = FileSink.of(tmp_path / "out.parquet")
    assert sink._place_kind == "file"
    (tmp_path / "out.parquet").mkdir()
    with pytest.raises(SinkError, match="is a folder"):
        StagedFile(tmp_path / "out.parquet")


def test_a_value_too_long_for_a_folder_name(tmp_path):
    with pytest.raises(SinkError, match="File name too long") as caught:
        run(FileSink.of(tmp_path / "p", partition_by="k"), ROWS.with_columns(k=pl.lit("y" * 300)))
    assert "shorten the name" in caught.value.hint
    assert tree(tmp_path) == {}


def test_unknown_errors_have_no_hint(tmp_path):
    with pytest.raises(SinkError) as caught, file_errors.sink_errors("cannot write", tmp_path):
        raise OSError("odd")
    assert (caught.value.found, caught.value.hint) == ("odd", None)


def test_data_in_the_folder_is_refused_without_overwrite(tmp_path):
    (tmp_path / "k=a").mkdir()
    (tmp_path / "k=a" / "old.csv").write_text("x\n1\n")
    with pytest.raises(SinkError) as caught:
        FileSink.of(tmp_path).open(ROWS.schema, context())
    assert caught.value.what == f"{tmp_path} already holds data files"
    assert caught.value.found == "1 file, such as k=a/old.csv"
    assert "overwrite=True" in caught.value.hint


def old_files(folder):
    """Data of an earlier run, and things that are not a sink's business."""
    for name in ("part-00000.parquet", "part-00001.parquet", "k=z/x=1/part-00000.parquet", "k=a/old.parquet"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        ROWS.select("x").write_parquet(path)
    for name in ("k=a/other.md", "notes.txt", "_meta.parquet", ".hidden.parquet", "sub/keep.parquet"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("kept")


KEPT = {"k=a", "k=a/other.md", "notes.txt", "_meta.parquet", ".hidden.parquet", "sub", "sub/keep.parquet"}


@pytest.mark.parametrize(
    ("options", "new"),
    [
        ({"max_rows_per_file": 2}, {"part-00000.parquet", "part-00001.parquet"}),
        ({"partition_by": ["k"]}, {f"k={k}/part-00000.parquet" for k in "abc"} | {"k=b", "k=c"}),
    ],
)
def test_overwrite_replaces_the_data_files_of_the_format(options, new, tmp_path):
    old_files(tmp_path)
    run(FileSink.of(tmp_path, overwrite=True, **options))
    after = tree(tmp_path)
    assert set(after) == KEPT | new
    assert sorted(pl.concat(pl.read_parquet(tmp_path / p) for p in new if "part" in p)["x"]) == [1, 2, 3, 4]
    assert after["sub/keep.parquet"] == b"kept"


def test_overwriting_data_of_another_format_is_refused(tmp_path):
    (tmp_path / "mine.csv").write_text("x\n1\n")
    ROWS.write_parquet(tmp_path / "part-00000.parquet")
    with pytest.raises(SinkError) as caught:
        FileSink.of(tmp_path, overwrite=True).open(ROWS.schema, context())
    assert caught.value.found == "1 other, such as mine.csv (csv)"
    assert set(tree(tmp_path)) == {"mine.csv", "part-00000.parquet"}


@pytest.mark.once
@pytest.mark.parametrize("options", [{"max_rows_per_file": 1}, {"partition_by": ["k"]}])
def test_overwriting_never_leaves_less_than_one_of_both_sets(options, tmp_path):
    """Whatever call fails, all old rows or all new ones can be read."""
    for number in range(1, 200):
        folder = tmp_path / str(number)
        folder.mkdir()
        old_files(folder)
        old = {p for p in tree(folder) if p.endswith("part-00000.parquet") or "old" in p or "00001" in p}
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch, number)
            patch.setattr(Path, "unlink", fail_at(disk, Path.unlink))
            try:
                run(FileSink.of(folder, overwrite=True, **options))
            except SinkError as error:
                message = error.what
        if not disk.failed:
            break
        after = {p for p in tree(folder) if "part-" in p or "old" in p}
        contents = [pl.read_parquet(folder / p, hive_partitioning=False) for p in after - old]
        new_rows = sorted(x for frame in contents for x in frame["x"]) if contents else []
        complete = "all new files are in place" in message
        if complete:
            # Some of the new ones may already have the name of an old one, which then is gone.
            assert len([p for p in after if "part-" in p]) >= 3
        else:
            assert old <= after
            assert new_rows == []
    assert number > 10


def fail_at(disk, call):
    def maybe(path, missing_ok=False):
        # Removing what was staged goes with missing_ok; only old files are counted here.
        if not missing_ok:
            disk.left -= 1
            if disk.left == 0:
                disk.failed = True
                raise OSError(errno.ENOSPC, "No space left on device")
        return call(path, missing_ok=missing_ok)

    return maybe


def test_a_file_that_came_meanwhile_is_not_overwritten(place):
    sink = FileSink.of(place / "there")
    writer = sink.open(ROWS.schema, context())
    writer.write(Batch(ROWS))
    (place / "there" / "part-00000.parquet").write_text("somebody else's")
    before = {p: data for p, data in tree(place).items() if "inprogress" not in p}
    with pytest.raises(SinkError, match="was not there when this run began"):
        publish(writer)
    writer.abort()
    assert tree(place) == before


def test_a_folder_that_came_meanwhile_is_not_replaced(tmp_path):
    writer = FileSink.of(f"{tmp_path}/new/").open(ROWS.schema, context())
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "theirs").write_text("")
    with pytest.raises(SinkError, match="cannot finish"):
        publish(writer)
    writer.abort()
    assert set(tree(tmp_path)) == {"new", "new/theirs"}


def test_an_empty_folder_that_came_meanwhile_gets_the_files(tmp_path):
    writer = FileSink.of(f"{tmp_path}/new/").open(ROWS.schema, context())
    writer.write(Batch(ROWS))
    (tmp_path / "new").mkdir()
    publish(writer)
    assert pl.read_parquet(tmp_path / "new").equals(ROWS)


def test_leftovers_of_another_run_are_named_and_removed(tmp_path, caplog):
    left = [tmp_path / ".out.csv.1-ab.inprogress", tmp_path / "there" / ".1-ab.inprogress"]
    left[1].mkdir(parents=True)
    left[0].write_text("half")
    for path in ("out.csv", "there/"):
        run(FileSink.of(f"{tmp_path}/{path}"))
    assert not any(path.exists() for path in left)
    assert [str(path) in record.message for path, record in zip(left, caplog.records, strict=True)] == [
        True
    ] * 2


@pytest.mark.parametrize("target", ["out", "out.csv", "there/", "out/"])
def test_what_this_run_writes_beside_and_what_others_left_of_other_targets_is_no_leftover(
    target, tmp_path, caplog
):
    (tmp_path / "there").mkdir()
    others = [".out3.1-ab.inprogress", ".out.csv.worse.1-ab.inprogress", "there/.out.1-ab.inprogress"]
    for other in others:
        (tmp_path / other).write_text("half")
    mine = [
        FileSink.of(tmp_path / name, format="csv").open(ROWS.schema, context())
        for name in ("out.csv", "out.csv.bad", "out2")
    ]
    again = FileSink.of(f"{tmp_path}/{target}", format="csv").open(ROWS.schema, context())
    assert caplog.records == []
    for writer in (*mine, again):
        writer.abort()


def test_what_cannot_be_removed_is_logged(tmp_path, caplog, monkeypatch):
    writer = FileSink.of(tmp_path / "out.csv").open(ROWS.schema, context())

    def fail(path, missing_ok=False):
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(Path, "unlink", fail)
        writer.abort()
    assert "could not be removed: [Errno 30] Read-only file system" in caplog.text
