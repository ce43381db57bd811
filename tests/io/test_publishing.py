"""A folder that is replaced shows old files or new ones, whenever the run is killed; the rest is finished later."""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl
import pytest
from contexts import context

from arrowstream import Pipeline, Sink, Source
from arrowstream.core.batch import Batch
from arrowstream.errors import SinkError, SourceError
from arrowstream.io.files.sink import FileSink
from arrowstream.io.files.staging import claim, exchange, filled_folder
from arrowstream.io.files.staging.journal import Journal, Move, finish_interrupted

pytestmark = pytest.mark.once

OLD = pl.DataFrame({"k": ["a", "b", "c"], "v": [1, 1, 1]})
NEW = pl.DataFrame({"k": ["b", "c", "d"], "v": [2, 2, 2]})

KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.append(sys.argv[3])
from contexts import context
import polars as pl
from arrowstream.core.batch import Batch
from arrowstream.io.files.sink import FileSink
from arrowstream.io.files.staging import filled_folder, journal

def counted(owner, name):
    call = getattr(owner, name)
    def maybe(*arguments, **options):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    setattr(owner, name, maybe)

def prepared(target, version, keys):
    rows = pl.DataFrame({"k": keys, "v": [version] * 3})
    writer = FileSink.of(target, partition_by="k", overwrite=True).open(rows.schema, context())
    writer.write(Batch(rows))
    writer.prepare(0)
    return writer

number, ended = 0, 1
while ended:
    number += 1
    target = Path(sys.argv[1], str(number), "out")
    target.mkdir(parents=True)
    prepared(target, 1, ["a", "b", "c"]).commit({})
    writer, left = prepared(target, 2, ["b", "c", "d"]), [number]
    (target / "k=b" / "late.txt").write_text("from somebody else")
    child = os.fork()
    if not child:
        if sys.argv[2] == "one by one":
            filled_folder.exchange = lambda one, other: False
        for name in ("fsync", "unlink", "rmdir", "rename", "replace", "open", "link"):
            counted(os, name)
        counted(filled_folder, "exchange")
        counted(journal, "move_new")
        writer.commit({})
        os._exit(0)
    ended = os.waitpid(child, 0)[1]
"""


def write(path, rows=NEW, **options):
    writer = FileSink.of(path, partition_by="k", **options).open(rows.schema, context())
    try:
        writer.write(Batch(rows))
        writer.commit(writer.prepare(0))
    except BaseException:
        writer.abort()
        raise


def read(path):
    return Pipeline.builder().source(Source.from_file(path)).collect_sync().sort("k").select("k", "v")


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


def contents(folder):
    """The rows that any reader of the folder finds."""
    files = [path for path in Path(folder).rglob("*.parquet") if not any(p[0] == "." for p in path.parts[1:])]
    return sorted(v for path in files for v in pl.read_parquet(path, hive_partitioning=False)["v"])


def killed(folder, how):
    """Folders whose overwrite was killed at the first call that changes something, the second, ..., and at none."""
    subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), how, str(Path(__file__).parents[1])],
        timeout=110,
        check=True,
    )
    return [folder / str(number) / "out" for number in range(1, 1 + len(listed(folder)))]


def test_an_overwrite_that_is_killed_at_any_call_shows_all_old_rows_or_all_new_ones(tmp_path):
    folders = killed(tmp_path, "exchanged")
    for folder in folders:
        assert contents(folder) in ([1, 1, 1], [2, 2, 2])
        assert read(folder).equals(OLD if contents(folder) == [1, 1, 1] else NEW)
        assert (folder / "k=b" / "late.txt").read_text() == "from somebody else"
    assert len(folders) > 4
    assert contents(folders[0]) == [1, 1, 1] and contents(folders[-1]) == [2, 2, 2]
    finished = 0
    for folder in folders:
        before = contents(folder)
        for record in folder.parent.glob(
            ".out.*/.*.replacing"
        ):  # it is killed between the exchange and its end
            finished += 1
            (record.parent / "k=b").mkdir(exist_ok=True)
            (record.parent / "k=b" / "later.txt").write_text("from somebody else")
        deleted = finished % 2 == 1  # nothing of a folder that is deleted comes back
        if deleted:
            shutil.rmtree(folder)
        write(folder, mode="append")
        assert contents(folder) == sorted([*([] if deleted else before), 2, 2, 2])
        assert deleted or (folder / "k=b" / "late.txt").read_text() == "from somebody else"
        assert listed(folder.parent) == ["out"] and not list(folder.rglob(".*"))
    assert finished > 2 and len(list(tmp_path.rglob("later.txt"))) == finished
    write(folders[1], OLD, overwrite=True)
    assert read(folders[1]).equals(OLD)


def test_where_files_move_one_by_one_a_kill_is_noticed_and_the_next_run_finishes_the_work(tmp_path, caplog):
    refused = 0
    folders = killed(tmp_path, "one by one")
    for folder in folders:
        try:
            found = read(folder)
        except SourceError as error:
            refused += 1
            assert "is not complete" in error.what
            with pytest.raises(SinkError, match="already holds data files"):
                write(folder, OLD)
            found = read(folder)
            assert found.equals(NEW)
        assert found.equals(OLD) or found.equals(NEW)
        assert contents(folder) in ([1, 1, 1], [2, 2, 2])
        assert (folder / "k=b" / "late.txt").read_text() == "from somebody else"
        write(folder, mode="append")
        assert not list(folder.parent.rglob(".*"))
    assert len(folders) > 10 and refused > 5
    assert "a run was killed while it published; its 3 files are now in place" in caplog.text


@pytest.fixture
def one_by_one(monkeypatch):
    monkeypatch.setattr(filled_folder, "exchange", lambda one, other: False)


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_nothing_but_the_new_files_is_left(tmp_path, one_by_one):
    write(tmp_path / "out", OLD)
    write(tmp_path / "out", overwrite=True)
    assert read(tmp_path / "out").equals(NEW)
    assert names(tmp_path) == [
        "out",
        *(f"out/k={k}{name}" for k in "bcd" for name in ("", "/part-00000.parquet")),
    ]


def test_a_folder_with_a_folder_that_is_no_partition_is_not_exchanged(tmp_path, monkeypatch):
    monkeypatch.setattr(filled_folder, "exchange", lambda one, other: pytest.fail("exchanged"))
    write(tmp_path / "out", OLD)
    (tmp_path / "out" / "sub").mkdir()
    (tmp_path / "out" / "k=b" / "notes.txt").write_text("kept")
    write(tmp_path / "out", overwrite=True)
    assert read(tmp_path / "out").equals(NEW)
    assert (tmp_path / "out" / "sub").is_dir() and (tmp_path / "out" / "k=b" / "notes.txt").exists()


@pytest.mark.parametrize("obstacle", ["fifo", "no links"])
def test_what_cannot_be_linked_stays_where_it_is(tmp_path, monkeypatch, obstacle):
    write(tmp_path / "out", OLD)
    (tmp_path / "out" / "notes.txt").write_text("kept")
    if obstacle == "fifo":
        os.mkfifo(tmp_path / "out" / "pipe")
    else:

        def refuse(*arguments, **options):
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    identity = (tmp_path / "out").stat().st_ino
    write(tmp_path / "out", overwrite=True)
    assert (tmp_path / "out").stat().st_ino == identity
    assert (tmp_path / "out" / "notes.txt").read_text() == "kept"
    assert read(tmp_path / "out").equals(NEW)
    assert not [name for name in names(tmp_path) if "inprogress" in name or "publishing" in name]


def test_other_files_and_links_are_in_the_new_folder(tmp_path):
    write(tmp_path / "out", OLD)
    (tmp_path / "out" / "notes.txt").write_text("kept")
    (tmp_path / "out" / "k=a" / "more.txt").write_text("kept")
    (tmp_path / "out" / "link").symlink_to("notes.txt")
    identity = (tmp_path / "out").stat().st_ino
    write(tmp_path / "out", overwrite=True)
    assert (tmp_path / "out").stat().st_ino != identity
    assert {"notes.txt", "link", "k=a/more.txt"} <= set(names(tmp_path / "out"))
    assert (tmp_path / "out" / "link").read_text() == "kept" and (tmp_path / "out" / "link").is_symlink()


def test_the_current_folder_is_not_exchanged(tmp_path, monkeypatch):
    (tmp_path / "out" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "out")
    for path in (".", "./", str(tmp_path / "out"), ".."):
        write(path, overwrite=True)
    assert Path("k=b").is_dir() and Path("../k=b").is_dir()


def test_a_partition_that_is_a_link_to_another_file_system_gets_a_copy(tmp_path):
    if Path("/dev/shm").stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("one file system only")
    other = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        write(tmp_path / "out", OLD)
        for old in (tmp_path / "out" / "k=b").iterdir():
            old.unlink()
        (tmp_path / "out" / "k=b").rmdir()
        (tmp_path / "out" / "k=b").symlink_to(other)
        write(tmp_path / "out", overwrite=True)
        assert read(tmp_path / "out").equals(NEW)
        assert listed(other) == ["part-00000.parquet"]
        writer = FileSink.of(tmp_path / "out", partition_by="k", overwrite=True).open(OLD.schema, context())
        writer.write(Batch(OLD))
        writer.prepare(0)
        assert len(listed(other)) == 2
        writer.abort()
        assert read(tmp_path / "out").equals(NEW)
        assert listed(other) == ["part-00000.parquet"]
    finally:
        for path in other.iterdir():
            path.unlink()
        other.rmdir()


def journal_in(folder, moves=(), old=()):
    written = Journal(folder, "1-ab", folder / ".1-ab.inprogress")
    written.begin(moves, old)
    return written


def test_a_run_that_publishes_is_waited_for_by_nobody_but_noticed_by_all(tmp_path):
    write(tmp_path / "out", OLD)
    running = journal_in(tmp_path / "out")
    for path in (tmp_path / "out", f"{tmp_path}/**/*.parquet", f"{tmp_path}/out/*/*.parquet"):
        with pytest.raises(SourceError, match="a run publishes files into it"):
            read(path)
    with pytest.raises(SinkError, match="another run is publishing"):
        write(tmp_path / "out", overwrite=True)
    running.end()
    running.end()
    assert read(tmp_path / "out").equals(OLD)


def test_a_journal_in_a_partition_stops_an_overwrite_of_the_folder_around_it(tmp_path):
    write(tmp_path / "out", OLD)
    journal_in(tmp_path / "out" / "k=a").leave()
    with pytest.raises(SinkError, match="is not complete"):
        write(tmp_path / "out", overwrite=True)


def test_a_journal_whose_files_are_gone_is_not_followed(tmp_path):
    write(tmp_path / "out", OLD)
    gone = tmp_path / "out" / "gone.parquet"
    old = tmp_path / "out" / "k=a" / "part-00000.parquet"
    journal_in(
        tmp_path / "out", [Move(tmp_path / "out" / ".1-ab.inprogress" / "gone.parquet", gone, gone)], [old]
    ).leave()
    with pytest.raises(SinkError, match="the rest is lost") as caught:
        write(tmp_path / "out", overwrite=True)
    assert old.exists() and "publishing" in caught.value.hint


@pytest.mark.parametrize("path", ["/etc/passwd", "../other/x", "a/../../x", "../.1-ab.inprogress/../x"])
def test_a_journal_that_names_a_file_outside_is_not_followed(tmp_path, path):
    (tmp_path / "out").mkdir()
    forged = {"staged": ".1-ab.inprogress", "moves": [], "old": [path]}
    (tmp_path / "out" / ".1-ab.publishing").write_text(json.dumps(forged))
    with pytest.raises(SinkError, match="names a file outside"):
        finish_interrupted(tmp_path / "out")


def test_a_journal_that_cannot_be_written_stops_the_run_before_anything_is_visible(
    tmp_path, one_by_one, monkeypatch
):
    write(tmp_path / "out", OLD)
    before = names(tmp_path)
    writer = FileSink.of(tmp_path / "out", partition_by="k", overwrite=True).open(NEW.schema, context())
    writer.write(Batch(NEW))
    writer.prepare(0)
    monkeypatch.setattr(filled_folder.Replaced, "write", lambda *_: None)  # the record before an exchange
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))  # room for a part of the journal
    try:
        with pytest.raises(SinkError, match="File too large"):
            writer.commit({})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    writer.abort()
    assert names(tmp_path) == before and read(tmp_path / "out").equals(OLD)


def test_a_failure_while_old_files_go_is_finished_by_the_next_run(tmp_path, one_by_one, monkeypatch):
    write(tmp_path / "out", OLD)

    def refuse(self, missing_ok=False):
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        with pytest.raises(SinkError, match="all new files are in place, but old ones may still be"):
            write(tmp_path / "out", overwrite=True)
    with pytest.raises(SourceError, match="is not complete"):
        read(tmp_path / "out")
    finish_interrupted(tmp_path / "out")
    assert read(tmp_path / "out").equals(NEW)


def test_a_journal_that_another_run_finishes_first_is_left_alone(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    written = tmp_path / "out" / ".1-ab.publishing"
    written.write_text("not even read")
    monkeypatch.setattr(claim.fcntl, "flock", lambda file, how: written.unlink())
    finish_interrupted(tmp_path / "out")
    assert listed(tmp_path / "out") == []


def test_committing_again_changes_nothing(tmp_path):
    writer = FileSink.of(tmp_path / "out.csv").open(NEW.schema, context())
    writer.write(Batch(NEW))
    handle = writer.prepare(0)
    writer.commit(handle)
    (tmp_path / "out.csv").unlink()
    writer.commit(handle)
    assert listed(tmp_path) == []


def test_systems_that_cannot_exchange_folders(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert not exchange.exchange(tmp_path / "a", tmp_path / "missing")
    monkeypatch.setattr(exchange.ctypes, "CDLL", lambda name, **options: object())
    assert not exchange.exchange(tmp_path / "a", tmp_path / "b")


def test_several_files_of_one_run_are_prepared_before_any_is_seen(tmp_path):
    writers = [Sink.to_file(tmp_path / name).open(NEW.schema, context()) for name in ("a.csv", "b.parquet")]
    writers.append(Sink.to_file(f"{tmp_path}/c/", partition_by="k").open(NEW.schema, context()))
    for writer in writers:
        writer.write(Batch(NEW))
        writer.prepare(0)
    assert all(name[0] == "." for name in listed(tmp_path))
    for writer in writers:
        writer.commit({})
    assert listed(tmp_path) == ["a.csv", "b.parquet", "c"]
