"""The Kafka demo on some of its flights, against the same query in Polars."""

import asyncio
import runpy
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from servers.embedded_kafka import EmbeddedKafka

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[3]


@pytest.mark.untraced
def test_the_delays_of_each_day_and_airport(
    tmp_path: Path, embedded_kafka: EmbeddedKafka, capsys: Any
) -> None:
    demo = runpy.run_path(str(ROOT / "examples" / "kafka_flights.py"))
    some, folder = tmp_path / "flights.csv", tmp_path / "delays"
    text = (ROOT / ".data" / "flights.csv").read_text().splitlines()
    some.write_text("\n".join([text[0], *text[1:200_000:40]]))
    asyncio.run(
        demo["run"](embedded_kafka.address, 100_000, idempotent=False, path=str(some), folder=f"{folder}/")
    )
    flights = demo["flights"](str(some))
    expected = flights.group_by(pl.col("at").dt.truncate("1d").alias("window_start"), "origin").agg(
        flights=pl.len(),
        cancelled=pl.col("dep_delay").null_count(),
        delay=pl.col("dep_delay").mean().round(1),
    )
    found = pl.read_parquet(folder / "*.parquet").drop("window_end")
    assert_frame_equal(found, expected, check_row_order=False, check_column_order=False, check_dtypes=False)
    assert f"{flights.height:,} read" in capsys.readouterr().out


@pytest.mark.untraced
def test_a_job_that_is_killed_counts_each_flight_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    examples = ROOT / "examples"
    monkeypatch.syspath_prepend(examples)
    text = (ROOT / ".data" / "flights.csv").read_text().splitlines()
    (tmp_path / "flights.csv").write_text("\n".join(text[:40_000]))
    demo = runpy.run_path(str(examples / "recover.py"))
    settings = {"FLIGHTS": str(tmp_path / "flights.csv"), "FOLDER": str(tmp_path), "KILLS": 1}
    demo["main"].__globals__.update(settings)
    asyncio.run(demo["main"]())
    printed = capsys.readouterr().out
    # On a busy machine the job may end before its kill; `tests/checkpoints/test_kills.py` kills at known moments.
    assert "run 1 " in printed and printed.endswith("each flight was counted once\n")
