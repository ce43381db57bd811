"""A million keys in `reduce`, a quarter of that in files, windows and `scan`, as DuckDB and Polars have them.

Rows are out of order and cut anywhere, on every backend, in memory and in files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from arrowstream import Pipeline, Source
from arrowstream.operators.windows import panes
from arrowstream.pipeline import Builder

LATENESS_US = 500_000
X = pl.col("x")
FILES = {"max_bytes": 2 << 20, "on_full": "spill"}


@dataclass(frozen=True)
class Case:
    """Rows, and how the steps before and after run."""

    rows: pl.DataFrame
    backend: str
    limit: dict[str, Any]

    def builder(self) -> Builder:
        """The rows in batches of any size, with `x` computed on the way."""
        count = self.rows.height
        cuts = np.sort(np.random.default_rng(1).integers(0, count, 25)).tolist()
        parts = [self.rows[start:stop] for start, stop in zip([0, *cuts], [*cuts, count], strict=True)]
        source = Source.from_frame(parts).with_event_time("ts", lateness=LATENESS_US / 1e6)
        return Pipeline.builder().source(source).with_columns(x=X * 3).backend(self.backend)


def case_of(keys: str, count: int) -> Case:
    """Rows at most half a second out of order, of `count` keys and some nulls."""
    rng, rows = np.random.default_rng(0), count * 11 // 10
    column = pl.Series("k", np.concatenate([rng.permutation(count), rng.integers(0, count, rows - count)]))
    if keys == "far":
        column = column * 9_223_372_036_853
    if keys == "text":
        column = column.cast(pl.String) + " user"
    times = np.sort(rng.integers(0, 30_000_000, rows)) + rng.integers(0, LATENESS_US, rows)
    frame = pl.DataFrame([pl.Series("ts", times), column, pl.Series("x", rng.integers(-1_000, 1_000, rows))])
    frame = frame.with_columns(k=pl.when(pl.int_range(pl.len()) % 100_003 > 0).then("k"))
    backend = {"close": "arrow", "far": "polars", "text": "auto"}[keys]
    return Case(frame, backend, {} if keys == "close" else FILES)


@pytest.fixture(scope="module", params=["close", "far", "text"])
def case(request: pytest.FixtureRequest) -> Case:
    return case_of(request.param, 250_000)


def test_windows(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panes, "_STREAMED", 40_000)
    windows = case.builder().window("10s", on="ts", by="k", **case.limit)
    found = windows.agg(X.sum().alias("total"), pl.len().cast(pl.Int64).alias("n")).collect_sync()
    rows = case.rows  # noqa: F841 (DuckDB finds it by its name)
    expected = duckdb.sql(
        "select ts // 10000000 * 10000000 as window_start, k, sum(x * 3)::bigint as total, count(*) as n "
        "from rows group by all"
    ).pl()
    assert_frame_equal(found.drop("window_end"), expected, check_row_order=False)
    assert found["window_start"].is_sorted()


@pytest.mark.once
@pytest.mark.untraced
@pytest.mark.parametrize("keys", ["close", "far", "text"])
def test_reduce(keys: str) -> None:
    case = case_of(keys, 1_000_000 if keys == "close" else 250_000)
    reduced = case.builder().reduce(X.sum().alias("total"), X.min().alias("least"), by="k", **case.limit)
    found, rows = reduced.collect_sync(), case.rows
    expected = duckdb.sql(
        "select k, sum(x * 3)::bigint as total, min(x * 3) as least from rows group by all"
    ).pl()
    assert_frame_equal(found, expected, check_row_order=False)
    assert_frame_equal(found.select("k"), rows.select(pl.col("k").unique(maintain_order=True)))


@pytest.mark.once
@pytest.mark.untraced
def test_scan(case: Case) -> None:
    running = {"total": X.cum_sum(), "before": X.shift(1)}
    found = case.builder().scan(by="k", **case.limit, **running).collect_sync()
    tripled = case.rows.with_columns(x=X * 3)
    expected = tripled.with_columns(**{name: expr.over("k") for name, expr in running.items()})
    assert_frame_equal(found, expected)
