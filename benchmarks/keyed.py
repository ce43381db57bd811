"""`scan` by key: a running sum over 10,000 to 1,000,000 keys, and what the slots of the keys cost alone."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import polars as pl

from arrowstream import Pipeline, Sink, Source
from arrowstream.state.key_index import KeyIndex
from benchmarks import random_access
from benchmarks.harness import Figure, Scale, Section

_BATCH = {"full": 65_536, "quick": 65_536, "tiny": 500}
_BATCHES = {"full": 61, "quick": 15, "tiny": 2}
_KEYS = {"full": (10_000, 100_000, 1_000_000), "quick": (10_000, 100_000, 1_000_000), "tiny": (50, 100)}


def run(scale: Scale) -> Section:
    """Rows a second once all keys are known, through the engine and through the index alone."""
    figures = []
    rates: dict[int, float] = {}
    for keys in _KEYS[scale]:
        known, batches = _rows(keys, scale)
        rates[keys] = _scan_rate(known, batches)
        index = KeyIndex(pl.Schema({"k": pl.Int64}))
        _assign(index, known)
        alone = _rate(lambda batch, index=index: _assign(index, batch), batches)  # type: ignore[misc]
        figures.append(
            Figure(
                f"scan cum_sum, {keys:,} keys",
                rates[keys],
                "M rows/s",
                at_least=2 if scale != "tiny" else None,
                note=f"the keys' slots alone: {alone:.1f} M rows/s",
            )
        )
    fewest, most = min(rates), max(rates)
    bare = random_access.growth(fewest, most)
    figures.append(
        Figure(
            f"cost of a row, {most:,} keys against {fewest:,}",
            rates[fewest] / rates[most],
            "x",
            note=f"numpy alone, reading and writing as many places: {bare:.1f}x",
        )
    )
    figures.append(
        Figure(
            f"scan cum_sum, {most:,} keys that lie close together",
            _scan_rate(*_rows(most, scale, apart=1)),
            "M rows/s",
            note="looked up without hashing",
        )
    )
    return Section(f"Keyed state, batches of {_BATCH[scale]:,} rows", tuple(figures))


def _rows(keys: int, scale: Scale, apart: int = 7_919) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """Every key once, and then batches of keys by chance."""
    rng = np.random.default_rng(0)
    known = pl.DataFrame({"k": rng.permutation(keys) * apart, "x": rng.random(keys)})
    size = _BATCH[scale]
    batches = [
        pl.DataFrame({"k": rng.integers(0, keys, size) * apart, "x": rng.random(size)})
        for _ in range(_BATCHES[scale])
    ]
    return known, batches


def _scan_rate(known: pl.DataFrame, batches: list[pl.DataFrame]) -> float:
    """Million rows a second once the keys are known: between the sink's sightings of the later batches."""
    seen: list[float] = []
    (
        Pipeline.builder()
        .source(Source.from_frame([known, *batches]))
        .scan(by="k", total=pl.col("x").cum_sum())
        .sink(Sink.to_fn(lambda batch: seen.append(time.perf_counter())))
        .build()
        .run_sync()
    )
    gaps = np.diff(seen[-len(batches) :])
    return batches[0].height / float(np.median(gaps)) / 1e6


def _assign(index: KeyIndex, batch: pl.DataFrame) -> None:
    for _ in index.assign(batch.select("k")):
        pass


def _rate(work: Callable[[pl.DataFrame], None], batches: list[pl.DataFrame]) -> float:
    taken = []
    for batch in batches:
        begin = time.perf_counter()
        work(batch)
        taken.append(time.perf_counter() - begin)
    return batches[0].height / statistics.median(taken) / 1e6
