"""The main job, as Python and as TOML, against the same query in Polars; and the examples in docstrings."""

import doctest
import importlib
import runpy
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from arrowstream.jobs.job import Job

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "arrowstream"
FLIGHTS = ROOT / ".data" / "flights.csv"


def oracle() -> pl.DataFrame:
    """The job in plain Polars, written for this test."""
    numbers = ("dep_delay", "arr_delay", "air_time")
    flights = pl.read_csv(FLIGHTS, null_values="NA", schema_overrides=dict.fromkeys(numbers, pl.Int64))
    late = flights.filter(pl.col("dep_delay") > 60).drop_nulls("arr_delay")
    return late.select(
        "month",
        "day",
        "carrier",
        "flight",
        "origin",
        "dest",
        "dep_delay",
        made_up=pl.col("dep_delay") - pl.col("arr_delay"),
        mph=(pl.col("distance") / (pl.col("air_time") / 60.0)).round(1),
    )


def written(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "**/*.parquet", hive_partitioning=True)


@pytest.mark.parametrize("form", ["python", "toml"])
def test_the_main_job_equals_polars(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".data").symlink_to(FLIGHTS.parent)
    (tmp_path / "examples").mkdir()
    if form == "python":
        runpy.run_path(str(ROOT / "examples" / "flights.py"), run_name="__main__")
        assert "336,776 flights in, 26,329 late ones out" in capsys.readouterr().out
    else:
        # Its paths start at its own folder.
        job = shutil.copy(ROOT / "examples" / "flights.toml", "examples")
        report = Job.load(job).pipeline().run_sync()
        assert (report.rows_in, report.rows_out) == (336_776, 26_329)
    expected = oracle()
    found = written(tmp_path / "out" / "late-flights").select(expected.columns)
    assert_frame_equal(found, expected, check_row_order=False, check_exact=True)


def in_place(name: str, folder: Path) -> Path:
    """A copy of a job of the examples, whose paths start at its own folder."""
    (folder / "examples").mkdir(exist_ok=True)
    return Path(shutil.copy(ROOT / "examples" / name, folder / "examples"))


def rain(folder: Path) -> pl.DataFrame:
    """What the daily job keeps, in plain Polars."""
    days = sorted(folder.glob("days/*.csv"))
    read = [pl.read_csv(day).with_columns(day=pl.lit(day.stem)) for day in days]
    together = pl.concat(read, how="diagonal_relaxed").filter(pl.col("rain") > 0)
    return together.select("day", "station", pl.col("rain").cast(pl.Float64), "wind").sort(pl.all())


@pytest.mark.parametrize("form", ["python", "toml"])
def test_the_daily_job_over_drifting_files_equals_polars(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    example = runpy.run_path(str(ROOT / "examples" / "daily_rain.py"))
    example["write_days"]()
    assert len({tuple(pl.read_csv(day).columns) for day in tmp_path.glob("days/*.csv")}) == 4
    out = tmp_path / "out" / "rain"
    if form == "python":
        example["main"]()
        assert "daily-rain: 1,000 rows in" in capsys.readouterr().out
    else:
        job = in_place("daily_rain.toml", tmp_path)
        assert Job.load(job).pipeline().run_sync().rows_in == 1_000
        others = {file: file.stat().st_ino for file in out.rglob("*.parquet") if "01-04" not in str(file)}
        changed = tmp_path / "days" / "2026-01-04.csv"
        changed.write_text(changed.read_text().replace("Molde", "Hamar"))
        monkeypatch.setenv("DAY", "2026-01-04")
        assert Job.load(job).pipeline().run_sync().rows_in == 200
        assert {file: file.stat().st_ino for file in others} == others
    found = pl.read_parquet(out / "**/*.parquet", hive_schema={"day": pl.String})
    found = found.select("day", "station", "rain", "wind").sort(pl.all())
    assert_frame_equal(found, rain(tmp_path), check_exact=True)


def modules_with_examples() -> list[str]:
    files = (path for path in sorted(PACKAGE.rglob("*.py")) if ">>> " in path.read_text())
    parts = (path.relative_to(ROOT).with_suffix("").parts for path in files)
    return [".".join(part[:-1] if part[-1] == "__init__" else part) for part in parts]


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    found = doctest.DocTestFinder().find(importlib.import_module(name))
    with_examples = [test for test in found if test.examples]
    assert with_examples
    for test in with_examples:
        runner.run(test)
    assert runner.failures == 0
