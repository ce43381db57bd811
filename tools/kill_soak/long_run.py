"""A job with many epochs into every sink of this machine: open files, tasks, threads and memory stay as they are."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
from checkpoints.killed_sinks import LOCAL, SINKS, Place
from epoch_files import PacedSource

from arrowstream import Pipeline, Sink
from arrowstream.core.checkpoints.failpoints import Failpoint, on_reach

_EPOCHS: Final = 1_000
_SAMPLES: Final = 10
_GROWTH_MIB: Final = 60
"""Growth of memory that is none: what allocators keep."""


@dataclass(frozen=True)
class Resources:
    """What this process holds."""

    files: int
    threads: int
    tasks: int
    mib: float

    @classmethod
    def now(cls) -> Resources:
        """Return what it holds now."""
        try:
            tasks = len(asyncio.all_tasks())
        except RuntimeError:  # outside of a loop
            tasks = 0
        status = Path("/proc/self/status").read_text()
        resident = int(status.split("VmRSS:")[1].split()[0]) / 1024
        return cls(len(list(Path("/proc/self/fd").iterdir())), threading.active_count(), tasks, resident)

    def check(self, later: Resources, when: str) -> None:
        """Raise AssertionError if a process holds more than before."""
        grown = (
            later.files > self.files + 8 or later.threads > self.threads + 4 or later.tasks > self.tasks + 4
        )
        assert not grown and later.mib < self.mib + _GROWTH_MIB, f"grows {when}: {self}, then {later}"

    def __str__(self) -> str:
        return f"{self.files} open files, {self.threads} threads, {self.tasks} tasks, {self.mib:,.0f} MiB of memory"


class LongRun:
    """The job.

    Parameters
    ----------
    folder
        Folder of its files.
    """

    def __init__(self, folder: Path) -> None:
        self._at = Place(folder)
        self._samples: list[Resources] = []
        self._epochs = 0

    def go(self) -> None:
        """Run it.

        Raises
        ------
        AssertionError
            Something grows from the second tenth of the epochs on, or rows are wrong.
        """
        self._at.folder.mkdir()
        frames = [
            pl.DataFrame({"k": [x % 3 for x in range(6)], "x": [6 * n + x for x in range(6)]})
            for n in range(_EPOCHS)
        ]
        sink = Sink.fanout([SINKS[name].make(self._at) for name in LOCAL])
        job = Pipeline.builder(name="long").source(PacedSource(frames, 1)).batch(rows=7).sink(sink).build()

        async def main() -> None:
            loop = asyncio.get_running_loop()

            def sample(reached: Failpoint) -> None:
                if reached is Failpoint.EPOCH_MARKED:
                    loop.call_soon_threadsafe(self._sample)

            with on_reach(sample):
                await job.run(checkpoint=self._at.state, every="1ms")

        asyncio.run(main())
        expected = sorted(range(6 * _EPOCHS))
        for name in LOCAL:
            found = sorted(x for (_, x), count in SINKS[name].rows(self._at).items() for _ in range(count))
            assert found == expected, f"{name} of the long run"
        print(f"{self._epochs:,} epochs of one run: {self._samples[1]}, then {self._samples[-1]}", flush=True)
        for later in self._samples[2:]:
            self._samples[1].check(later, "in a long run")

    def _sample(self) -> None:
        self._epochs += 1
        if self._epochs % (_EPOCHS // _SAMPLES) == 0:
            self._samples.append(Resources.now())
