"""All Nexmark queries, as steps and as SQL, give what DuckDB gives over the whole."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sql_oracle import by_duckdb, multiset

from arrowstream import Builder, Pipeline, Source
from arrowstream.io.memory.frame_source import FrameSource
from benchmarks.machine import ROOT
from benchmarks.nexmark import by_duckdb as duck
from benchmarks.nexmark import by_flink, queries, steps
from benchmarks.nexmark.generator import LATENESS_S, Events

pytestmark = pytest.mark.untraced

DISORDER = [pytest.param(False, marks=pytest.mark.once, id="in-order"), pytest.param(True, id="disorder")]

SIDE_INPUT = pl.DataFrame({"key": range(0, 10_000, 2), "value": [f"value {n}" for n in range(0, 10_000, 2)]})


@cache
def events(disorder: bool) -> Events:
    return Events(20_000, per_second=400, seed=7, disorder=disorder)


@cache
def expected(name: str) -> pl.DataFrame:
    made = events(False)
    frames = {"person": made.persons, "auction": made.auctions, "bid": made.bids, "side_input": SIDE_INPUT}
    return by_duckdb(duck.QUERIES[name], frames)


def stream(frame: pl.DataFrame, seed: int) -> FrameSource:
    """The rows cut anywhere."""
    ends = np.sort(np.random.default_rng(seed).integers(0, frame.height, 12))
    cuts = [frame[int(a) : int(b)] for a, b in zip([0, *ends], [*ends, frame.height], strict=True)]
    return Source.from_frame(cuts)


def streams(disorder: bool) -> dict[str, FrameSource]:
    made = events(disorder)
    frames = {"person": made.persons, "auction": made.auctions, "bid": made.bids}
    return {name: stream(frame, seed) for seed, (name, frame) in enumerate(frames.items())}


def check(name: str, builder: Builder) -> None:
    found, wanted = builder.collect_sync(), expected(name)
    assert wanted.height > 0
    assert found.columns == wanted.columns
    assert multiset(found) == multiset(wanted)


@pytest.mark.parametrize("disorder", DISORDER)
@pytest.mark.parametrize("name", steps.QUERIES)
def test_as_steps(name: str, disorder: bool) -> None:
    builders = {each: Pipeline.builder(each).source(source) for each, source in streams(disorder).items()}
    check(name, steps.QUERIES[name](steps.Tables(**builders, side_input=SIDE_INPUT)))


@pytest.mark.parametrize("disorder", DISORDER)
@pytest.mark.parametrize("name", queries.QUERIES)
def test_as_sql(name: str, disorder: bool) -> None:
    sources = {
        each: source.with_event_time("date_time", lateness=LATENESS_S)
        for each, source in streams(disorder).items()
    }
    check(name, Pipeline.sql(queries.QUERIES[name], **sources, side_input=SIDE_INPUT))


@pytest.mark.skipif("FLINK_PYTHON" not in os.environ, reason="FLINK_PYTHON names no interpreter with Flink")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", by_flink.QUERIES)
def test_by_flink(name: str, tmp_path: Path) -> None:
    made, target = events(True), tmp_path / "found.parquet"
    for each in ("person", "auction", "bid"):
        getattr(made, f"{each}s").write_parquet(tmp_path / f"{each}.parquet")
    python = os.environ["FLINK_PYTHON"]
    command = [python, "-m", "benchmarks.nexmark.by_flink", name, str(tmp_path), str(target)]
    subprocess.run(command, cwd=ROOT, input="run\n", text=True, check=True)
    found, wanted = pl.read_parquet(target), expected(name)
    assert found.columns == wanted.columns
    assert multiset(found) == multiset(wanted)
