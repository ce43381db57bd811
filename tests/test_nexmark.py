"""All Nexmark queries, as steps and as SQL, give what DuckDB gives over the whole."""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl
import pytest
from sql_oracle import by_duckdb, multiset

from arrowstream import Builder, Pipeline, Source
from benchmarks.nexmark import by_duckdb as duck
from benchmarks.nexmark import queries, steps
from benchmarks.nexmark.generator import LATENESS_S, Events

pytestmark = pytest.mark.untraced

SIDE_INPUT = pl.DataFrame({"key": range(0, 10_000, 2), "value": [f"value {n}" for n in range(0, 10_000, 2)]})


@cache
def events(disorder: bool) -> Events:
    return Events(20_000, per_second=400, seed=7, disorder=disorder)


@cache
def expected(name: str) -> pl.DataFrame:
    made = events(False)
    frames = {"person": made.persons, "auction": made.auctions, "bid": made.bids, "side_input": SIDE_INPUT}
    return by_duckdb(duck.QUERIES[name], frames)


def stream(frame: pl.DataFrame, name: str, seed: int) -> Builder:
    """The rows cut anywhere."""
    ends = np.sort(np.random.default_rng(seed).integers(0, frame.height, 12))
    cuts = [frame[int(a) : int(b)] for a, b in zip([0, *ends], [*ends, frame.height], strict=True)]
    source = Source.from_frame(cuts).with_event_time("date_time", lateness=LATENESS_S)
    return Pipeline.builder(name).source(source)


def tables(disorder: bool) -> steps.Tables:
    made = events(disorder)
    return steps.Tables(
        stream(made.persons, "person", 1),
        stream(made.auctions, "auction", 2),
        stream(made.bids, "bid", 3),
        SIDE_INPUT,
    )


def check(name: str, builder: Builder) -> None:
    found, wanted = builder.collect_sync(), expected(name)
    assert wanted.height > 0
    assert found.columns == wanted.columns
    assert multiset(found) == multiset(wanted)


@pytest.mark.parametrize("disorder", [False, True], ids=["in-order", "disorder"])
@pytest.mark.parametrize("name", steps.QUERIES)
def test_as_steps(name: str, disorder: bool) -> None:
    check(name, steps.QUERIES[name](tables(disorder)))


@pytest.mark.parametrize("disorder", [False, True], ids=["in-order", "disorder"])
@pytest.mark.parametrize("name", queries.QUERIES)
def test_as_sql(name: str, disorder: bool) -> None:
    found = tables(disorder)
    named = {
        "person": found.person,
        "auction": found.auction,
        "bid": found.bid,
        "side_input": found.side_input,
    }
    check(name, Pipeline.sql(queries.QUERIES[name], **named))
