"""Several writers of one folder: nothing is removed that was not there when the run began to write."""

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import polars as pl
import pytest
from contexts import context

from arrowstream.core.batch import Batch
from arrowstream.errors import SinkError
from arrowstream.io.files.sink import FileSink
from arrowstream.io.files.staging import claim, contents, exchange, filled_folder, lock

pytestmark = pytest.mark.once

ADDS = """
import sys, time
import polars as pl
from arrowstream import Pipeline, Sink, Source
rows = pl.DataFrame({"k": [sys.argv[2] + str(number % 40) for number in range(400)], "v": range(400)})
run = Pipeline.builder().source(Source.from_frame(rows)).sink(Sink.to_file(sys.argv[1], partition_by="k")).build()
print(flush=True)
sys.stdin.readline()
run.run_sync()
"""


@pytest.fixture(params=["exchanged", "one by one"])
def out(request, tmp_path, monkeypatch):
    """An empty folder, published in both ways."""
    if request.param == "one by one":
        monkeypatch.setattr(filled_folder, "exchange", lambda one, other: False)
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def prepared(folder, keys, **options):
    rows = pl.DataFrame({"k": list(keys), "v": [options.pop("v", 1)] * len(keys)})
    writer = FileSink.of(folder, partition_by="k", **options).open(rows.schema, context())
    writer.write(Batch(rows))
    writer.prepare(0)
    return writer


def write(folder, keys, **options):
    prepared(folder, keys, **options).commit({})


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def listed(folder):
    return [path.name for path in folder.iterdir()]


def parts(keys):
    return [f"k={key}/part-00000.parquet" for key in keys]


def test_what_appears_before_the_commit_stays(out):
    (out / "notes.txt").write_text("first")
    (out / "gone.txt").write_text("")
    writer = prepared(out, "ab")
    (out / "k=a").mkdir(exist_ok=True)
    (out / "k=a" / "late.txt").write_text("late")
    (out / "gone.txt").unlink()
    (out / "newer.txt").write_text("second")
    (out / "newer.txt").replace(out / "notes.txt")
    writer.commit({})
    assert names(out) == ["k=a/late.txt", *parts("ab"), "notes.txt"]
    assert (out / "notes.txt").read_text() == "second"
    assert listed(out.parent) == ["out"]


def test_what_cannot_be_linked_and_appears_before_the_commit_stays(out):
    writer = prepared(out, "ab")
    os.mkfifo(out / "pipe")
    writer.commit({})
    assert names(out) == [*parts("ab"), "pipe"]


def test_two_runs_that_add_to_one_folder_both_keep_their_rows(out):
    first, second = prepared(out, "ab"), prepared(out, "cd")
    second.commit({})
    first.commit({})
    assert names(out) == parts("abcd")
    assert listed(out.parent) == ["out"]


@pytest.mark.untraced
def test_processes_that_add_to_one_folder_at_once_all_keep_their_rows(tmp_path):
    (tmp_path / "out").mkdir()
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", ADDS, str(tmp_path / "out"), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for name in "ABC"
    ]
    for run in runs:
        run.stdout.readline()
    for run in runs:
        run.stdin.write(b"\n")
        run.stdin.flush()
    for run, name in zip(runs, "ABC", strict=True):
        run.communicate(timeout=110)
        assert len(list((tmp_path / "out").glob(f"k={name}*/*.parquet"))) == (0 if run.returncode else 40)
    assert not all(run.returncode for run in runs)


def test_a_run_whose_names_another_one_has_taken_fails_and_removes_nothing(out):
    writer = prepared(out, "ab")
    write(out, "bc", v=2)
    with pytest.raises(SinkError, match="was not there when this run began"):
        writer.commit({})
    writer.abort()
    assert names(out) == parts("bc")
    assert pl.read_parquet(out / parts("b")[0], hive_partitioning=False)["v"].to_list() == [2]


def test_of_two_runs_that_replace_the_same_files_the_second_fails(out):
    write(out, "ab")
    first, second = prepared(out, "b", overwrite=True, v=1), prepared(out, "bc", overwrite=True, v=2)
    second.commit({})
    with pytest.raises(SinkError, match="has changed since this run began"):
        first.commit({})
    first.abort()
    assert names(out) == parts("bc")
    assert pl.read_parquet(out / parts("b")[0], hive_partitioning=False)["v"].to_list() == [2]


def at_the_exchange(monkeypatch, act):
    def late(one, other):
        act()
        return exchange.exchange(one, other)

    monkeypatch.setattr(filled_folder, "exchange", late)


def test_what_appears_just_before_the_exchange_is_moved_into_the_new_folder(tmp_path, monkeypatch):
    out = tmp_path / "out"
    write(out, "ab")
    (out / "notes.txt").write_text("first")

    def act():
        (out / "late.txt").write_text("late")
        (out / "k=z").mkdir()
        (out / "k=z" / "late.txt").write_text("late")
        (out / "sub").mkdir()
        (out / "sub" / "deep.txt").write_text("late")
        (out / "newer.txt").write_text("second")
        (out / "newer.txt").replace(out / "notes.txt")

    at_the_exchange(monkeypatch, act)
    write(out, "bc", overwrite=True)
    assert names(out) == [*parts("bc"), "k=z/late.txt", "late.txt", "notes.txt", "sub/deep.txt"]
    assert (out / "notes.txt").read_text() == "second"
    assert listed(tmp_path) == ["out"]


def test_a_file_whose_name_is_taken_in_the_new_folder_stays_in_the_old_one(tmp_path, monkeypatch):
    out = tmp_path / "out"
    write(out, "a")
    (late := out / "k=b").mkdir()
    at_the_exchange(monkeypatch, lambda: (late / "part-00000.parquet").write_text("theirs"))
    writer = prepared(out, "b", overwrite=True)
    with pytest.raises(SinkError, match="other files appeared there meanwhile"):
        writer.commit({})
    writer.abort()
    (hidden,) = (path for path in tmp_path.iterdir() if path != out)
    assert names(hidden) == parts("b") and (hidden / parts("b")[0]).read_text() == "theirs"
    assert names(out) == parts("b")
    (hidden / parts("b")[0]).replace(out / "theirs")
    writer.commit({})
    assert listed(tmp_path) == ["out"] and names(out) == [*parts("b"), "theirs"]


def test_a_folder_that_files_never_stop_to_appear_in_is_left(tmp_path, monkeypatch):
    out = tmp_path / "out"
    write(out, "a")

    def restless(folders):
        (folders[-1] / f"{time.monotonic_ns()}.txt").write_text("")

    monkeypatch.setattr(contents, "remove_empty", restless)
    write(out, "b", overwrite=True)
    (hidden,) = (path for path in tmp_path.iterdir() if path != out)
    assert len(names(hidden)) == 1 and len(names(out)) == 3


def test_links_follow_what_others_do_in_the_folder(tmp_path):
    folder, new = tmp_path / "folder", tmp_path / "new"
    for each in (folder, new):
        each.mkdir()
    for name in ("same", "replaced", "gone"):
        (folder / name).write_text("first")
    found = contents.Contents(folder, new, {})
    assert found.carry_over()
    (folder / "gone").unlink()
    for name in ("other", "came"):
        (folder / name).write_text("second")
    (folder / "other").rename(folder / "replaced")
    assert found.carry_over()
    linked = {path.name: path.read_text() for path in new.iterdir()}
    assert linked == {"same": "first", "replaced": "second", "came": "second"}


def test_a_folder_that_cannot_be_listed_is_not_exchanged(tmp_path, monkeypatch):
    def refuse(folder, onerror):
        onerror(PermissionError(errno.EACCES, "Permission denied"))

    found = contents.Contents(tmp_path, tmp_path, {})
    monkeypatch.setattr(os, "walk", refuse)
    assert not found.carry_over()


def test_a_run_waits_until_the_other_has_published(out):
    writer = prepared(out, "a")
    thread = threading.Thread(target=writer.commit, args=({},))
    with lock.locked(out):
        thread.start()
        time.sleep(0.1)
        assert names(out) == [] or all("inprogress" in name for name in names(out))
    thread.join(60)
    assert names(out) == parts("a")


def test_a_run_waits_no_longer_than_its_patience(out, monkeypatch):
    writer = prepared(out, "a")
    monkeypatch.setattr(lock, "PATIENCE", 0.05)
    with lock.locked(out), pytest.raises(SinkError, match="another run is publishing"):
        writer.commit({})
    writer.abort()
    assert names(out) == []


def test_where_nothing_can_be_locked_files_are_published_all_the_same_and_leftovers_stay(
    out, monkeypatch, caplog
):
    def refuse(handle, how):
        raise OSError(errno.EBADF, "Bad file descriptor")

    left = out.parent / ".out.1-ab.inprogress"
    left.mkdir()
    monkeypatch.setattr(claim.fcntl, "flock", refuse)
    write(out, "a")
    assert names(out) == parts("a") and left.is_dir()
    assert f"{left}: unfinished, from a run that was killed or still writes" in caplog.text


@pytest.mark.parametrize("system", ["Linux", "other"])
def test_a_move_replaces_nothing(tmp_path, monkeypatch, system):
    if system == "other":
        monkeypatch.setattr(exchange.ctypes, "CDLL", lambda name, **options: object())
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    with pytest.raises(FileExistsError):
        exchange.move_new(tmp_path / "a", tmp_path / "b")
    exchange.move_new(tmp_path / "a", tmp_path / "c")
    assert [Path(tmp_path, name).read_text() for name in ("b", "c")] == ["b", "a"]
