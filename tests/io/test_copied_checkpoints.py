"""File sinks with a checkpoint folder that is a copy, or older than what they show: refused, not shown twice."""

import io
import itertools
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from epoch_sinks import Job
from stores import Store

from arrowstream import Pipeline, RunReport, Sink, Source
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


def test_a_file_that_was_removed_with_its_marker_left_begins_again(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    job = Job(FileSink.of(path), tmp_path / "state", rows)
    job.play([2, (0,)])
    path.unlink()
    begun = Job(job.sink, tmp_path / "other", rows)
    begun.play([1, "close"])
    assert begun.writer is None and pl.read_csv(path)["x"].to_list() == [0]


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
