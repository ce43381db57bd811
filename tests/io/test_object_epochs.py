"""Folders of an object store in runs with checkpoints: part objects by epoch, each row once after any kill."""

import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from epoch_sinks import Job
from stores import Store

from arrowstream import Pipeline, Sink, Source
from arrowstream.core.checkpoints.failpoints import Failpoint
from arrowstream.errors import CheckpointError, PlanError, SchemaError, SinkError
from arrowstream.io.files.remote.sink import ObjectSink

pytestmark = pytest.mark.once

_numbers = itertools.count()


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    store = Store()
    yield store
    store.stop()


@pytest.fixture
def bucket(store: Store) -> Iterator[str]:
    """The name of an empty bucket."""
    name = f"epochs-{next(_numbers)}"
    store.files.create_dir(name)
    yield name
    store.fails = None


def rows(begin: int, end: int) -> pl.DataFrame:
    numbers = pl.Series("x", range(begin, end), dtype=pl.Int64)
    return pl.DataFrame({"k": (numbers % 2).cast(pl.String), "x": numbers})


def job(store: Store, bucket: str, place: Path, **options: Any) -> Job:
    sink = ObjectSink.of(f"s3://{bucket}/out/", storage_options=store.options, **options)
    return Job(sink, place / "state", rows)


def shown(store: Store, bucket: str) -> list[int]:
    found: list[int] = []
    for key in store.keys(bucket):
        content = store.files.open_input_file(f"{bucket}/{key}").read()
        found += pl.read_parquet(io.BytesIO(content))["x"].to_list()
    return sorted(found)


@pytest.mark.parametrize("partition_by", [(), "k"])
@pytest.mark.parametrize("hit", [1, 2])
@pytest.mark.parametrize(
    "point",
    [
        pytest.param(Failpoint.FILES_STAGED, marks=pytest.mark.untraced),
        pytest.param(Failpoint.FILES_PART_NAMED, marks=pytest.mark.untraced),
        Failpoint.FILES_NAMED,
    ],
)
def test_a_kill_between_any_two_effects_loses_and_doubles_nothing(
    point: Failpoint, hit: int, partition_by: Any, store: Store, bucket: str, tmp_path: Path
) -> None:
    written = job(store, bucket, tmp_path, partition_by=partition_by)
    for _ in range(4):
        written.play([2, (0,), 3, (2,)], point, hit)
    written.play([1, "close"])
    assert shown(store, bucket) == list(range(written.covered)) and written.covered > 0
    assert not (tmp_path / "state/parts").exists()


def test_names_say_the_epoch_the_sink_and_the_number(store: Store, bucket: str, tmp_path: Path) -> None:
    written = job(store, bucket, tmp_path, partition_by="k", max_rows_per_file=1)
    written.play([3, "close"])
    token = (tmp_path / "state/token").read_text()
    assert store.keys(bucket) == [
        f"out/k=0/part-00000001-{token}-00000.parquet",
        f"out/k=0/part-00000001-{token}-00001.parquet",
        f"out/k=1/part-00000001-{token}-00000.parquet",
    ]


def test_rows_of_later_epochs_are_removed_and_others_stay(store: Store, bucket: str, tmp_path: Path) -> None:
    written = job(store, bucket, tmp_path)
    out = io.BytesIO()
    rows(99, 100).write_parquet(out)
    store.put(f"{bucket}/out/other.parquet", out.getvalue())
    written.play([2, (0,), 2, (0,)])
    written.complete.pop()  # the newest manifest is damaged
    written.play([1, "close"])
    assert shown(store, bucket) == [0, 1, 2, 99]


def test_a_stream_without_rows_shows_the_columns_until_there_are_rows(
    store: Store, bucket: str, tmp_path: Path
) -> None:
    written = job(store, bucket, tmp_path)
    written.play([(0,), (0,)])
    assert len(store.keys(bucket)) == 1 and shown(store, bucket) == []
    written.play([(0,), 2, "close"])
    assert len(store.keys(bucket)) == 1 and shown(store, bucket) == [0, 1]


def test_an_upload_that_fails_is_repeated_by_the_next_run(store: Store, bucket: str, tmp_path: Path) -> None:
    written = job(store, bucket, tmp_path)
    written.start()
    written.write(2)
    store.fails = ("PUT POST", bucket, "AccessDenied")
    with pytest.raises(SinkError, match="cannot be written"):
        written.checkpoint()
    written.kill()
    assert shown(store, bucket) == []
    store.fails = None
    written.play(["close"])
    assert shown(store, bucket) == [0, 1]
    # So is the removal of a later epoch.
    written.play([2, (0,)])
    written.complete.pop()
    store.fails = ("DELETE POST", bucket, "AccessDenied")
    with pytest.raises(SinkError, match="cannot be deleted"):
        written.start()
    store.fails = None
    written.play(["close"])
    assert shown(store, bucket) == [0, 1]


def test_objects_that_are_gone_are_missed(store: Store, bucket: str, tmp_path: Path) -> None:
    written = job(store, bucket, tmp_path)
    written.play([2, (0,), 2, (0,), (0,), "close"])
    first, second = store.keys(bucket)
    store.files.delete_file(f"{bucket}/{first}")  # an older one may go
    written.play(["close"])
    store.files.delete_file(f"{bucket}/{second}")
    with pytest.raises(CheckpointError, match=r"(?s)lacks files.*1 file of epoch 2.*found: none"):
        written.start()
    # From the beginning, all of them come again.
    again = Job(written.sink, written.folder, rows, [(9, 0, None)], 5, 9)  # type: ignore[list-item]
    again.play([3, "close"])
    assert shown(store, bucket) == [0, 1, 2]
    lost = job(store, bucket, tmp_path / "other")
    lost.play([2, "complete"])
    for path in (tmp_path / "other/state").rglob("*.parquet"):
        path.unlink()
    with pytest.raises(SinkError, match="rows of the last checkpoint are lost"):
        lost.start()


def test_what_may_be_there(store: Store, bucket: str, tmp_path: Path) -> None:
    written = job(store, bucket, tmp_path, mode="error")
    written.play([1, (0,)])
    written.play([1, "close"])
    assert shown(store, bucket) == [0, 1]
    with pytest.raises(SinkError, match="already holds data files"):
        job(store, bucket, tmp_path / "other", mode="error").start()
    other = Job(written.sink, tmp_path / "third", lambda begin, end: rows(begin, end).rename({"x": "y"}))
    other.sink = job(store, bucket, tmp_path).sink
    with pytest.raises(SchemaError):
        other.start()


def test_runs_are_continued(store: Store, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    sink = Sink.to_file(f"s3://{bucket}/out/", storage_options=store.options)
    for number in range(3):
        rows(number * 5, number * 5 + 5).write_csv(tmp_path / f"in/{number}.csv")
        pipeline = Pipeline.builder().source(Source.from_file(tmp_path / "in")).sink(sink).build()
        assert "with checkpoints: exactly once\n" in pipeline.explain()
        assert "part objects of an epoch appear after its checkpoint" in pipeline.explain()
        assert pipeline.run_sync(checkpoint=tmp_path / "state").rows_in == 5
        assert shown(store, bucket) == list(range(number * 5 + 5))


@pytest.mark.parametrize(
    ("url", "options", "text"),
    [
        ("s3://b/out.parquet", {}, r"(?s)cannot grow.*hint: end the URL with '/', with format='parquet'"),
        ("gs://b/out.csv.gz", {}, r"(?s)cannot grow.*hint: end the URL with '/', with format='csv'"),
        ("s3://b/out/", {"overwrite": True}, "mode='overwrite' replaces"),
        (
            "s3://b/out/",
            {"mode": "overwrite_partitions", "partition_by": "k"},
            "replaces what the checkpoints",
        ),
    ],
)
def test_what_cannot_grow_is_refused(url: str, options: Any, text: str) -> None:
    with pytest.raises(PlanError, match=text):
        ObjectSink.of(url, **options).with_checkpoints()


def test_what_checkpoints_know_of_objects() -> None:
    sink = ObjectSink.of("s3://b/out/", format="csv", compression="gzip")
    assert sink.exactly_once
    assert sink.identity == ObjectSink.of("s3://b/out/", format="csv").identity == "objects s3://b/out/ (csv)"
