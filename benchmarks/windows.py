"""Windows and running aggregates over a stream in batches, beside one Polars `group_by` over all rows at once."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from arrowstream.core.batch import Batch, Element
from arrowstream.core.clock import MonotonicClock
from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.core.step_context import StepContext
from arrowstream.operators.base import Operator, Process
from arrowstream.operators.reduce import Reduce
from arrowstream.operators.window import windows
from arrowstream.runtime.threads import Threads
from benchmarks import random_access
from benchmarks.harness import Figure, Scale, Section, in_turn, ratio, timed

_ROWS = {"full": 8_000_000, "quick": 2_000_000, "tiny": 20_000}
_ROUNDS = {"full": 5, "quick": 1, "tiny": 1}
_BATCH = 65_536
_KEYS = (10_000, 1_000_000)
_FACTOR = -7046029254386353131
"""An odd number of 64 bits: times this, numbers close together lie anywhere, and differ still."""
_GROWING = (10_000, 100_000, 1_000_000)
_SECONDS = 100
_AGGREGATES = (pl.len(), pl.col("x").sum())


def run(scale: Scale) -> Section:
    """Rates of windows and `reduce`, and how the cost of a batch grows with the keys."""
    figures: list[Figure] = []
    for keys in _KEYS:
        figures += _windows(_events(_ROWS[scale], keys), keys, _ROUNDS[scale])
    figures += _other_keys(_events(_ROWS[scale], _KEYS[0]), _ROUNDS[scale])
    figures += _reduce(scale)
    return Section("Windows and running aggregates, count and sum, 64k rows a batch", tuple(figures))


def _events(rows: int, keys: int) -> pl.DataFrame:
    """Events in the order of their times, over 100 seconds."""
    rng = np.random.default_rng(0)
    times = np.sort(rng.integers(0, _SECONDS * 1_000_000, rows))
    columns = {"ts": times, "k": rng.integers(0, keys, rows), "x": rng.integers(0, 1_000, rows)}
    return pl.DataFrame(columns).with_columns(pl.col("ts").cast(pl.Datetime("us")))


def _windows(events: pl.DataFrame, keys: int, rounds: int) -> list[Figure]:
    measured = in_turn(
        {
            "whole": timed(lambda: _whole(events)),
            "tumbling": timed(lambda: _stream(events, 10)),
            "hopping": timed(lambda: _stream(events, 2)),
        },
        rounds,
    )
    few = keys == _KEYS[0]
    hopping = "5 windows a row; the rows that come out are 5 times as many, too" if not few else ""
    return [
        Figure(
            f"tumbling 10 s, {keys:,} keys, against Polars on the whole",
            ratio(measured["whole"], measured["tumbling"]),
            "x",
            at_least=2.0 if few else 1.2,
            note=_rate(events, measured["tumbling"]),
        ),
        Figure(
            f"hopping 10 s / 2 s, {keys:,} keys, against tumbling",
            ratio(measured["tumbling"], measured["hopping"]),
            "x",
            at_least=0.3 if few else 0.35,
            note=hopping,
        ),
    ]


def _other_keys(events: pl.DataFrame, rounds: int) -> list[Figure]:
    """Keys for which no place can be computed."""
    kinds = {
        "strings": pl.format("user-{}", "k").alias("k"),
        "integers spread over 64 bits": pl.col("k").mul(_FACTOR),
    }
    figures = []
    for kind, key in kinds.items():
        rows = events.with_columns(key)
        rivals = {"whole": timed(partial(_whole, rows)), "tumbling": timed(partial(_stream, rows, 10))}
        measured = in_turn(rivals, rounds)
        what = f"tumbling 10 s, {_KEYS[0]:,} keys that are {kind}, against Polars on the whole"
        note = _rate(events, measured["tumbling"])
        least = 1.5 if kind == "strings" else None
        figures.append(Figure(what, ratio(measured["whole"], measured["tumbling"]), "x", least, note=note))
    return figures


def _whole(events: pl.DataFrame) -> None:
    window = pl.col("ts").dt.truncate("10s").alias("window_start")
    events.with_columns(window).group_by("window_start", "k").agg(*_AGGREGATES)


def _stream(events: pl.DataFrame, every: int) -> None:
    marks = events["ts"].to_physical().gather_every(_BATCH, _BATCH - 1).to_list()
    operator = windows(_itself, 10, every=every, on="ts", by="k").agg(*_AGGREGATES)
    process = _started(operator, events.schema)
    for number, start in enumerate(range(0, events.height, _BATCH)):
        _drain(process.process(Batch(events[start : start + _BATCH])))
        if number < len(marks):
            _drain(process.on_watermark(marks[number]))
    _drain(process.finish())


def _rate(events: pl.DataFrame, seconds: list[float]) -> str:
    return f"{events.height / 1e6 / statistics.median(seconds):.1f} M rows/s"


def _reduce(scale: Scale) -> list[Figure]:
    figures = []
    rates: list[float] = []
    for keys in _GROWING:
        events = _events(_ROWS[scale], keys)
        seconds = _batch_seconds(Reduce.of(*_AGGREGATES, by="k", emit="updates"), events)
        last = statistics.median(seconds[-len(seconds) // 4 :])
        note = f"a batch at the end {last * 1e3:.1f} ms, the slowest {max(seconds) * 1e3:.0f} ms"
        least = 2.0 if keys == max(_GROWING) else None
        rate = events.height / 1e6 / sum(seconds)
        rates.append(rate)
        figures.append(Figure(f"reduce with updates, {keys:,} keys", rate, "M rows/s", least, note=note))
    growth = f"cost of a row, {max(_GROWING):,} keys against {min(_GROWING):,}"
    bare = random_access.growth(min(_GROWING), max(_GROWING))
    note = f"numpy alone, reading and writing as many places: {bare:.1f}x"
    figures.append(Figure(growth, rates[0] / rates[-1], "x", note=note))
    figures.append(_spilled(scale))
    return figures


def _spilled(scale: Scale) -> Figure:
    """Keys that are texts, new ones in every batch, in memory and with all but 16 MiB in files."""
    rows = _ROWS[scale] // 4
    keys = pl.Series("k", np.random.default_rng(0).integers(0, rows, rows)).cast(pl.String)
    events = pl.DataFrame([keys, pl.Series("x", np.arange(rows))])
    spill: dict[str, Any] = {"max_bytes": 16 << 20, "on_full": "spill"}
    measured = in_turn(
        {
            name: timed(partial(_batch_seconds, Reduce.of(*_AGGREGATES, by="k", **limit), events))
            for name, limit in {"memory": {}, "files": spill}.items()
        },
        _ROUNDS[scale],
    )
    return Figure(
        "reduce with its state in files, against in memory",
        ratio(measured["memory"], measured["files"]),
        "x",
        note=f"{events['k'].n_unique():,} keys of text, 16 MiB of memory for them",
    )


def _batch_seconds(operator: Operator, events: pl.DataFrame) -> list[float]:
    process = _started(operator, events.schema)
    seconds = []
    for start in range(0, events.height, _BATCH):
        batch = Batch(events[start : start + _BATCH])
        begin = time.perf_counter()
        _drain(process.process(batch))
        seconds.append(time.perf_counter() - begin)
    return seconds


def _itself(operator: Operator) -> Operator:
    return operator


def _started(operator: Operator, schema: pl.Schema) -> Process:
    context = StepContext(
        "step", MonotonicClock(), MemoryBudget(), logging.getLogger("arrowstream"), Threads(1)
    )
    process = operator.start(schema, context)
    assert isinstance(process, Process)
    return process


def _drain(elements: Iterable[Element]) -> None:
    for _ in elements:
        pass
