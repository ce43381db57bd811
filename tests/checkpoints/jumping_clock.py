"""Runs in a process whose wall clock jumps: the library of jumping_clock.c is preloaded."""

import asyncio
import ctypes
import json
import sys
import time
from itertools import cycle
from pathlib import Path
from typing import Any

import polars as pl
from checkpoints.recovery_pipeline import work

from arrowstream import Pipeline, Sink, Source
from arrowstream.core.checkpoints.failpoints import Failpoint, on_reach

HOUR = 3600
FILES = 6


def jump(seconds: int) -> None:
    """Set the wall clock off by some seconds."""
    before = time.time()
    ctypes.CDLL(None).jump(ctypes.c_long(seconds))
    assert abs(time.time() - before) < 2 * HOUR + 60


def jumping(jumps: list[int]) -> Any:
    """Set the clock off, another time after each epoch."""
    offsets = cycle(jumps)

    def on_mark(reached: Failpoint) -> None:
        if reached is Failpoint.EPOCH_MARKED:
            jump(next(offsets))

    return on_reach(on_mark)


async def watch(folder: Path) -> dict[str, int]:
    """Sums of windows over files that come while event time goes on in silence, with a jump after each file."""
    sums: dict[str, int] = {}
    seen, loop = asyncio.Queue[int](), asyncio.get_running_loop()

    def count(frame: pl.DataFrame) -> pl.DataFrame:
        for _ in range(frame.height):
            loop.call_soon_threadsafe(seen.put_nowait, 1)
        return frame

    async def note(rows: Any) -> None:
        for start, n in zip(rows["window_start"].to_pylist(), rows["n"].to_pylist(), strict=True):
            assert str(start) not in sums, "a window came twice"
            sums[str(start)] = n

    source = Source.from_file(f"{folder}/*.csv", schema={"t": pl.Int64, "n": pl.Int64}, watch="5ms")
    timed = source.with_event_time("t", lateness="10m", idle="5ms", advance_when_idle=True)
    rows = Pipeline.builder().source(timed).batch(rows=1_000, max_delay="5ms").map(count, frame="polars")
    job = rows.window("1s", on="t").agg(n=pl.col("n").sum()).sink(Sink.to_fn(note)).build()
    running = asyncio.ensure_future(job.run())
    for number in range(FILES):
        (folder / f"{number}.csv").write_text(f"t,n\n{number * 700_000},{number + 1}\n")
        await seen.get()
        jump((HOUR, -HOUR, 0)[number % 3])
    job.stop()
    await running
    return sums


if __name__ == "__main__":
    place, kind, *rest = sys.argv[1:]
    if kind == "watch":
        Path(place).mkdir()
        print(json.dumps(asyncio.run(watch(Path(place)))))
    else:
        jump(int(kind))
        with jumping([int(kind), -int(kind), 0]):
            work(place, rest[0] if rest else None, int(rest[1]) if rest else 0)
