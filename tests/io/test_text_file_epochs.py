"""One CSV or NDJSON file in runs with checkpoints: rows are appended, and cut off where an epoch comes again."""

import os
from pathlib import Path

import polars as pl
import pytest
from epoch_sinks import Job, killed_at

from arrowstream.core.checkpoints.failpoints import Failpoint
from arrowstream.errors import ArrowstreamError, CheckpointError, SinkError
from arrowstream.io.files.sink import FileSink

pytestmark = pytest.mark.once


def rows(begin: int, end: int) -> pl.DataFrame:
    return pl.DataFrame({"x": range(begin, end), "s": "é\n"}, schema={"x": pl.Int64, "s": pl.String})


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    return tmp_path / "out.csv"


def job(path: Path, state: str = "state", mode: str | None = None) -> Job:
    return Job(FileSink.of(path, mode=mode), path.parent / state, rows)


def whole(begin: int, end: int, header: bool = True) -> bytes:
    return rows(begin, end).write_csv(include_header=header).encode()


@pytest.mark.parametrize("cuts", [[6], [1, 2, 3], [0, 2, 0, 4], [5, 1, 0]])
def test_the_file_is_that_of_a_run_in_one_go(cuts, csv):
    job(csv).play([*(step for cut in cuts for step in (cut, (0,))), "close"])
    assert csv.read_bytes() == whole(0, 6)


def test_a_stream_without_rows_leaves_the_header(csv):
    written = job(csv)
    written.play([(0,)])
    assert csv.read_bytes() == b"x,s\n"
    written.play([2, "close"])
    assert csv.read_bytes() == whole(0, 2)
    ndjson = csv.with_suffix(".ndjson")
    job(ndjson, "other").play([(0,), "close"])
    assert ndjson.read_bytes() == b""


@pytest.mark.parametrize("mode", [None, "append"])
@pytest.mark.parametrize("old", [b'x,s\n7,"a"\n', b'x,s\r\n7,"a"\r\n', b"x,s\n7,a", b"x,s"])
def test_rows_are_added_to_those_of_others_as_the_file_ends_its_lines(mode, old, csv):
    csv.write_bytes(old)
    written = job(csv, mode=mode)
    written.play([1, (0,), 1, "complete"])
    written.play([1, "close"])
    content = csv.read_bytes()
    assert content.startswith(old) and content.count(b"x,s") == 1
    assert pl.read_csv(csv)["x"].to_list() == [*([7] if b"7" in old else []), 0, 1, 2]
    assert content[len(old) :].count(b"\r\n") == (3 if b"\r" in old else 0)


def test_rows_that_others_add_between_two_runs_stay(csv):
    written = job(csv)
    written.play([1, "close"])
    with csv.open("ab") as file:
        file.write(b'99,"a"\n')
    written.play([1, "complete"])
    written.play([1, "close"])
    assert pl.read_csv(csv)["x"].to_list() == [0, 99, 1, 2]


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("content", [None, b"", b"x,s\n"])
def test_a_file_that_has_lost_rows_is_missed_until_it_is_back(content, waits, csv):
    """Else the file would have only the rows that are new, and look complete."""
    written = job(csv)
    written.play([1, "close"])
    if waits:
        written.play([1, "complete"])
    before = csv.read_bytes()
    csv.unlink() if content is None else csv.write_bytes(content)
    found = "no such file" if content is None else f"{len(content)} bytes"
    for _ in range(2):
        with pytest.raises(CheckpointError, match=rf"(?s)lacks rows.*at least 12 bytes.*found: {found}"):
            written.start()
    csv.write_bytes(before)
    written.play([1, "close"])
    assert csv.read_bytes() == whole(0, 3 if waits else 2)


def test_a_job_that_begins_again_does_not_miss_its_file(csv):
    written = job(csv)
    written.play([2, "close"])
    csv.unlink()
    begun = Job(written.sink, written.folder, rows, attempt=1, epoch=1, complete=[(1, 0, None)])
    begun.play([3, "close"])
    assert csv.read_bytes() == whole(0, 3)


@pytest.mark.parametrize("at", ["before its commit", "between runs"])
def test_a_file_that_others_change_is_an_error(at, csv):
    written = job(csv, mode="error")
    written.play([1, (0,)])
    if at == "before its commit":
        written.play([1, "complete"])
    csv.write_bytes(b"x,s\n" + b'1,"a"\n' * 9)
    with pytest.raises(SinkError, match="is not as this job has left it"):
        written.start()


def test_mode_error_begins_only_with_a_file_without_rows(csv):
    csv.write_bytes(b"x,s\n")
    job(csv, mode="error").play([1, "close"])
    assert csv.read_bytes() == whole(0, 1)
    with pytest.raises(SinkError, match="12 bytes that this job has not written"):
        job(csv, "other", mode="error").start()


def test_rows_of_a_later_epoch_are_cut_off_unless_others_follow(csv):
    written = job(csv)
    written.play([2, (0,), 2, (0,)])
    written.complete.pop()  # the newest manifest is damaged
    with csv.open("ab") as file:
        file.write(b"9,a\n")
    with pytest.raises(SinkError, match=r"rows of later epochs.* and then those of others"):
        written.start()
    os.truncate(csv, csv.stat().st_size - 2)
    with pytest.raises(SinkError, match="rows of later epochs"):
        written.start()
    os.truncate(csv, csv.stat().st_size - 2)
    written.start()
    assert csv.read_bytes() == whole(0, 2)
    written.write(1)
    written.checkpoint()
    assert csv.read_bytes() == whole(0, 3)
    written.kill()
    # What others add is theirs from now on.
    with csv.open("ab") as file:
        file.write(b"9,a\n")
    written.play(["close"])
    assert csv.read_bytes() == whole(0, 3) + b"9,a\n"


def test_a_file_that_was_cut_off_before_that_was_noted_is_as_it_should_be(csv):
    written = job(csv)
    written.play([2, (0,), 2, (0,)])
    written.complete.pop()
    csv.write_bytes(whole(0, 2))
    written.play([3, "close"])
    assert csv.read_bytes() == whole(0, 5)


@pytest.mark.parametrize("marked", [True, False])
def test_without_its_manifests_a_job_would_show_rows_again(marked, csv):
    """Which the marker next to the file says, or the sink's own record."""
    written = job(csv)
    written.play([2, (0,)])
    if not marked:
        next(csv.parent.glob(".out.csv.*.epoch")).unlink()
    begun = Job(written.sink, written.folder, rows, attempt=1)
    with pytest.raises(ArrowstreamError, match=r"rows of (later )?epochs.*, which would come again"):
        begun.start()


def test_a_commit_of_an_epoch_after_a_later_one_changes_nothing(csv):
    written = job(csv)
    written.play([2, (0,), 2, (0,)])
    handle = written.complete[0][2]
    (written.folder / handle["staged"]).write_bytes(b"from a disk that forgot its removal")
    written.start().commit(handle)
    assert csv.read_bytes() == whole(0, 4)
    written.kill()


def test_a_staged_file_that_was_removed_is_missed(csv):
    written = job(csv)
    written.play([2, "complete"])
    (written.folder / written.complete[0][2]["staged"]).unlink()
    with pytest.raises(SinkError, match="rows of the last checkpoint are lost"):
        written.start()


def test_a_run_that_fails_keeps_what_is_prepared_and_removes_the_rest(csv):
    written = job(csv)
    written.play([2, "complete"])
    written.play([3, "abort"])
    assert csv.read_bytes() == whole(0, 2) and list(written.folder.glob("rows-*")) == []


@pytest.mark.parametrize(("path", "text"), [("nope/out.csv", "No such file"), ("out.csv", "read-only")])
def test_a_place_that_cannot_be_written_is_found_before_the_first_row(path, text, tmp_path, monkeypatch):
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path and access(path, mode))
    with pytest.raises(SinkError, match=text):
        job(tmp_path / path, str(tmp_path / "state")).start()


def test_bytes_are_on_the_disk_before_what_relies_on_them(tmp_path, monkeypatch):
    """In the order of an epoch: what is staged, then the target, then the note that it is done."""
    synced: list[str] = []
    fsync = os.fsync

    def noted(file):
        synced.append(Path(f"/proc/self/fd/{file}").readlink().name)
        fsync(file)

    monkeypatch.setattr(os, "fsync", noted)
    written = job(tmp_path / "out.csv")
    with killed_at(Failpoint.FILES_STAGED, 9):
        writer = written.start()
        written.write(2)
        handle = writer.prepare(1)
        assert synced == ["token.tmp", "state", "rows-000001-000000", "state"]
        synced.clear()
        writer.commit(handle)
        assert synced == ["appended.tmp", "state", "out.csv", tmp_path.name]
    synced.clear()
    parts = Job(FileSink.of(f"{tmp_path}/out/", partition_by="s"), tmp_path / "parts", rows)
    writer = parts.start()
    token = (tmp_path / "parts/token").read_text()
    parts.write(2)
    synced.clear()
    handle = writer.prepare(1)
    hidden = f".out.{token}.epochs"
    assert synced == ["part-00000.parquet", "000001-000000", "s=é%0A", hidden]
    synced.clear()
    writer.commit(handle)
    assert sorted(synced[:-2]) == sorted(["s=é%0A", "out", tmp_path.name])
    assert synced[-2:] == ["committed.tmp", "parts"]
    writer.close()


def test_folders_in_which_rows_wait_are_on_the_disk_before_the_checkpoint(tmp_path, monkeypatch):
    synced: list[Path] = []
    fsync = os.fsync

    def noted(file):
        synced.append(Path(f"/proc/self/fd/{file}").readlink())
        fsync(file)

    monkeypatch.setattr(os, "fsync", noted)
    written = Job(FileSink.of(f"{tmp_path}/a/b/out/"), tmp_path / "state", rows)
    writer = written.start()
    written.write(2)
    writer.prepare(1)
    assert {tmp_path, tmp_path / "a", tmp_path / "a/b"} < set(synced)
    writer.abort()
