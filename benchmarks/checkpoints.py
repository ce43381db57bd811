"""What checkpoints cost: running totals with a checkpoint every second and without, and the time to go on."""

from __future__ import annotations

import asyncio
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from arrowstream import Pipeline, RunReport, Sink, Source
from benchmarks.harness import ROUNDS, Figure, Scale, Section, in_turn, measured, ratio

_KEYS = {"10k keys": (10_000, 0.95), "1M keys": (1_000_000, 0.85)}
_BATCHES = {"full": 1_200, "quick": 300, "tiny": 3}
_SPILLED = {"full": 40, "quick": 20, "tiny": 2}
_WINDOW_BYTES = 64 << 20
_BATCH = 131_072
_EVERY = "1s"


def run(scale: Scale) -> Section:
    """Throughput with checkpoints against none, size of the state, and the time of a restart."""
    figures: list[Figure] = []
    for name, (keys, least) in _KEYS.items():
        batches = _batches(keys if scale != "tiny" else 100, _BATCHES[scale])
        folder = Path(tempfile.mkdtemp(prefix="arrowstream-checkpoints-"))
        try:
            figures += _costs(name, least, batches, folder, ROUNDS[scale])
            if keys == max(count for count, _ in _KEYS.values()):
                figures.append(_restart(name, batches, folder / "stopped", ROUNDS[scale]))
        finally:
            shutil.rmtree(folder)
    folder = Path(tempfile.mkdtemp(prefix="arrowstream-checkpoints-"))
    try:
        batches = _scattered(_SPILLED[scale])
        figures += _costs("spilled windows", None, batches, folder, ROUNDS[scale], _windows)
    finally:
        shutil.rmtree(folder)
    rows = _BATCHES[scale] * _BATCH
    return Section(f"Checkpoints: running totals of {rows:,} rows, one every {_EVERY}", tuple(figures))


def _batches(keys: int, count: int) -> list[pl.DataFrame]:
    """Some batches over and over: rows are not what is measured."""
    chance = np.random.default_rng(7)
    some = [
        pl.DataFrame({"k": chance.integers(0, keys, _BATCH), "x": chance.integers(0, 100, _BATCH)})
        for _ in range(min(count, 40))
    ]
    return [some[number % len(some)] for number in range(count)]


def _scattered(count: int) -> list[pl.DataFrame]:
    """Rows of one hour with a key of their own each."""
    chance = np.random.default_rng(7)
    time = pl.Series("t", [0] * _BATCH, pl.Datetime("us"))
    return [
        pl.DataFrame({"t": time, "k": chance.integers(0, 1 << 40, _BATCH), "x": np.arange(_BATCH)})
        for _ in range(count)
    ]


def _windows(batches: list[pl.DataFrame]) -> Pipeline:
    """Windows of which most lies in files, until the stream ends."""
    rows = Pipeline.builder("windows").source(Source.from_frame(batches).with_event_time("t"))
    spilled = rows.window("1h", on="t", by="k", max_bytes=_WINDOW_BYTES, on_full="spill")
    return spilled.agg(n=pl.len(), x=pl.col("x").sum()).sink(Sink.to_fn(_ignore)).build()


def _totals(batches: list[pl.DataFrame]) -> Pipeline:
    rows = Pipeline.builder("totals").source(Source.from_frame(batches))
    return rows.reduce(by="k", n=pl.len(), x=pl.col("x").sum()).sink(Sink.to_fn(_ignore)).build()


def _costs(
    name: str,
    least: float | None,
    batches: list[pl.DataFrame],
    folder: Path,
    rounds: int,
    pipeline: Callable[[list[pl.DataFrame]], Pipeline] = _totals,
) -> list[Figure]:
    reports: list[RunReport] = []
    processor: dict[str, list[float]] = {}

    def plain() -> None:
        pipeline(batches).run_sync()

    def saved() -> None:
        reports.append(
            pipeline(batches).run_sync(checkpoint=folder / name, every=_EVERY, from_checkpoint="ignore")
        )

    rivals = {"without": plain, "with": saved}
    # Other programs on the machine change both times, but that of the processor less.
    times = in_turn({key: measured(key, work, processor) for key, work in rivals.items()}, 2 * rounds)
    taken = [report.checkpoints for report in reports if report.checkpoints is not None]
    epochs = statistics.median(each.epochs for each in taken)
    seconds = statistics.median(each.total_seconds / each.epochs for each in taken)
    written = statistics.median(each.written_bytes / each.epochs for each in taken) / 1e6
    note = f"{epochs:g} checkpoints a run, {seconds * 1000:.0f} ms each, while rows flow on"
    return [
        Figure(
            f"{name}, speed against a run without checkpoints",
            ratio(times["without"], times["with"]),
            "x",
            at_least=least,
            note=note,
        ),
        Figure(
            f"{name}, the same in processor time",
            ratio(processor["without"], processor["with"]),
            "x",
            at_least=least,
        ),
        Figure(f"{name}, bytes written a checkpoint", written, "MB"),
    ]


def _restart(name: str, batches: list[pl.DataFrame], state: Path, rounds: int) -> Figure:
    """The time of a run that restores its state, and is stopped before it has read anything."""
    pipeline = _totals(batches)
    report = asyncio.run(_stopped_after(pipeline, 0.5, state))
    assert report.checkpoints is not None
    size = report.checkpoints.nbytes / 1e6
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        asyncio.run(_stopped_after(_totals(batches), 0, state))
        times.append(time.perf_counter() - begin)
    note = f"{size:.0f} MB of state, read and saved again"
    return Figure(f"{name}, start, restore and stop", statistics.median(times), "s", at_most=2.0, note=note)


async def _stopped_after(pipeline: Pipeline, seconds: float, state: Path) -> RunReport:
    running = asyncio.ensure_future(pipeline.run(checkpoint=state, every="1h"))
    await asyncio.sleep(seconds)
    pipeline.stop()
    return await running


def _ignore(batch: object) -> None:
    """Do nothing with a batch."""
