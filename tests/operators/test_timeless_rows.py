"""Rows without an event time: windows raise, leave them out, or count them as late."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from arrowstream import Pipeline, RunReport, Sink, Source
from arrowstream.errors import PlanError, StageError
from arrowstream.jobs.job import Job
from arrowstream.plan.identity import identity

ROWS = pl.DataFrame(
    {
        "at": pl.Series([0, None, 4, 11, None, 12, 31, 2], dtype=pl.Int64) * 1_000_000,
        "k": ["a", "b", "a", "b", "a", "a", "b", "a"],
        "x": range(8),
    }
)
KINDS: dict[str, dict[str, Any]] = {"size": {"size": "10s"}, "session": {"session": "5s"}}


def windows(rows: pl.DataFrame, by_rows: int = 3, event_time: bool = True, **options: Any) -> Any:
    source = Source.from_frame(list(rows.iter_slices(by_rows)))
    source = source.with_event_time("at", lateness="1s") if event_time else source
    return Pipeline.builder("job").source(source).window(on="at", by="k", **options).agg(x=pl.col("x").sum())


def result(rows: pl.DataFrame, **options: Any) -> pl.DataFrame:
    found: pl.DataFrame = windows(rows, **options).collect_sync()
    return found


@pytest.mark.parametrize("by_rows", [1, 3, 8])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("policy", ["drop", "late"])
def test_the_windows_are_those_of_the_rows_with_a_time(policy: str, kind: str, by_rows: int) -> None:
    options = {**KINDS[kind], "event_time": False}
    timed = ROWS.filter(pl.col("at").is_not_null())
    found = result(ROWS, by_rows=by_rows, null_times=policy, **options)
    expected = result(timed, by_rows=8, **options)
    by = ["window_start", "k"]
    assert_frame_equal(found.sort(by), expected.sort(by))


def late(report: RunReport) -> int:
    return sum(stage.late_rows for stage in report.stages)


def run(rows: pl.DataFrame, into: list[Any] | None = None, **options: Any) -> RunReport:
    sink = {} if into is None else {"late": Sink.to_fn(into.append)}
    built = windows(rows, **sink, **options).sink(Sink.to_fn(lambda batch: None)).build()
    report: RunReport = built.run_sync()
    return report


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_left_out_are_counted_in_the_report(kind: str) -> None:
    report = run(ROWS, null_times="drop", **KINDS[kind])
    [note] = report.notes
    assert str(note) == "2 rows without an event time left out, first in frame rows 1-2"
    assert note.lost and str(note) in str(report) and late(report) == 1
    assert report.lost_rows == 3, "those without a time, and the late one"
    assert run(ROWS.filter(pl.col("at").is_not_null()), null_times="drop", **KINDS[kind]).notes == ()


def test_a_row_whose_source_is_not_known_has_its_number() -> None:
    rows = windows(ROWS, event_time=False, by_rows=8, size="10s", null_times="drop")
    first = Pipeline.builder().source(Source.from_frame(ROWS)).filter(pl.col("x") >= 0)
    batches = first.batch(rows=5).window(size="10s", on="at", null_times="drop").agg(n=pl.len())
    for builder in (rows, batches):
        [note] = builder.sink(Sink.to_fn(lambda batch: None)).build().run_sync().notes
        assert note.count == 2 and note.first


@pytest.mark.parametrize("kind", KINDS)
def test_as_late_rows_they_go_where_late_rows_go(kind: str) -> None:
    got: list[Any] = []
    report = run(ROWS, got, null_times="late", **KINDS[kind])
    assert sorted(row["x"] for batch in got for row in batch.to_pylist()) == [1, 4, 7]
    assert late(report) == 3 and report.notes == ()
    assert late(run(ROWS, null_times="late", **KINDS[kind])) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_an_error_that_names_both(kind: str) -> None:
    with pytest.raises(StageError, match="rows without an event time") as caught:
        run(ROWS, **KINDS[kind])
    assert caught.value.hint is not None and 'null_times="drop"' in caught.value.hint


@pytest.mark.parametrize("policy", ["drop", "late"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_job_that_one_has_ended_goes_on(kind: str, policy: str, tmp_path: Path) -> None:
    """From its last checkpoint, also with a sink of late rows that it did not have."""
    folder = tmp_path / "in"
    folder.mkdir()
    ROWS[:1].write_parquet(folder / "1.parquet")

    def job(**options: Any) -> Pipeline:
        source = Source.from_file(folder / "*.parquet").with_event_time("at", lateness="1s")
        steps = Pipeline.builder("job").source(source).window(on="at", by="k", **KINDS[kind], **options)
        return steps.agg(x=pl.col("x").sum()).sink(Sink.to_file(f"{tmp_path}/out/")).build()

    state = tmp_path / "state"
    job().run_sync(checkpoint=state)
    ROWS[1:].write_parquet(folder / "2.parquet")
    with pytest.raises(StageError, match="rows without an event time"):
        job().run_sync(checkpoint=state)
    aside = Sink.to_file(f"{tmp_path}/late/")
    job(null_times=policy, **({"late": aside} if policy == "late" else {})).run_sync(checkpoint=state)
    shown = pl.read_parquet(tmp_path / "out/*.parquet")["x"].sum()
    assert shown == 0 + 2 + 3 + 5 + 6 + 7
    if policy == "late":
        assert sorted(pl.read_parquet(tmp_path / "late/*.parquet")["x"]) == [1, 4]


def test_it_is_shown_and_does_not_change_the_pipeline() -> None:
    plain, other = (windows(ROWS, size="10s", **options) for options in ({}, {"null_times": "drop"}))
    assert "null_times=drop" in other.explain() and "null_times" not in plain.explain()
    lines = [identity(b.sink(Sink.to_fn(print)).build()._plan) for b in (plain, other)]
    assert lines[0] == lines[1]


def test_explain_knows_that_rows_are_late_without_a_watermark() -> None:
    text = "no row is ever late"
    aside = Sink.to_fn(print)
    assert text in windows(ROWS, event_time=False, size="10s", late=aside).explain()
    for kind in KINDS.values():
        assert text not in windows(ROWS, event_time=False, late=aside, null_times="late", **kind).explain()


def test_unknown_words_and_windows_of_rows_are_refused() -> None:
    with pytest.raises(PlanError, match="unknown null_times") as caught:
        windows(ROWS, size="10s", null_times="dorp")
    assert "drop" in str(caught.value.hint)
    builder = Pipeline.builder().source(Source.from_frame(ROWS))
    with pytest.raises(PlanError, match="has no null_times"):
        builder.window(rows=3, null_times="drop")


def test_jobs(tmp_path: Path) -> None:
    ROWS.write_parquet(tmp_path / "in.parquet")
    file = tmp_path / "job.toml"
    file.write_text(
        """
        [source]
        kind = "file"
        path = "in.parquet"
        [[steps]]
        window = { size = "10s", on = "at", null_times = "drop", agg = { n = "count(*)" } }
        [sink]
        kind = "file"
        path = "out.parquet"
        """
    )
    Job.load(file).pipeline().run_sync()
    assert pl.read_parquet(tmp_path / "out.parquet")["n"].sum() == 6
