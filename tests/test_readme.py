"""The README's Python runs as it stands, in one go, on a few flights of its own."""

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

README = Path(__file__).parents[1] / "README.md"


def test_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    pl.DataFrame({"dep_delay": [10, 70, 200], "arr_delay": [0, 50, 210]}).write_csv("flights.csv")
    namespace: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        exec(compile(block, str(README), "exec"), namespace)
    assert pl.read_parquet("late.parquet")["made_up"].to_list() == [20, -10]
    assert pl.read_parquet("orders.parquet")["total"].to_list() == [12.5, 35.0]
    assert "costs: arrow" in capsys.readouterr().out


def test_the_readmes_job_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from arrowstream.job import Job

    monkeypatch.chdir(tmp_path)
    pl.DataFrame({"dep_delay": [10, 70, 200], "arr_delay": [0, 50, 210]}).write_csv("flights.csv")
    (block,) = re.findall(r"```toml\n(.*?)```", README.read_text(), re.DOTALL)
    Path("flights.toml").write_text(block)
    Job.load("flights.toml").pipeline().run_sync()
    assert pl.read_parquet("late.parquet")["made_up"].to_list() == [20, -10]
