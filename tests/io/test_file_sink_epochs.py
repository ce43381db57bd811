"""File sinks in runs with checkpoints: killed anywhere, what they show is the rows of complete epochs, each once."""

import io
import json
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from effort import examples
from epoch_sinks import Job
from hypothesis import given, settings
from hypothesis import strategies as st

from arrowstream import Pipeline, Source
from arrowstream.core.batch import Batch
from arrowstream.core.checkpoints.failpoints import Failpoint
from arrowstream.errors import CheckpointError, PlanError, SchemaError, SinkError
from arrowstream.io.files.sink import FileSink

pytestmark = pytest.mark.once

POINTS = [point for point in Failpoint if point.name.startswith("FILES_")]
TARGETS: dict[str, dict[str, Any]] = {
    "out/": {"max_rows_per_file": 3},
    "parts/": {"partition_by": "k", "format": "csv", "compression": "gzip"},
    "sorted/": {"partition_by": "k", "sort_by": "x", "max_bytes_per_file": 40},
    "out.csv": {},
    "out.ndjson": {},
}


@pytest.fixture(autouse=True)
def unsynced(monkeypatch):
    """A kill keeps what was written, and syncing would take most of the time of these tests."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


def rows(begin: int, end: int) -> pl.DataFrame:
    numbers = pl.Series("x", range(begin, end), dtype=pl.Int64)
    return pl.DataFrame({"k": (numbers % 3).cast(pl.String) + "/", "x": numbers})


def job(place: Path, name: str = "out/", state: str = "state", **options: Any) -> Job:
    return Job(FileSink.of(f"{place}/{name}", **(TARGETS.get(name, {}) | options)), place / state, rows)


def files(target: Path) -> list[Path]:
    return sorted(path for path in target.rglob("*") if path.is_file()) if target.is_dir() else [target]


def shown(place: Path, name: str = "out/") -> list[int]:
    """The rows that a reader finds; every file under a final name is whole."""
    found: list[int] = []
    for path in files(place / name):
        if not path.exists() or not path.stat().st_size:
            continue
        if path.suffix == ".parquet":
            frame = pl.read_parquet(path)
        elif path.suffix == ".ndjson":
            frame = pl.read_ndjson(path, schema={"k": pl.String, "x": pl.Int64})
        else:
            frame = pl.read_csv(path, schema_overrides={"x": pl.Int64})
        found += frame["x"].to_list()
    return sorted(found)


def hidden(place: Path) -> list[str]:
    """Hidden files but the markers of text files, which stay."""
    return [path.name for path in place.rglob(".*") if path.suffix != ".epoch"]


def reaches(name: str, point: Failpoint) -> bool:
    """Whether a sink of this name comes past a failpoint."""
    text = point in (Failpoint.FILES_CUT, Failpoint.FILES_APPENDED)
    return point is Failpoint.FILES_STAGED or text is not name.endswith("/")


STEPS = st.one_of(st.integers(1, 5), st.tuples(st.integers(0, 3)))
ENDS = st.sampled_from([[], ["prepare"], ["complete"], ["abort"], ["close"]])
RUNS = st.tuples(
    st.builds(lambda steps, end: [*steps, *end], st.lists(STEPS, max_size=5), ENDS),
    st.sampled_from([None, *POINTS]),
    st.integers(1, 4),
    st.booleans(),
)


@settings(max_examples=examples(60))
@given(st.sampled_from(list(TARGETS)), st.lists(RUNS, min_size=1, max_size=3))
def test_after_any_kills_the_rows_of_complete_epochs_are_shown_once(tmp_path_factory, name, runs):
    place = tmp_path_factory.mktemp("epochs")
    written = job(place, name)
    for script, point, hit, is_damaged in runs:
        written.play(script, point, hit)
        if name.endswith("/"):
            assert set(shown(place, name)) <= set(range(written.covered))
        if is_damaged and len(written.complete) > 1:  # the newest manifest; its sinks may have committed
            written.complete.pop()
        written.start()
        assert shown(place, name) == list(range(written.covered))
        written.kill()
    written.play([2, "close"])
    assert shown(place, name) == list(range(written.covered))
    assert hidden(place) == [] and list(written.folder.glob("rows-*")) == []


@pytest.mark.parametrize(
    ("name", "point"), [(name, point) for name in TARGETS for point in POINTS if reaches(name, point)]
)
def test_a_kill_between_any_two_effects_loses_and_doubles_nothing(name, point, tmp_path):
    written = job(tmp_path, name)
    for hit in (1, 2):  # in the first epoch and in a later one
        written.play([4, (2,), 3, (0,), 1, "close"], point, hit)
        written.play([], point)  # and once more while that is recovered
    written.start()
    assert shown(tmp_path, name) == list(range(written.covered))
    written.kill()
    written.play([4, "close"])
    assert shown(tmp_path, name) == list(range(written.covered)) and hidden(tmp_path) == []


def test_names_say_the_epoch_the_sink_and_the_number_in_the_epoch(tmp_path):
    written = job(tmp_path, partition_by="k", max_rows_per_file=1)
    written.play([6, (0,), (0,), 1, (0,)])
    token = (tmp_path / "state/token").read_text()
    assert [path.relative_to(tmp_path / "out").as_posix() for path in files(tmp_path / "out")] == [
        f"k=0%2F/part-00000001-{token}-00000.parquet",
        f"k=0%2F/part-00000001-{token}-00001.parquet",
        f"k=0%2F/part-00000003-{token}-00000.parquet",
        f"k=1%2F/part-00000001-{token}-00000.parquet",
        f"k=1%2F/part-00000001-{token}-00001.parquet",
        f"k=2%2F/part-00000001-{token}-00000.parquet",
        f"k=2%2F/part-00000001-{token}-00001.parquet",
    ]
    assert pl.read_parquet(tmp_path / "out/**/*.parquet").height == 7
    assert written.complete[1][2]["files"] == {}


def test_handles_are_json_with_relative_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written = Job(FileSink.of("deep/out/"), Path("state"), rows)
    written.play([2, "complete"])
    handle = json.loads(json.dumps(written.complete[0][2]))
    token = Path("state/token").read_text()
    assert handle == {
        "version": 1,
        "epoch": 1,
        "staged": f"../.out.{token}.epochs/000001-000000",
        "files": {"part-00000.parquet": f"part-00000001-{token}-00000.parquet"},
        "has_rows": True,
    }
    assert not Path("deep/out").exists()
    # Another place for both: the folders of the output and of the checkpoints move together.
    Path("moved").mkdir()
    Path("deep").rename("moved/deep")
    moved = Job(FileSink.of("moved/deep/out/"), Path("state"), rows, [(1, 2, handle)], 1, 1)
    moved.play(["close"])
    assert shown(Path("moved/deep")) == [0, 1] and hidden(Path()) == []


@pytest.mark.untraced
@pytest.mark.parametrize("name", TARGETS)
def test_a_commit_can_be_repeated_by_any_writer(name, tmp_path):
    written = job(tmp_path, name)
    written.play([3, (0,), 2, "complete"])
    first, second = written.complete[0][2], written.complete[1][2]
    for _ in range(2):
        writer = written.start()
        for handle in (first, second, second):
            writer.commit(handle)
        assert shown(tmp_path, name) == [0, 1, 2, 3, 4]
        written.kill()


@pytest.mark.parametrize("format", ["parquet", "csv", "ndjson", "json", "ipc", "avro"])
def test_part_files_of_every_format(format, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")
    written = job(tmp_path, format=format)
    written.play([3, (2,), "complete"])
    written.play([1, "close"])
    read = getattr(pl, f"read_{format}")
    found = [read(io.BytesIO(path.read_bytes())) for path in files(tmp_path / "real")]
    assert len(found) == 3 and pl.concat(found).equals(rows(0, 6)) and hidden(tmp_path) == []


def test_sources_do_not_see_what_waits(tmp_path):
    """Next to a folder that is named as a partition, too."""
    written = Job(FileSink.of(f"{tmp_path}/t/day=1/", partition_by="k"), tmp_path / "state", rows)
    written.play([2, (0,), 3, "complete"])
    assert any(name.startswith(".day=1.") for name in hidden(tmp_path))
    found = Pipeline.builder().source(Source.from_file(f"{tmp_path}/t/")).collect_sync()
    assert sorted(found["x"]) == [0, 1]


def test_two_jobs_add_to_one_folder_each_its_rows(tmp_path):
    first, second = job(tmp_path), job(tmp_path, state="other")
    first.play([2, (1,), "complete"])
    second.play([4, (0,), 1, "complete"])
    first.start()
    assert shown(tmp_path) == [0, 0, 1, 1, 2, 2, 3]
    first.kill()
    # What one removes, as it continues from an older epoch, is its own.
    first.complete.pop()
    second.start()
    first.start()
    assert shown(tmp_path) == [0, 0, 1, 1, 2, 3, 4]
    first.kill()
    second.kill()


@pytest.mark.parametrize("rows", [0, 1])
def test_a_run_that_was_overtaken_ends_while_another_one_writes(rows, tmp_path):
    """It removes empty hidden folders, in which rows of the other one are about to wait."""
    written = job(tmp_path)
    old, older = written.start(), written.start()
    written.start()
    written.write(1)
    old.abort()
    written.checkpoint()
    older.abort()
    written.write(rows)
    written.checkpoint()
    assert shown(tmp_path) == list(range(1 + rows))
    written.writer.close()
    assert hidden(tmp_path) == []


def test_a_plain_run_of_the_same_folder_leaves_staged_files_alone(tmp_path):
    written = job(tmp_path)
    written.play([2, "complete"])
    plain = FileSink.of(f"{tmp_path}/out/", mode="append")
    writer = plain.open(rows(0, 0).schema, written.context)
    writer.write(Batch(rows(7, 8)))
    writer.commit(writer.prepare(0))
    written.play(["close"])
    assert shown(tmp_path) == [0, 1, 7]


@pytest.mark.parametrize("name", ["out/", "parts/"])
def test_a_stream_without_rows_shows_the_columns_until_there_are_rows(name, tmp_path):
    written = job(tmp_path, name)
    written.play([(0,), (0,)])
    (only,) = files(tmp_path / name)
    assert shown(tmp_path, name) == [] and "part-00000001-" in only.name
    read = pl.read_parquet if only.suffix == ".parquet" else pl.read_csv
    assert read(only).columns == ["k", "x"]
    written.play([(0,), 2, (0,)])
    assert only not in files(tmp_path / name) and shown(tmp_path, name) == [0, 1]
    # In one run, too.
    other = job(tmp_path, name, state="another")
    other.sink = FileSink.of(f"{tmp_path}/other/", **TARGETS[name])
    other.play([(0,), 3, (0,), "close"])
    assert len(shown(tmp_path, "other/")) == 3
    assert all(path.stat().st_size and "00000001" not in path.name for path in files(tmp_path / "other"))


def test_a_file_without_rows_that_others_have_filled_stays(tmp_path):
    written = job(tmp_path)
    written.start()
    written.checkpoint()
    (only,) = files(tmp_path / "out")
    rows(8, 9).write_parquet(only)
    written.write(1)
    written.checkpoint()
    assert shown(tmp_path) == [0, 8]
    written.kill()


@pytest.mark.parametrize("mode", [None, "append", "error"])
def test_modes_that_keep_what_is_there(mode, tmp_path):
    written = job(tmp_path, mode=mode)
    written.play([2, (0,)])
    written.play([2, "close"])
    assert shown(tmp_path) == [0, 1, 2, 3]
    rows(8, 9).write_parquet(tmp_path / "out/other.parquet")
    # A job from the beginning, and one that is continued.
    for job_ in (written, job(tmp_path, state="new", mode=mode)):
        if mode == "error":
            with pytest.raises(SinkError, match="already holds data files"):
                job_.start()
        else:
            job_.play([1, "close"])
    assert len(shown(tmp_path)) == (5 if mode == "error" else 7)


@pytest.mark.parametrize(
    ("path", "options", "text"),
    [
        ("out.parquet", {}, "part files into a folder: the path out/, with format='parquet'"),
        ("out.json", {}, "a JSON file cannot grow"),
        ("out.arrow", {}, "an Arrow IPC file cannot grow"),
        ("out.avro", {}, "an Avro file cannot grow"),
        ("out.csv.gz", {}, "a CSV file cannot grow from checkpoint to checkpoint, if it is compressed"),
        ("out.csv.gz", {}, "the path out/, with format='csv' and compression='gzip'"),
        ("out/", {"mode": "overwrite"}, "mode='overwrite' replaces"),
        ("out/", {"overwrite": True}, "mode='overwrite' replaces"),
        ("out/", {"mode": "overwrite_partitions", "partition_by": "k"}, "replaces what the checkpoints"),
        ("out.csv", {"overwrite": True}, "mode='overwrite' replaces"),
        ("-", {"format": "csv"}, "a pipe or device cannot take part"),
    ],
)
def test_what_cannot_grow_is_refused(path, options, text):
    with pytest.raises(PlanError) as caught:
        FileSink.of(path, **options).with_checkpoints()
    assert text in str(caught.value) and "hint" in str(caught.value)


def test_what_explain_and_checkpoints_know_of_a_file_sink():
    folder = FileSink.of("out/", partition_by="k")
    assert folder.exactly_once and folder.identity == "files out/k=*/ (parquet)"
    assert folder.with_checkpoints().guarantee.startswith("exactly once: part files")
    assert (
        FileSink.of("out.csv").with_checkpoints().guarantee.startswith("exactly once: the rows of an epoch")
    )
    assert folder.side_output.with_checkpoints().side_output.epochs
    assert FileSink.of("out.csv").identity == FileSink.of("out.csv").label == "file out.csv (csv)"


def test_rows_of_other_columns_are_not_added(tmp_path):
    pl.DataFrame({"y": [1]}).write_parquet(tmp_path / "out.parquet")
    (tmp_path / "out").mkdir()
    (tmp_path / "out.parquet").rename(tmp_path / "out/a.parquet")
    with pytest.raises(SchemaError, match="has no column 'k'"):
        job(tmp_path).start()
    (tmp_path / "out.csv").write_text("y\n1\n")
    with pytest.raises(SchemaError, match="has no column 'k'"):
        job(tmp_path, "out.csv").start()


def test_open_files_end_after_a_time_and_wait_for_their_epoch(tmp_path):
    written = job(tmp_path, roll_every="10m", mode="append")
    writer = written.start()
    assert writer.period_s == 600
    writer.on_period()
    written.write(2)
    writer.on_period()
    written.write(1)
    assert shown(tmp_path) == []
    written.checkpoint()
    assert shown(tmp_path) == [0, 1, 2] and len(files(tmp_path / "out")) == 2
    writer.close()


def test_files_wait_in_a_folder_whose_parent_is_closed(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path and access(path, mode))
    written = job(tmp_path)
    written.play([2, "complete"])
    (staged,) = (tmp_path / "out").iterdir()
    assert staged.name.endswith(".epochs")
    monkeypatch.undo()
    written.play([1, "close"])
    assert shown(tmp_path) == [0, 1, 2] and hidden(tmp_path) == []


def test_many_partitions_are_synced_together(tmp_path, monkeypatch):
    monkeypatch.setattr("arrowstream.io.files.epochs.folder.MANY", 2)
    written = job(tmp_path, "parts/")
    written.play([9, (0,), 9, "complete"])
    written.play(["close"])
    assert shown(tmp_path, "parts/") == list(range(18))


def test_a_partition_on_another_file_system_is_refused_before_the_checkpoint(tmp_path):
    other = Path("/dev/shm")
    if not other.exists() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("one file system only")
    with TemporaryDirectory(dir=other) as empty:
        (tmp_path / "out").mkdir()
        (tmp_path / "out/k=1%2F").symlink_to(empty)
        written = job(tmp_path, partition_by="k")
        writer = written.start()
        written.write(3)
        with pytest.raises(SinkError, match="is on another file system"):
            writer.prepare(1)
        writer.abort()
        assert hidden(tmp_path) == [] and shown(tmp_path) == []


def test_a_prepared_file_that_was_removed_is_missed(tmp_path):
    written = job(tmp_path)
    written.play([2, "complete"])
    for path in tmp_path.rglob("part-*"):
        path.unlink()
    with pytest.raises(SinkError, match="rows of the last checkpoint are lost"):
        written.start()


@pytest.mark.parametrize("name", ["out/", "parts/"])
def test_the_newest_files_with_rows_are_missed_until_they_are_back(name, tmp_path):
    """Older ones are their readers', who may join or move them."""
    written = job(tmp_path, name)
    written.play([9, (0,), 9, (0,), (0,), "close"])
    target, away = tmp_path / name, tmp_path / "away"
    newest = [path for path in files(target) if "-00000002-" in path.name]
    for path in files(target):
        if path not in newest:
            path.unlink()
    written.play([(0,), "close"])
    some = [newest, newest[:1], newest[1:]] if newest[1:] else [newest]
    for gone in some:
        target.rename(away)
        if gone != newest:
            shutil.copytree(away, target)
            gone[0].unlink()
        there = len(newest) - 1 if gone != newest else "none"
        with pytest.raises(
            CheckpointError, match=rf"(?s)lacks files.*{len(newest)} file.*found: {there} of them"
        ):
            written.start()
        if target.exists():
            shutil.rmtree(target)
        away.rename(target)
    written.play([1, "close"])
    assert shown(tmp_path, name) == list(range(9, 19))


def test_a_job_that_begins_again_does_not_miss_its_files(tmp_path):
    written = job(tmp_path)
    written.play([2, (0,), "close"])
    shutil.rmtree(tmp_path / "out")
    begun = Job(written.sink, written.folder, rows, attempt=written.attempt, epoch=2, complete=[(2, 0, None)])
    begun.play([(0,)])
    begun.play([1, "close"])
    assert shown(tmp_path) == [0]


def test_without_its_manifests_a_job_would_show_rows_again(tmp_path):
    """Somebody has removed the epochs, but not the folders of the sinks."""
    written = job(tmp_path)
    written.play([2, (0,), 1, (0,), 2, "close"])
    begun = Job(written.sink, written.folder, rows, [], written.attempt)
    with pytest.raises(CheckpointError, match="rows of epochs after 0, which would come again"):
        begun.start()
    assert shown(tmp_path) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", ["out/", "out.csv"])
def test_an_epoch_without_rows_changes_nothing(name, tmp_path):
    written = job(tmp_path, name)
    written.play([2, (0,), 0, (0,), (0,)])
    assert len(files(tmp_path / name)) == 1 and shown(tmp_path, name) == [0, 1]
    written.play([0, "abort"])
    written.play([1, "abort"])
    assert shown(tmp_path, name) == [0, 1] and hidden(tmp_path) == []
    written.start().abort()


def test_a_target_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(SinkError, match="is a file"):
        job(tmp_path).start()
