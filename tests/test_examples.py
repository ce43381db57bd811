"""The main job, as Python and as TOML, against the same query in Polars; and the examples in docstrings."""

import doctest
import gzip
import importlib.util
import json
import runpy
import shutil
from collections import defaultdict
from datetime import datetime
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


@pytest.mark.untraced
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


def requests(folder: Path) -> pl.DataFrame:
    """Requests and bytes by hour and status, counted line by line."""
    found: dict[tuple[str, int], list[int]] = defaultdict(list)
    for log in sorted(folder.glob("logs/*.log.gz")):
        for line in gzip.decompress(log.read_bytes()).decode().splitlines():
            if " HTTP/1.1" in line:
                at = datetime.strptime(line.split("[")[1][:20], "%d/%b/%Y:%H:%M:%S")
                status, size = line.split()[-2:]
                found[f"{at:%Y-%m-%dT%H}:00:00.000000", int(status)].append(int(size))
    rows = [(hour, status, len(sizes), sum(sizes)) for (hour, status), sizes in found.items()]
    return pl.DataFrame(rows, ["window_start", "status", "requests", "bytes"], orient="row").sort(pl.all())


@pytest.mark.parametrize("form", ["python", "toml"])
def test_requests_by_hour_of_compressed_logs_are_those_of_a_loop_over_their_lines(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    example = runpy.run_path(str(ROOT / "examples" / "access_logs.py"))
    example["write_logs"]()
    if form == "python":
        example["main"]()
        assert "1,532 rows in" in capsys.readouterr().out
    else:
        Job.load(in_place("access_logs.toml", tmp_path)).pipeline().run_sync()
    (file,) = (tmp_path / "out" / "requests-by-hour").glob("*.csv")
    expected = requests(tmp_path)
    assert expected["requests"].sum() == 1_500
    assert_frame_equal(pl.read_csv(file).select(expected.columns).sort(pl.all()), expected)


@pytest.mark.parametrize("form", ["python", "toml"])
def test_readings_are_those_of_the_sound_lines_and_the_others_are_put_aside(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    example = runpy.run_path(str(ROOT / "examples" / "device_events.py"))
    example["write_events"]()
    if form == "python":
        example["main"]()
        assert "600 rows in" in capsys.readouterr().out
    else:
        Job.load(in_place("device_events.toml", tmp_path)).pipeline().run_sync()
    expected, broken = [], []
    for file in sorted(tmp_path.glob("events/*.ndjson")):
        for number, line in enumerate(file.read_text().splitlines(), 1):
            event = sound(line)
            if event is None:
                broken.append((file.name, number, line))
            else:
                (at, device), readings = (event["at"], event["device"]), event["readings"]
                expected += [
                    (at, device["id"], device["place"], each["kind"], each["value"]) for each in readings
                ]
    names = ["at", "device", "place", "kind", "value"]
    files = tmp_path / "out" / "readings" / "**/*.parquet"
    found = pl.read_parquet(files, hive_partitioning=True).select(names)
    wanted = pl.DataFrame(expected, names, orient="row").with_columns(pl.col("at").str.to_datetime())
    assert_frame_equal(found.sort(pl.all()), wanted.sort(pl.all()), check_exact=True)
    aside = pl.concat(map(pl.read_ndjson, (tmp_path / "out" / "broken-events").glob("*.ndjson")))
    rows = [(Path(row["file"]).name, row["row"], row["text"]) for row in aside.rows(named=True)]
    assert len(broken) > 10
    assert sorted(rows) == sorted(broken)


def sound(line: str) -> Any:
    """The event of a line; None if it is no JSON, or its device has no number."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event["device"]["id"], int) else None


def modules_with_examples() -> list[str]:
    files = (path for path in sorted(PACKAGE.rglob("*.py")) if ">>> " in path.read_text())
    parts = (path.relative_to(ROOT).with_suffix("").parts for path in files)
    return [".".join(part[:-1] if part[-1] == "__init__" else part) for part in parts]


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    found = doctest.DocTestFinder().find(importlib.import_module(name))
    missing = () if importlib.util.find_spec("pyiceberg") else ("_iceberg",)  # the oldest versions have none
    with_examples = [test for test in found if test.examples and not test.name.endswith(missing)]
    assert with_examples
    for test in with_examples:
        runner.run(test)
    assert runner.failures == 0
