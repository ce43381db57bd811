"""Whole pipelines with checkpoints into files: stopped or failed at any time and continued, they equal one run."""

import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from arrowstream import Builder, ErrorHandler, Pipeline, Sink
from arrowstream.core.batch import Barrier
from arrowstream.errors import PlanError
from arrowstream.testing import Abort, Aborted, Pause, TestSource

pytestmark = pytest.mark.once

N = pl.int_range(160)
ROWS = pl.select(
    t=N * 250_000 - pl.when(N % 30 == 29).then(20_000_000).otherwise(0), k=(N * 7 % 5).cast(pl.String), x=N
)
FRAMES = [ROWS[start : start + 8] for start in range(0, ROWS.height, 8)]
X = pl.col("x")


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Syncing would take most of the time of these tests."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


def fallible(frame: pl.DataFrame) -> pl.DataFrame:
    if (frame["x"] % 40 == 38).any():
        raise ValueError("a row that no step can take")
    return frame


def pipeline(place: Path, script: list[Any], **options: Any) -> Pipeline:
    """Windows into partitions, with late rows in a folder, dead letters in NDJSON, and every row in CSV."""
    late = Sink.to_file(f"{place}/late/", max_rows_per_file=2)
    bad = Sink.to_file(place / "bad.ndjson")
    rows = Pipeline.builder("job").source(TestSource.from_frames(script).with_event_time("t", lateness="1s"))

    def windows(branch: Builder) -> Builder:
        totals = branch.window("5s", on="t", by="k", late=late).agg(n=pl.len(), total=X.sum())
        return totals.sink(Sink.to_file(f"{place}/windows/", partition_by="k", **options))

    return (
        rows.map(fallible, frame="polars")
        .on_error(ErrorHandler.dead_letter(bad))
        .split(pl.when(X % 4 == 0).then(pl.lit("rows")).otherwise(pl.lit("windows")))
        .branch("windows", windows)
        .branch("rows", lambda rows: rows.sink(Sink.to_file(place / "rows.csv")))
        .merge()
        .build()
    )


def shown(place: Path) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of each sink as a reader finds them."""
    late, windows = pl.read_parquet(place / "late/"), pl.scan_parquet(place / "windows/").collect()
    bad = pl.read_ndjson(place / "bad.ndjson").select("t", "k", "x", "error", "stage")
    frames = {"late": late, "windows": windows, "bad": bad, "rows": pl.read_csv(place / "rows.csv")}
    assert all(frame.height > 3 for frame in frames.values())
    return {name: sorted(frame.rows()) for name, frame in frames.items()}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of a run without checkpoints."""
    place = tmp_path_factory.mktemp("plain")
    pipeline(place, FRAMES).run_sync()
    return shown(place)


def left(place: Path) -> list[Path]:
    hidden = [path for path in place.rglob(".*") if path.suffix != ".epoch"]
    return [*hidden, *place.rglob("rows-*")]


@pytest.mark.untraced
def test_runs_that_are_stopped_and_continued_equal_a_run_in_one_go(
    expected: dict[str, list[tuple[Any, ...]]], tmp_path: Path
) -> None:
    script = [each for frame in FRAMES for each in (frame, Pause(0.002))]
    state, stops = tmp_path / "state", 0
    while True:
        report = pipeline(tmp_path, script).run_sync(checkpoint=state, every="3ms", duration=0.01 * 2**stops)
        assert left(tmp_path) == []
        if report.stopped is None:
            break
        stops += 1
    assert stops > 1 and shown(tmp_path) == expected
    # The daily job: nothing is new.
    assert pipeline(tmp_path, script).run_sync(checkpoint=state).rows_in == 0
    assert shown(tmp_path) == expected and left(tmp_path) == []


@pytest.mark.parametrize("every", ["1ms", "1h"])
def test_runs_that_fail_and_are_continued_equal_a_run_in_one_go(
    every: str, expected: dict[str, list[tuple[Any, ...]]], tmp_path: Path
) -> None:
    script: list[Any] = [each for frame in FRAMES for each in (frame, Pause(0.001))]
    script[36:36], script[20:20] = [Abort()], [Abort()]
    for _ in range(2):
        with pytest.raises(Aborted):
            pipeline(tmp_path, script).run_sync(checkpoint=tmp_path / "state", every=every)
    pipeline(tmp_path, script).run_sync(checkpoint=tmp_path / "state", every=every)
    assert shown(tmp_path) == expected and left(tmp_path) == []


@pytest.mark.untraced
def test_a_compression_may_change_between_two_runs(tmp_path: Path) -> None:
    for compression in ("zstd", "snappy"):
        pipeline(tmp_path, FRAMES, compression=compression).run_sync(checkpoint=tmp_path / "state")
    assert shown(tmp_path)["rows"]


def test_a_sink_that_cannot_grow_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    rows = Pipeline.builder().source(TestSource.from_frames([*FRAMES, Barrier(9)]))
    job = rows.sink(Sink.to_file(tmp_path / "out.parquet")).build()
    with pytest.raises(
        PlanError, match="write part files into a folder: the path out/, with format='parquet'"
    ):
        job.run_sync(checkpoint=tmp_path / "state")
    assert list(tmp_path.iterdir()) == []
