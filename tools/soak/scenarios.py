"""The ways of writing that are killed, and what a reader may find afterwards.

Rows have a generation ``g``, one for each run, a number ``x`` and a partition ``k``. What a target holds is described
by the generation of each partition (or of the whole target), once per time that it was written.
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import polars as pl

from arrowstream import Pipeline, Sink, Source

ROWS = 6_000
PARTITIONS = 4

Held = Counter[tuple[int, str]]
"""Number of rows of each generation in each partition."""


@dataclass(frozen=True)
class Scenario:
    """One way of writing.

    Parameters
    ----------
    path
        Path of the target, in a folder of its own.
    options
        Arguments of `Sink.to_file`.
    after
        Returns what the target holds after a run of rows, from what it held before and the rows.
    fresh
        Whether the target is removed before each run.
    parts
        Whether a killed run may leave some of its rows visible, in whole files.
    one_by_one
        Whether the target has a folder that keeps it from being exchanged.
    partitions
        The number of partitions that a run writes to.
    """

    path: str
    options: Mapping[str, Any]
    after: Callable[[Held, Held], Held]
    fresh: bool = False
    parts: bool = False
    one_by_one: bool = False
    partitions: int = PARTITIONS

    def target(self, folder: Path) -> Path:
        """Return the target in a folder."""
        return folder / self.path.rstrip("/")

    def rows(self, generation: int) -> pl.DataFrame:
        """Return the rows of a run."""
        names = [f"p{(generation + number) % PARTITIONS}" for number in range(self.partitions)]
        keys = [names[number * len(names) // ROWS] for number in range(ROWS)]
        return pl.DataFrame({"k": keys, "x": range(ROWS), "g": [generation] * ROWS})

    def prepare(self, folder: Path) -> None:
        """Make or clean the place for the next run."""
        target = self.target(folder)
        if self.fresh and target.is_dir():
            shutil.rmtree(target)
        elif self.fresh:
            target.unlink(missing_ok=True)
        if self.one_by_one:
            (target / "in the way").mkdir(parents=True, exist_ok=True)

    def run(self, folder: Path, generation: int) -> None:
        """Write the rows of a generation."""
        rows = Source.from_frame(self.rows(generation), batch_rows=1_000)
        sink = Sink.to_file(f"{folder}/{self.path}", **self.options)
        Pipeline.builder().source(rows).sink(sink).build().run_sync()


def _both(old: Held, new: Held) -> Held:
    return old + new


def _new(old: Held, new: Held) -> Held:
    return new


def _partitions(old: Held, new: Held) -> Held:
    written = {key for _, key in new}
    return Counter({key: count for key, count in old.items() if key[1] not in written}) + new


_PARTS = {"max_rows_per_file": 1_500}
_HIVE = {"partition_by": "k"}

SCENARIOS: dict[str, Scenario] = {
    "new file": Scenario("out.parquet", {}, _new, fresh=True),
    "overwrite file": Scenario("out.parquet", {}, _new),
    "overwrite CSV": Scenario("out.csv", {}, _new),
    "append CSV": Scenario("out.csv", {"mode": "append"}, _both),
    "append NDJSON.gz": Scenario("out.ndjson.gz", {"mode": "append"}, _both),
    "new folder": Scenario("out/", _PARTS, _new, fresh=True),
    "overwrite folder": Scenario("out/", {**_PARTS, "mode": "overwrite"}, _new),
    "overwrite folder, file by file": Scenario(
        "out/", {**_PARTS, "mode": "overwrite"}, _new, one_by_one=True
    ),
    "append to folder": Scenario("out/", {**_PARTS, "mode": "append"}, _both),
    "append to folder, one file": Scenario("out/", {"mode": "append"}, _both),
    "overwrite partitioned folder": Scenario("out/", {**_HIVE, "mode": "overwrite"}, _new),
    "append to partitions": Scenario("out/", {**_HIVE, "mode": "append"}, _both),
    "rolling": Scenario(
        "out/", {"mode": "append", "max_rows_per_file": 1_000, "roll_every": "5ms"}, _both, parts=True
    ),
    "rolling partitions": Scenario(
        "out/", {**_HIVE, "mode": "append", "roll_every": "5ms"}, _both, parts=True
    ),
    "overwrite_partitions": Scenario(
        "out/", {**_HIVE, "mode": "overwrite_partitions"}, _partitions, partitions=2
    ),
}


def work(name: str, folder: str, generation: int, parent: Connection) -> None:
    """Write one generation, once the parent says so."""
    logging.disable(logging.WARNING)
    parent.send("ready")
    parent.recv()
    SCENARIOS[name].run(Path(folder), generation)
