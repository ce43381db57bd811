"""Rows without an event time in joins, duplicates and groups: an error, left out, or late."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from arrowstream import Builder, Pipeline, RunReport, Sink, Source
from arrowstream.errors import PlanError, StageError
from arrowstream.jobs.job import Job
from arrowstream.plan.identity import identity

ROWS = pl.DataFrame(
    {
        "at": pl.Series([0, None, 4, 4, None, 12, 31, 2], dtype=pl.Int64) * 1_000_000,
        "k": ["a", "b", "a", "b", "a", "a", "b", "a"],
        "x": range(8),
    }
)
OTHERS = pl.DataFrame(
    {
        "at": pl.Series([1, 3, None, 30], dtype=pl.Int64) * 1_000_000,
        "k": ["a", "b", "a", "b"],
        "y": range(4),
    }
)
STEPS: dict[str, Callable[..., Builder]] = {
    "unique": lambda rows, others, **options: rows.unique("k", within="3s", **options),
    "unique last": lambda rows, others, **options: rows.unique("k", within="3s", keep="last", **options),
    "top_k": lambda rows, others, **options: rows.top_k(1, by="x", per="at", **options),
    "top_k updates": lambda rows, others, **options: rows.top_k(
        1, by="x", per="at", emit="updates", **options
    ),
    "sort": lambda rows, others, **options: rows.sort("x", per="at", **options),
    "over": lambda rows, others, **options: rows.over("at", n=pl.len(), **options),
    "join": lambda rows, others, **options: rows.join(others, on="k", within="5s", how="left", **options),
    "join_asof": lambda rows, others, **options: rows.join_asof(others, on="at", by="k", **options),
}
JOINS = ("join", "join_asof")


def stream(rows: pl.DataFrame, by_rows: int, lateness: str = "60s") -> Builder:
    source = Source.from_frame(list(rows.iter_slices(by_rows)))
    return Pipeline.builder("job").source(source.with_event_time("at", lateness=lateness))


def built(step: str, rows: pl.DataFrame, others: pl.DataFrame, by_rows: int = 3, **options: Any) -> Builder:
    return STEPS[step](stream(rows, by_rows), stream(others, by_rows), **options)


def run(step: str, into: list[Any] | None = None, **options: Any) -> RunReport:
    sink = {} if into is None else {"late": Sink.to_fn(into.append)}
    made = built(step, ROWS, OTHERS, **sink, **options)
    return made.sink(Sink.to_fn(lambda batch: None)).build().run_sync()


def late(report: RunReport) -> int:
    return sum(stage.late_rows for stage in report.stages)


@pytest.mark.parametrize("by_rows", [1, *(pytest.param(more, marks=pytest.mark.untraced) for more in (3, 8))])
@pytest.mark.parametrize("policy", ["drop", "late"])
@pytest.mark.parametrize("step", STEPS)
def test_the_result_is_that_of_the_rows_with_a_time(step: str, policy: str, by_rows: int) -> None:
    timed, others = (rows.filter(pl.col("at").is_not_null()) for rows in (ROWS, OTHERS))
    found = built(step, ROWS, OTHERS, by_rows, null_times=policy).collect_sync()
    expected = built(step, timed, others, by_rows).collect_sync()
    if step != "top_k updates" or by_rows == 8:  # updates depend on where the stream is cut
        assert_frame_equal(found.sort(found.columns), expected.sort(expected.columns))
    assert found.height > 0


@pytest.mark.parametrize("step", STEPS)
def test_rows_that_are_left_out_are_counted_in_the_report(step: str) -> None:
    report = run(step, null_times="drop")
    assert sum(note.count for note in report.notes) == (3 if step in JOINS else 2)
    assert "rows without an event time left out, first in frame rows 1-2" in str(report.notes[0])
    assert report.lost_rows == (3 if step in JOINS else 2) and late(report) == 0
    assert run(step, null_times="late").notes == ()


@pytest.mark.parametrize("step", STEPS)
def test_as_late_rows_they_go_where_late_rows_go(step: str) -> None:
    got: list[Any] = []
    report = run(step, got, null_times="late")
    found = [row for batch in got for row in batch.to_pylist()]
    assert sorted(row["x"] for row in found if row["x"] is not None) == [1, 4]
    assert [row["y"] for row in found if row.get("y") is not None] == ([2] if step in JOINS else [])
    assert late(report) == len(found)


@pytest.mark.parametrize("step", STEPS)
def test_they_are_an_error_that_names_both(step: str) -> None:
    with pytest.raises(StageError, match=rf"{step.split()[0]}\(\) met rows without an event time") as caught:
        run(step)
    assert 'null_times="drop"' in str(caught.value.hint) and 'null_times="late"' in str(caught.value.hint)


@pytest.mark.parametrize("step", STEPS)
def test_it_is_shown_and_does_not_change_the_pipeline(step: str) -> None:
    plain, other = (built(step, ROWS, OTHERS, **options) for options in ({}, {"null_times": "drop"}))
    assert "null_times=drop" in other.explain() and "null_times" not in plain.explain()
    lines = [identity(made.sink(Sink.to_fn(print)).build()._plan) for made in (plain, other)]
    assert lines[0] == lines[1]


@pytest.mark.parametrize("step", STEPS)
def test_explain_knows_that_rows_are_late_without_a_watermark(step: str) -> None:
    text = "no row is ever late"
    rows, others = (Pipeline.builder().source(Source.from_frame(each)) for each in (ROWS, OTHERS))
    if step == "join_asof":
        others = others.filter(pl.col("y") >= 0)
    time = {} if step == "join_asof" else {"time": "at"}
    for policy, shown in {"error": True, "late": False}.items():
        made = STEPS[step](rows, others, late=Sink.to_fn(print), null_times=policy, **time)
        assert (text in made.explain()) is shown


@pytest.mark.parametrize("step", STEPS)
def test_unknown_words_are_refused(step: str) -> None:
    with pytest.raises(PlanError, match=rf"unknown null_times of {step.split()[0]}\(") as caught:
        built(step, ROWS, OTHERS, null_times="dorp")
    assert "drop" in str(caught.value.hint)


def test_it_goes_with_event_time() -> None:
    rows = stream(ROWS, 8)
    with pytest.raises(PlanError, match=r"unique\(null_times=...\) goes with within"):
        rows.unique("k", null_times="drop")
    with pytest.raises(PlanError, match=r"top_k\(null_times=...\) goes with groups of an event time"):
        rows.top_k(1, by="x", per="k", null_times="drop")
    with pytest.raises(PlanError, match=r"join\(null_times=...\) is for a join with a stream"):
        rows.join(OTHERS, on="k", null_times="late")
    with pytest.raises(PlanError, match=r"join_asof\(null_times=...\) is for a join with a stream"):
        rows.join_asof(OTHERS, on="at", null_times="late")


def test_a_job_goes_on_from_its_checkpoint_with_another_policy(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    ROWS[:1].write_parquet(folder / "1.parquet")
    OTHERS[:2].write_parquet(tmp_path / "others.parquet")

    def job(**options: Any) -> Pipeline:
        rows, others = (
            Pipeline.builder(name).source(Source.from_file(path).with_event_time("at", lateness="60s"))
            for name, path in {"job": folder / "*.parquet", "others": tmp_path / "others.parquet"}.items()
        )
        steps = rows.join(others, on="k", within="5s", **options)
        return steps.sink(Sink.to_file(f"{tmp_path}/out/")).build()

    state = tmp_path / "state"
    job().run_sync(checkpoint=state)
    ROWS[1:].write_parquet(folder / "2.parquet")
    with pytest.raises(StageError, match="rows without an event time"):
        job().run_sync(checkpoint=state)
    report = job(null_times="drop").run_sync(checkpoint=state)
    assert report.lost_rows == 2


def test_jobs(tmp_path: Path) -> None:
    ROWS.write_parquet(tmp_path / "in.parquet")
    file = tmp_path / "job.toml"
    file.write_text(
        """
        [source]
        kind = "file"
        path = "in.parquet"
        [[steps]]
        unique = { by = "k", within = "1s", time = "at", null_times = "drop" }
        [sink]
        kind = "file"
        path = "out.parquet"
        """
    )
    Job.load(file).pipeline().run_sync()
    assert pl.read_parquet(tmp_path / "out.parquet").height == 6
