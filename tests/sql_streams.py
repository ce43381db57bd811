"""Streams of events for tests of SQL: the rows, and the same out of order in batches of any size."""

from __future__ import annotations

import numpy as np
import polars as pl

from arrowstream import Builder, Pipeline, Source

LATENESS_S = 5


def events(seed: int, rows: int = 400, keys: int = 5, seconds: int = 120) -> pl.DataFrame:
    """Keys, values with nulls, and times that often are the same, in order of time."""
    random = np.random.default_rng(seed)
    quarters = np.sort(random.integers(0, seconds * 4, rows))
    return pl.DataFrame(
        {
            "k": random.integers(0, keys, rows),
            "v": random.integers(-50, 50, rows),
            "ts": pl.Series(1_767_225_600_000_000 + quarters * 250_000).cast(pl.Datetime("us")),
        }
    ).with_columns(v=pl.when(pl.col("v") % 7 != 0).then("v"))


def stream(frame: pl.DataFrame, seed: int, name: str = "rows") -> Builder:
    """The rows out of order by less than the lateness, in batches of any size."""
    random = np.random.default_rng(seed)
    late = pl.Series(random.integers(0, LATENESS_S * 1_000_000, frame.height))
    mixed = frame[(frame["ts"].dt.epoch("us") + late).arg_sort()]
    ends = np.sort(random.integers(0, frame.height + 1, 9))
    cuts = [mixed[int(a) : int(b)] for a, b in zip([0, *ends], [*ends, frame.height], strict=True)]
    source = Source.from_frame(cuts, schema=frame.schema).with_event_time("ts", lateness=LATENESS_S)
    return Pipeline.builder(name).source(source)
