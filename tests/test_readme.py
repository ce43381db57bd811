"""The README's Python runs as it stands, in one go, on a few flights of its own."""

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

README = Path(__file__).parents[1] / "README.md"


def a_few_flights() -> None:
    Path(".data").mkdir()
    columns = {"dep_delay": ["10", "70", "200", "NA"], "arr_delay": ["0", "50", "210", "NA"]}
    pl.DataFrame(columns).write_csv(".data/flights.csv")


def some_broken_events() -> None:
    Path("events.ndjson").write_text('{"x": 1}\n{"x": 2\n"y": 3}\n\n{"x": "4"}\n{"x": "five"}\n{"x": 6}')


def test_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    a_few_flights()
    some_broken_events()
    namespace: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 10
    for block in blocks:
        exec(compile(block, str(README), "exec"), namespace)
    assert pl.read_parquet("late.parquet")["made_up"].to_list() == [20, -10]
    assert pl.read_parquet("orders.parquet")["total"].to_list() == [12.5, 35.0]
    assert namespace["events"]["x"].to_list() == [1, 6]
    out = capsys.readouterr().out
    assert "costs: arrow" in out
    assert "\n12\n" in out
    assert "batches wait" in out


def test_the_readmes_job_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from arrowstream.jobs.job import Job

    monkeypatch.chdir(tmp_path)
    a_few_flights()
    block, _ = re.findall(r"```toml\n(.*?)```", README.read_text(), re.DOTALL)
    Path("flights.toml").write_text(block)
    Job.load("flights.toml").pipeline().run_sync()
    assert pl.read_parquet("late.parquet")["made_up"].to_list() == [20, -10]


def test_the_readmes_settings_are_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from arrowstream import Settings

    monkeypatch.chdir(tmp_path)
    _, block = re.findall(r"```toml\n(.*?)```", README.read_text(), re.DOTALL)
    Path("arrowstream.toml").write_text(block)
    assert Settings.load(environ={}) == Settings()
