"""The figures of every stage over time, in bounded memory: each second of the last minutes, fewer before."""

from __future__ import annotations

import threading
import time
from array import array
from collections import deque
from collections.abc import Mapping
from math import isnan, nan
from typing import NamedTuple

import polars as pl

from arrowstream.metrics.counters import StageCounters
from arrowstream.metrics.histogram import Histogram

SAMPLE_SECONDS = 1.0
"""Time between two samples."""

RECENT = 600
"""Number of newest samples that are all kept: ten minutes."""

OLDER = 600
"""Largest number of older samples; when there are more, every other one goes, again and again."""

RATE_SECONDS = 0.5
"""Shortest time over which a rate is computed, in seconds."""

FIGURES = (
    *("rows_in", "rows_out", "queue_depth", "queue_capacity", "late_rows", "errors"),
    *("busy_seconds", "p99_ms", "watermark_lag_seconds"),
)
"""What a sample has of each stage, in this order; NaN where nothing is known."""

_COUNTS = FIGURES[:6]

SCHEMA = {
    "time": pl.Datetime("us", "UTC"),
    "seconds": pl.Float64(),
    "stage": pl.String(),
    "rows_in": pl.Int64(),
    "rows_out": pl.Int64(),
    "rows_in_per_second": pl.Float64(),
    "rows_per_second": pl.Float64(),
    "queue_depth": pl.Int64(),
    "queue_capacity": pl.Int64(),
    "busy_share": pl.Float64(),
    "p99_ms": pl.Float64(),
    "watermark_lag_seconds": pl.Float64(),
    "late_rows": pl.Int64(),
    "errors": pl.Int64(),
}
"""The columns of `History.frame`."""


class Rates(NamedTuple):
    """The speed of a stage over the last moments.

    Parameters
    ----------
    rows_in, rows_out
        Rows a second that went in, and that came out.
    busy_share
        Seconds of work a second; above 1 if a stage works on several threads.
    p99_ms
        Latency that 99 % of the rows of the last full sample did not exceed, in milliseconds; None without rows.
    """

    rows_in: float = 0.0
    rows_out: float = 0.0
    busy_share: float = 0.0
    p99_ms: float | None = None


class _Sample(NamedTuple):
    """The figures of all stages at one moment: those of `FIGURES` for each stage of `stages`, in a row."""

    time_us: int
    seconds: float
    stages: tuple[str, ...]
    figures: array[float]

    def of(self, stage: str) -> dict[str, float] | None:
        """Return the figures of a stage by name; None if it was not there yet."""
        if stage not in self.stages:
            return None
        place = self.stages.index(stage) * len(FIGURES)
        return dict(zip(FIGURES, self.figures[place : place + len(FIGURES)], strict=True))


class History:
    """Samples of the counters of one run: taken on its thread, read from any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: deque[_Sample] = deque()
        self._older: list[_Sample] = []
        self._every = 1
        self._left_recent = 0
        self._latency: dict[str, Histogram] = {}

    @property
    def seconds(self) -> float:
        """Time of the last sample, in seconds since the run began; 0 without one."""
        return self._recent[-1].seconds if self._recent else 0.0

    def sample(self, counters: Mapping[str, StageCounters], seconds: float, *, apart: float = 0.0) -> None:
        """Take a sample; those that are asked for at the same time are taken one after the other.

        Parameters
        ----------
        counters
            The counters of every stage, by name.
        seconds
            Time since the run began.
        apart
            Take none if the last one was less than this number of seconds before.
        """
        with self._lock:  # a sample has differences to the one before
            if seconds - self.seconds < apart:
                return
            time_us = time.time_ns() // 1_000
            figures = array("d")
            for name, each in counters.items():
                latency = each.latency
                recent = latency.since(self._latency[name]) if name in self._latency else latency
                self._latency[name] = latency
                figures.extend(_figures(each, time_us, recent.quantile(0.99) / 1e6))
            self._recent.append(_Sample(time_us, seconds, tuple(counters), figures))
            if len(self._recent) > RECENT:
                self._thin(self._recent.popleft())

    def _thin(self, sample: _Sample) -> None:
        """Keep every n-th of the samples that are older than the recent ones; n doubles when they are too many."""
        if self._left_recent % self._every == 0:
            self._older.append(sample)
            if len(self._older) > OLDER:
                self._older = self._older[::2]
                self._every *= 2
        self._left_recent += 1

    def rates(self, name: str, counters: StageCounters, seconds: float) -> Rates:
        """Return the speed of a stage at `seconds` after the beginning, since a sample before."""
        with self._lock:
            samples = [each for each in reversed(self._recent) if seconds - each.seconds >= RATE_SECONDS][:1]
            newest = self._recent[-1].of(name) if self._recent else None
        before = samples[0].of(name) if samples else None
        since = samples[0].seconds if before is not None else 0.0
        before = before or dict.fromkeys(FIGURES, 0.0)
        took = max(seconds - since, 1e-9)
        p99 = nan if newest is None else newest["p99_ms"]
        return Rates(
            (counters.rows_in - before["rows_in"]) / took,
            (counters.rows_out - before["rows_out"]) / took,
            (counters.busy_seconds - before["busy_seconds"]) / took,
            None if isnan(p99) else p99,
        )

    def frame(self) -> pl.DataFrame:
        """Return one row for each stage and sample, in the order of time; see `Running.history`."""
        with self._lock:
            samples = [*self._older, *self._recent]
        flat = array("d")
        for sample in samples:
            flat.extend(sample.figures)
        columns: dict[str, pl.Series] = {
            "time": pl.Series([each.time_us for each in samples for _ in each.stages], dtype=pl.Int64),
            "seconds": pl.Series([each.seconds for each in samples for _ in each.stages], dtype=pl.Float64),
            "stage": pl.Series([name for each in samples for name in each.stages], dtype=pl.String),
        }
        for place, figure in enumerate(FIGURES):
            columns[figure] = pl.Series(flat[place :: len(FIGURES)].tolist(), dtype=pl.Float64)
        return (
            pl.DataFrame(columns)
            .with_columns(
                pl.from_epoch("time", time_unit="us").dt.replace_time_zone("UTC"),
                pl.col(*_COUNTS).cast(pl.Int64),
                pl.col("p99_ms", "watermark_lag_seconds").fill_nan(None),
                rows_in_per_second=_speed("rows_in"),
                rows_per_second=_speed("rows_out"),
                busy_share=_speed("busy_seconds"),
            )
            .select(*SCHEMA)
        )


def _speed(figure: str) -> pl.Expr:
    """Return a figure a second, since the sample before.

    The last sample, at the end of a run, may come just after the one before. Work is counted when it is done, so that
    a write of a second that ends between the two would be a busy share of ten: its speed is since the second before.
    """
    value, seconds = pl.col(figure), pl.col("seconds")
    last, earlier = ((value.diff(by) / seconds.diff(by)).over("stage") for by in (1, 2))
    return (
        pl.when(seconds.diff().over("stage") < RATE_SECONDS).then(pl.coalesce(earlier, last)).otherwise(last)
    )


def _figures(counters: StageCounters, time_us: int, p99_ms: float) -> tuple[float, ...]:
    queues = [queue() for queue in counters.queues]
    watermark = counters.watermark_us
    return (
        counters.rows_in,
        counters.rows_out,
        sum(queue.length for queue in queues),
        sum(queue.capacity for queue in queues),
        counters.late_rows,
        counters.errors,
        counters.busy_seconds,
        p99_ms,
        nan if watermark is None else (time_us - watermark) / 1e6,
    )
