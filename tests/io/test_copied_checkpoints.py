"""File sinks with a checkpoint folder that is a copy, or older than what they show: refused, not shown twice."""

import errno
import io
import itertools
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from epoch_sinks import Job
from stores import Store

from arrowstream import Pipeline, RunReport, Sink, Source
from arrowstream.core.checkpoints.failpoints import Failpoint, on_reach
from arrowstream.errors import CheckpointError, SinkError
from arrowstream.io.files.remote.sink import ObjectSink
from arrowstream.io.files.sink import FileSink

pytestmark = pytest.mark.once

_numbers = itertools.count()


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    store = Store()
    yield store
    store.stop()


def rows(begin: int, end: int) -> pl.DataFrame:
    numbers = pl.Series("x", range(begin, end), dtype=pl.Int64)
    return pl.DataFrame({"x": numbers, "k": (numbers % 2).cast(pl.String)})


@dataclass
class Kind:
    """A kind of target: a job that writes it, and the numbers that it shows."""

    job: Job
    shown: Callable[[], list[int]]


@pytest.fixture(params=["folder", "partitions", "text", "objects"])
def kind(request: Any, tmp_path: Path, store: Store) -> Kind:
    name = request.param
    state = tmp_path / "state"
    if name == "objects":
        bucket = f"copies-{next(_numbers)}"
        store.files.create_dir(bucket)
        job = Job(ObjectSink.of(f"s3://{bucket}/out/", storage_options=store.options), state, rows)

        def objects() -> list[int]:
            contents = [store.files.open_input_file(f"{bucket}/{key}").read() for key in store.keys(bucket)]
            return sorted(x for content in contents for x in pl.read_parquet(io.BytesIO(content))["x"])

        return Kind(job, objects)
    if name == "text":
        path = tmp_path / "out.ndjson"
        return Kind(Job(FileSink.of(path), state, rows), lambda: sorted(pl.read_ndjson(path)["x"]))
    out = tmp_path / "out"
    by = {"partition_by": "k"} if name == "partitions" else {}
    job = Job(FileSink.of(f"{out}/", **by), state, rows)
    return Kind(job, lambda: sorted(x for path in out.rglob("*.parquet") for x in pl.read_parquet(path)["x"]))


def copied(job: Job) -> Job:
    """The job as a copy of its checkpoint folder knows it."""
    folder = job.folder.with_name("copy")
    shutil.copytree(job.folder, folder)
    return replace(job, folder=folder, complete=[*job.complete], writer=None)


def test_a_copy_that_is_older_than_what_is_shown_is_refused(kind: Kind) -> None:
    kind.job.play([2, (0,), 2, (0,)])
    older = copied(kind.job)
    kind.job.play([2, (0,), 2, (0,)])
    with pytest.raises(CheckpointError, match="has rows of epochs after 2, which would come again") as caught:
        older.start()
    assert caught.value.found is not None and caught.value.found.startswith("epoch 4, of a run with a copy")
    assert caught.value.hint is not None and "run with the checkpoint folder of that run" in caught.value.hint
    assert kind.shown() == list(range(8))
    # The run with the right folder goes on.
    kind.job.play([1, "close"])
    assert kind.shown() == list(range(9))


def test_the_original_is_refused_once_a_copy_has_gone_on(kind: Kind) -> None:
    kind.job.play([2, (0,)])
    copy = copied(kind.job)
    copy.play([2, (0,)])
    with pytest.raises(CheckpointError, match="has rows of epochs after 1, which would come again"):
        kind.job.start()
    assert kind.shown() == list(range(4))


@pytest.mark.parametrize("sizes", [(2, 2), (3, 1), (1, 3)])
def test_of_two_runs_at_the_same_time_one_is_refused(sizes: tuple[int, int], kind: Kind) -> None:
    """Whichever comes second, and however many rows it has."""
    one, other = sizes
    kind.job.play([2, (0,)])
    copy = copied(kind.job)
    kind.job.start(), copy.start()
    kind.job.write(one), copy.write(other)
    kind.job.checkpoint()
    with pytest.raises(SinkError, match=r"another run writes into|is not as this job has left it"):
        copy.checkpoint()
    kind.job.kill(), copy.kill()
    assert kind.shown() == list(range(2 + one))


@pytest.fixture(params=["partitions", "text"])
def apart(request: Any, tmp_path: Path) -> Kind:
    """A job of which two runs may write an epoch without meeting at a name: rows in partitions by sign."""
    state = tmp_path / "state"
    if request.param == "text":
        path = tmp_path / "out.ndjson"
        return Kind(Job(FileSink.of(path), state, rows), lambda: sorted(pl.read_ndjson(path)["x"]))
    out = tmp_path / "out"
    job = Job(FileSink.of(f"{out}/", partition_by="k"), state, rows)
    return Kind(job, lambda: sorted(x for path in out.rglob("*.parquet") for x in pl.read_parquet(path)["x"]))


def from_row(begin: int) -> Callable[[int, int], pl.DataFrame]:
    """Rows whose partition is that of the row where they begin."""
    return lambda first, last: rows(first, last).with_columns(pl.lit(str(begin)).alias("k"))


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_of_two_runs_that_write_into_different_partitions_one_is_refused(empty: int, apart: Kind) -> None:
    """Also if the epochs with rows have other numbers: one run has epochs without rows."""
    apart.job.play([2, (0,)])
    copy = copied(apart.job)
    copy.rows = from_row(7)
    apart.job.rows = from_row(8)
    apart.job.start(), copy.start()
    apart.job.write(2), copy.write(2)
    apart.job.checkpoint()
    for _ in range(empty):
        copy.epoch += 1
    with pytest.raises(SinkError, match="another run writes into") as caught:
        copy.checkpoint()
    assert (caught.value.found, caught.value.expected is not None) == ("epoch 2", True)
    assert (
        caught.value.hint
        == "end the other run, which uses a copy of the checkpoint folder: it is for one job"
    )
    copy.kill()
    # The other one goes on.
    apart.job.write(1)
    apart.job.checkpoint()
    apart.job.kill()
    assert apart.shown() == list(range(5))


def test_of_two_runs_the_slower_one_is_refused_however_far_the_other_has_come(apart: Kind) -> None:
    apart.job.play([2, (0,)])
    copy = copied(apart.job)
    copy.rows = from_row(7)
    apart.job.start(), copy.start()
    for _ in range(3):
        apart.job.write(1)
        apart.job.checkpoint()
    copy.write(1)
    with pytest.raises(SinkError, match="another run writes into"):
        copy.checkpoint()
    apart.job.kill(), copy.kill()
    assert apart.shown() == list(range(5))


def test_a_killed_run_is_refused_if_a_copy_has_shown_an_epoch_before_its_own(apart: Kind) -> None:
    """It had prepared an epoch of a larger number, which nobody has shown."""
    apart.job.play([2, (0,)])
    copy = copied(apart.job)
    copy.rows = from_row(7)
    apart.job.start(), copy.start()
    copy.epoch += 1
    copy.kill()
    copy.play([2, "complete"])
    apart.job.write(1)
    apart.job.checkpoint()
    with pytest.raises(SinkError, match=r"another run writes into|is not as this job has left it") as caught:
        copy.start()
    assert apart.shown() == [0, 1, 2] and "epoch 2" in f"{caught.value.found}"


@pytest.mark.parametrize("partition_by", [None, "k"])
def test_files_of_the_same_names_are_noticed_without_a_marker(
    partition_by: str | None, tmp_path: Path
) -> None:
    """As where the folder around the target is read-only."""
    by = {} if partition_by is None else {"partition_by": partition_by}
    job = Job(FileSink.of(f"{tmp_path}/out/", **by), tmp_path / "state", rows)  # type: ignore[arg-type]
    job.play([2, (0,)])
    copy = copied(job)
    job.start(), copy.start()
    job.write(2), copy.write(2)
    job.checkpoint()
    [marker] = tmp_path.glob(".out.*.epoch")
    marker.unlink()
    with pytest.raises(SinkError, match=r"another run writes into .* with the same names") as caught:
        copy.checkpoint()
    assert caught.value.found is not None and "such as" in caught.value.found
    job.kill(), copy.kill()


@pytest.mark.parametrize("damaged", [False, True])
def test_an_epoch_without_rows_is_none_of_another_run(damaged: bool, kind: Kind) -> None:
    """Not even if a run is killed after it, before it has committed the next one."""
    kind.job.play([2, (0,)])
    kind.job.play([(0,)])
    if damaged:  # the one after it was shown, and its manifest is damaged
        kind.job.play([2, (0,)], Failpoint.FILES_NAMED)
        kind.job.complete.pop()
    kind.job.play([1, "complete"])
    kind.job.play([1, (0,), (0,), 1, "close"])
    assert kind.shown() == list(range(5))


def test_two_commits_at_the_same_time_come_one_after_the_other(tmp_path: Path) -> None:
    """A run that compares while another shows its rows waits, and finds them shown."""
    job = Job(FileSink.of(f"{tmp_path}/out/", partition_by="k"), tmp_path / "state", rows)
    job.play([2, (0,)])
    copy = copied(job)
    copy.rows = from_row(7)
    job.start(), copy.start()
    job.write(2), copy.write(2)
    failures: list[BaseException] = []

    def commit() -> None:
        try:
            copy.checkpoint()
        except SinkError as error:
            failures.append(error)

    second = threading.Thread(target=commit)

    def meanwhile(point: Failpoint) -> None:
        if point is Failpoint.FILES_PART_NAMED and not second.ident:
            second.start()
            second.join(0.2)  # it waits for the lock; without one, it would show its rows

    with on_reach(meanwhile):
        job.checkpoint()
        second.join(60)
    assert len(failures) == 1 and "another run writes into" in str(failures[0])
    job.kill(), copy.kill()


def test_a_copy_is_refused_also_if_the_later_files_were_moved_away(tmp_path: Path) -> None:
    out = tmp_path / "out"
    job = Job(FileSink.of(f"{out}/"), tmp_path / "state", rows)
    job.play([2, (0,)])
    older = copied(job)
    job.play([2, (0,)])
    for path in out.glob("part-00000002-*"):
        path.unlink()
    with pytest.raises(CheckpointError, match="has rows of epochs after 1, which would come again") as caught:
        older.start()
    [marker] = tmp_path.glob(".out.*.epoch")
    assert caught.value.hint is not None and marker.name in caught.value.hint
    # Without it, nothing says so.
    marker.unlink()
    older.play([2, (0,)])
    assert marker.read_text() == "2"


def test_a_damaged_manifest_goes_back_by_an_epoch(kind: Kind) -> None:
    kind.job.play([2, (0,), 2, (0,)])
    kind.job.complete.pop()
    kind.job.play([3, "close"])
    assert kind.shown() == list(range(5))


def test_objects_that_nobody_can_look_at_are_an_error(store: Store, tmp_path: Path) -> None:
    bucket = f"copies-{next(_numbers)}"
    store.files.create_dir(bucket)
    job = Job(ObjectSink.of(f"s3://{bucket}/out/", storage_options=store.options), tmp_path / "state", rows)
    job.start()
    job.write(1)
    store.fails = "HEAD", "part-00000001", "AccessDenied"
    try:
        with pytest.raises(SinkError, match="cannot be looked at"):
            job.checkpoint()
    finally:
        store.fails = None
    job.kill()
    job.play([1, "close"])
    assert len(store.keys(bucket)) == 2


def test_rows_that_others_append_meanwhile_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    job = Job(FileSink.of(path), tmp_path / "state", rows)
    job.play([2, (0,)])
    job.start()
    job.write(50)
    with path.open("a") as file:
        file.write("7,1\n")
    with pytest.raises(SinkError, match="is not as this job has left it"):
        job.checkpoint()
    job.kill()
    assert pl.read_csv(path)["x"].to_list() == [0, 1, 7]


def test_a_marker_that_a_crash_has_emptied_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    job = Job(FileSink.of(path), tmp_path / "state", rows)
    job.play([2, (0,)])
    [marker] = tmp_path.glob(".out.csv.*.epoch")
    assert marker.read_text() == "1"
    marker.write_text("")
    job.play([2, "close"])
    assert marker.read_text() == "2"


@pytest.mark.parametrize("target", ["out.csv", "out/"])
def test_a_marker_that_was_removed_is_made_again(target: str, tmp_path: Path) -> None:
    job = Job(FileSink.of(f"{tmp_path}/{target}"), tmp_path / "state", rows)
    job.play([2, (0,)])
    job.start()
    [marker] = tmp_path.glob(".out*.epoch")
    marker.unlink()
    job.write(2)
    job.checkpoint()
    job.kill()
    assert marker.read_text() == "2"


@pytest.mark.parametrize("error", [errno.EACCES, errno.EROFS, errno.EIO])
def test_where_no_marker_can_be_made_there_is_none(
    error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where the folder is read-only: other failures are errors."""
    opened = os.open

    def refused(path: Any, *arguments: Any, **options: Any) -> int:
        if str(path).endswith(".epoch"):
            raise OSError(error, os.strerror(error), str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refused)
    job = Job(FileSink.of(f"{tmp_path}/out/"), tmp_path / "state", rows)
    if error == errno.EIO:
        with pytest.raises(SinkError, match=r"(?i)input/output error"):
            job.play([2, (0,)])
        return
    job.play([2, (0,), 1, "close"])
    assert [*tmp_path.glob(".out*.epoch")] == [] and len([*(tmp_path / "out").iterdir()]) == 2


def test_a_file_that_was_removed_with_its_marker_left_begins_again(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    job = Job(FileSink.of(path), tmp_path / "state", rows)
    job.play([2, (0,)])
    path.unlink()
    begun = Job(job.sink, tmp_path / "other", rows)
    begun.play([1, "close"])
    assert begun.writer is None and pl.read_csv(path)["x"].to_list() == [0]


def test_a_job_whose_file_and_checkpoints_have_gone_back_begins_there(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    job = Job(FileSink.of(path), tmp_path / "state", rows)
    job.play([2, (0,)])
    path.unlink()
    job.complete.clear()
    job.newest = job.epoch = 0
    (job.folder / "appended").unlink()
    job.play([1, "close"])
    assert pl.read_csv(path)["x"].to_list() == [0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_in_a_read_only_folder_has_no_marker(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    path = folder / "out.csv"
    path.touch()
    folder.chmod(0o555)
    try:
        job = Job(FileSink.of(path), tmp_path / "state", rows)
        job.play([2, (0,), 1, "close"])
        assert pl.read_csv(path)["x"].to_list() == [0, 1, 2] and len([*folder.iterdir()]) == 1
    finally:
        folder.chmod(0o755)


def run(name: str, out: Path, state: Path) -> RunReport:
    source = Source.from_frame(rows(0, 3))
    return Pipeline.builder(name).source(source).sink(Sink.to_file(out)).build().run_sync(checkpoint=state)


@pytest.mark.parametrize(("target", "what"), [("out/", "1 file"), ("out.csv", "1 epoch")])
def test_a_new_checkpoint_folder_over_rows_of_the_same_job_is_noted(
    target: str, what: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / target if target == "out.csv" else f"{tmp_path}/out/"
    assert run("job", out, tmp_path / "one").notes == ()  # type: ignore[arg-type]
    assert run("other", out, tmp_path / "two").notes == ()  # type: ignore[arg-type]
    assert run("job", out, tmp_path / "one").notes == ()  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING, "arrowstream"):
        report = run("job", out, tmp_path / "three")  # type: ignore[arg-type]
    [note] = report.notes
    said = f"{what} of earlier runs of this job, with another checkpoint folder, whose rows may come again"
    assert str(note).startswith(said)
    assert not note.lost and str(note) in str(report)
    assert any(str(note) in record.getMessage() for record in caplog.records)
