"""The Nexmark queries without state, over bids from Parquet to Parquet, next to Polars' streaming engine.

The queries are those of the Nexmark suite for Flink: q0 passes on, q1 converts a currency, q2 filters, q14 computes a
kind of time and counts characters, q21 extracts a channel's id, q22 splits an address. The outputs are
compared equal, row by row and in order, before anything is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from arrowstream import Builder, Pipeline, Sink, Source
from benchmarks.etl import check_same
from benchmarks.etl_job import ROW_GROUP
from benchmarks.harness import ROUNDS, Figure, Scale, Section, checked_in_turn, ratio
from benchmarks.machine import DATA, made_once

_ROWS = {"full": 5_000_000, "quick": 1_000_000, "tiny": 1_000}
_CHUNK = 500_000
_HOT = ("Apple", "Google", "Facebook", "Baidu")

_BID = {name: pl.col(name) for name in ("auction", "bidder", "price")}
_REST = {name: pl.col(name) for name in ("date_time", "extra")}
_EUROS = {**_BID, "price": pl.col("price") * 0.908}
_HOUR = pl.col("date_time").dt.hour()
_TIME = (
    pl.when((_HOUR >= 8) & (_HOUR <= 18))
    .then(pl.lit("dayTime"))
    .when((_HOUR <= 6) | (_HOUR >= 20))
    .then(pl.lit("nightTime"))
    .otherwise(pl.lit("otherTime"))
)
_CHANNEL = pl.col("channel").str.to_lowercase()
_CHANNEL_ID = (
    pl.when(_CHANNEL == "apple")
    .then(pl.lit("0"))
    .when(_CHANNEL == "google")
    .then(pl.lit("1"))
    .when(_CHANNEL == "facebook")
    .then(pl.lit("2"))
    .when(_CHANNEL == "baidu")
    .then(pl.lit("3"))
    .otherwise(pl.col("url").str.extract("(&|^)channel_id=([^&]*)", 2))
)
_DOLLARS = pl.col("price") * 0.908

Steps = tuple[pl.Expr | None, dict[str, pl.Expr]]
QUERIES: dict[str, Steps] = {
    "q0": (None, {**_BID, **_REST}),
    "q1": (None, {**_EUROS, **_REST}),
    "q2": (pl.col("auction") % 123 == 0, {"auction": _BID["auction"], "price": _BID["price"]}),
    "q14": (
        (_DOLLARS > 1_000_000) & (_DOLLARS < 50_000_000),
        {**_EUROS, "kind": _TIME, **_REST, "count": pl.col("extra").str.count_matches("c", literal=True)},
    ),
    "q21": (
        pl.col("url").str.contains("channel_id=", literal=True) | _CHANNEL.is_in([h.lower() for h in _HOT]),
        {**_BID, "channel": pl.col("channel"), "channel_id": _CHANNEL_ID},
    ),
    "q22": (
        None,
        {
            **_BID,
            "channel": pl.col("channel"),
            **{f"dir{n}": pl.col("url").str.split("/").list.get(n + 2, null_on_oob=True) for n in (1, 2, 3)},
        },
    ),
}
"""Filter, or None, and columns of each query."""


def run(scale: Scale) -> Section:
    """Ratios of time, with the number of cores that each keeps busy."""
    source = _bids(_ROWS[scale])
    figures = []
    with TemporaryDirectory(dir=DATA) as folder:
        own, other = Path(folder) / "own.parquet", Path(folder) / "polars.parquet"
        for name, steps in QUERIES.items():
            busy: dict[str, list[float]] = {"own": [], "polars": []}
            rivals = {
                "own": _cores(_own(source, own, steps), busy["own"]),
                "polars": _cores(_polars(source, other, steps), busy["polars"]),
            }
            measured = checked_in_turn(rivals, ROUNDS[scale], partial(check_same, own, other))
            cores = ", ".join(f"{rival} {max(found):.1f}" for rival, found in busy.items())
            figures.append(
                Figure(
                    f"{name} against Polars' streaming engine",
                    ratio(measured["polars"], measured["own"]),
                    "x",
                    at_least=0.9,
                    note=f"cores busy: {cores}",
                )
            )
    return Section(
        f"Nexmark queries without state, {_ROWS[scale]:,} bids, Parquet to Parquet", tuple(figures)
    )


def _cores(work: Callable[[], object], busy: list[float]) -> Callable[[], float]:
    """Return a measure of seconds that also keeps the number of cores that were busy."""

    def measure() -> float:
        begin, used = time.perf_counter(), time.process_time()
        work()
        seconds = time.perf_counter() - begin
        busy.append((time.process_time() - used) / seconds)
        return seconds

    return measure


def _own(source: Path, target: Path, steps: Steps) -> Callable[[], object]:
    condition, columns = steps

    def begun() -> Builder:
        builder = Pipeline.builder().source(Source.from_file(source))
        return builder if condition is None else builder.filter(condition)

    return lambda: begun().select(**columns).sink(Sink.to_file(target)).build().run_sync()


def _polars(source: Path, target: Path, steps: Steps) -> Callable[[], object]:
    condition, columns = steps

    def work() -> None:
        rows = pl.scan_parquet(source)
        rows = rows if condition is None else rows.filter(condition)
        rows.select(**columns).sink_parquet(
            target, compression="zstd", compression_level=1, row_group_size=ROW_GROUP
        )

    return work


def _bids(rows: int) -> Path:
    """Return the input, which is made once."""
    return made_once(DATA / f"benchmark-bids-{rows}.parquet", partial(_write_bids, rows))


def _write_bids(rows: int, path: Path) -> None:
    """Write bids whose addresses and texts are as long as those of the Nexmark generator."""
    rng = np.random.default_rng(0)
    channels = pl.Series([*_HOT, *(f"channel-{number}" for number in range(10_000))])
    hot = rng.random(rows) < 0.5
    number = pl.Series(rng.integers(0, 1 << 40, rows))
    frame = pl.DataFrame(
        {
            "auction": rng.integers(1_000, 200_000, rows),
            "bidder": rng.integers(1_000, 100_000, rows),
            "price": (10 ** (rng.random(rows) * 6) * 100).astype(np.int64),
            "channel": channels.gather(
                np.where(hot, rng.integers(0, 4, rows), rng.integers(4, 10_004, rows))
            ),
            "number": number,
            "seconds": np.arange(rows) // 100,
        }
    )
    text = pl.col("number").cast(pl.String)
    frame.select(
        "auction",
        "bidder",
        "price",
        "channel",
        pl.concat_str(
            pl.lit("https://www.nexmark.com/"),
            (pl.col("number") % 977).cast(pl.String),
            pl.lit("/"),
            (pl.col("number") % 4441).cast(pl.String),
            pl.lit("/"),
            (pl.col("number") % 131).cast(pl.String),
            pl.lit("/item.htm?query=1&channel_id="),
            text,
        ).alias("url"),
        pl.from_epoch("seconds").cast(pl.Datetime("ms")).alias("date_time"),
        pl.concat_str(text, pl.lit("abc"), (pl.col("number") * 7919).cast(pl.String), text).alias("extra"),
    ).write_parquet(path, row_group_size=_CHUNK)
