"""Random queries give what DuckDB gives, whatever the cut into batches and the order within the lateness."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from effort import examples
from sql_generator import Generator
from sql_oracle import check
from sql_streams import stream

pytestmark = pytest.mark.hypothesis

NAMES = pl.DataFrame({"k": [0, 1, 1, 3, None, -2], "name": ["zero", "a", "uno", "AB", "none", None]})


def rows(seed: int, count: int = 60) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "i": random.integers(-3, 6, count),
            "j": random.integers(-50, 50, count),
            "x": random.integers(-8, 8, count) / 4,
            "s": pl.Series(["a", "", "ab", "Ab%", "é", "bcb", "A"]).gather(random.integers(0, 7, count)),
            "b": random.random(count) < 0.5,
            "ts": pl.Series(1_767_225_600_000_000 + np.sort(random.integers(0, 240, count)) * 250_000).cast(
                pl.Datetime("us")
            ),
        }
    )
    return frame.with_columns(
        pl.when(pl.Series(random.random(count) > 0.15)).then(name).alias(name)
        for name in ("i", "j", "x", "s", "b")
    )


@pytest.mark.parametrize("seed", range(examples(150)))
def test_as_duckdb(seed: int) -> None:
    a, b = rows(seed), rows(seed + 10_000)
    query = Generator(seed).query()
    tables = {"a": stream(a, seed, "a"), "b": stream(b, seed, "b"), "n": NAMES}
    check(query.ours, tables, {"a": a, "b": b, "n": NAMES}, query.theirs)
