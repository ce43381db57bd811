"""Kill runs at random moments while they write files, and check what is left: ``python -m tools.soak``.

After each kill no file under a final name is incomplete, and the target holds what it held before or what it should
hold after the run, nothing else. The next run that is not killed removes what the killed ones left.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import polars as pl

from arrowstream.io.files.staging.journal import finish_interrupted
from tools.soak.scenarios import SCENARIOS, Held, Scenario, work

UNKILLED = 10
"""One run of so many is not killed."""

_FAST = 0.2
_FIRST = 3


class Wrong(Exception):
    """A target holds what it must not hold."""


def main() -> int:
    """Run the scenarios; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="kills of each scenario")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--only", help="part of a scenario's name")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    print(f"seed {options.seed}", flush=True)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tools.soak.scenarios"])
    failed = 0
    for name, scenario in SCENARIOS.items():
        if options.only and options.only not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            soak = Soak(scenario, Path(folder), random.Random(f"{options.seed} {name}"), processes)
            try:
                soak.go(options.kills)
            except Wrong as wrong:
                failed += 1
                print(f"{name}: WRONG after {soak.kills} kills: {wrong}", flush=True)
            else:
                print(f"{name}: {soak.summary}", flush=True)
    return 1 if failed else 0


class Soak:
    """Runs of one scenario, one after the other, in one folder.

    Parameters
    ----------
    scenario
        The way of writing.
    folder
        An empty folder.
    chance
        Source of the moments.
    processes
        Starts processes that have imported everything.
    """

    def __init__(
        self,
        scenario: Scenario,
        folder: Path,
        chance: random.Random,
        processes: multiprocessing.context.ForkServerContext,
    ) -> None:
        self._scenario = scenario
        self._folder = folder
        self._chance = chance
        self._processes = processes
        self._seconds = 0.0
        self._held: Held = Counter()
        self._begun = time.monotonic()
        self.kills = self._before = self._after = self._between = self._unkilled = 0

    @property
    def summary(self) -> str:
        """What was found."""
        between = f", {self._between} some of the new rows" if self._scenario.parts else ""
        return (
            f"{self.kills} kills, after which {self._before} targets held the old rows and {self._after} the new"
            f"{between}; {self._unkilled} runs to the end; {time.monotonic() - self._begun:.0f} s"
        )

    def go(self, kills: int) -> None:
        """Kill so many runs."""
        generation = 0
        while self.kills < kills:
            generation += 1
            self._scenario.prepare(self._folder)
            if self._scenario.fresh:
                self._held = Counter()
            killed = self._run(generation, generation > _FIRST and generation % UNKILLED != 0)
            self._check(generation, killed)
            if sum(self._held.values()) > 40 * len(self._scenario.rows(0)):
                self._clear()

    def _run(self, generation: int, kill: bool) -> bool:
        """Run once; return whether the run was killed before its end."""
        here, there = self._processes.Pipe()
        process = self._processes.Process(
            target=work, args=(self._name, str(self._folder), generation, there)
        )
        process.start()
        there.close()
        here.recv()
        begin = time.monotonic()
        here.send("go")
        if kill:
            # Twice as often in the last part, where files get their names.
            part = self._chance.random()
            moment = part if self._chance.random() < 0.5 else 0.6 + 0.5 * part
            time.sleep(self._seconds * moment)
            process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            self.kills += 1
            return True
        if process.exitcode:
            raise Wrong(f"a run failed with exit code {process.exitcode}")
        took = time.monotonic() - begin
        self._seconds = took if not self._seconds else self._seconds * (1 - _FAST) + took * _FAST
        self._unkilled += not kill
        return False

    @property
    def _name(self) -> str:
        return next(name for name, scenario in SCENARIOS.items() if scenario is self._scenario)

    def _check(self, generation: int, killed: bool) -> None:
        target = self._scenario.target(self._folder)
        if self._scenario.one_by_one:
            finish_interrupted(target)
        found, ids = held(target)
        rows = self._scenario.rows(generation).group_by("g", "k").len()
        new: Held = Counter({(g, k): count for g, k, count in rows.iter_rows()})
        after = self._scenario.after(self._held, new)
        if ids != sum(found.values()):
            raise Wrong(f"{sum(found.values()) - ids} rows are there twice")
        if found == after:
            self._after += killed
        elif killed and found == self._held:
            self._before += 1
        elif killed and self._scenario.parts and found >= self._held and found <= after:
            self._between += 1
        else:
            raise Wrong(f"{found}, before {self._held}, after {after}, killed: {killed}")
        self._held = found
        if not killed:
            hidden = [path for path in self._folder.rglob("*") if path.name.startswith(".")]
            if hidden:
                raise Wrong(f"left behind: {hidden}")

    def _clear(self) -> None:
        target = self._scenario.target(self._folder)
        for path in sorted(target.rglob("*"), reverse=True) if target.is_dir() else [target]:
            if path.is_file():
                path.unlink()
            else:
                path.rmdir()
        if target.is_dir():
            target.rmdir()
        self._held = Counter()


def held(target: Path) -> tuple[Held, int]:
    """Return the rows of each generation and partition in files under final names, and how many differ.

    Raises
    ------
    Wrong
        A file is incomplete.
    """
    files = sorted(target.rglob("*")) if target.is_dir() else [target] if target.exists() else []
    frames = []
    for path in files:
        if not path.is_file() or any(part.startswith(".") for part in path.relative_to(target.parent).parts):
            continue
        try:
            frames.append(_read(path))
        except Exception as error:
            raise Wrong(f"{path.name} is incomplete: {error}") from error
    if not frames:
        return Counter(), 0
    rows = pl.concat(frames)
    counts = rows.group_by("g", "k").len()
    return Counter({(g, k): count for g, k, count in counts.iter_rows()}), rows.unique().height


def _read(path: Path) -> pl.DataFrame:
    if path.name.endswith(".csv"):
        frame = pl.read_csv(path)
        if not path.read_bytes().endswith(b"\n"):
            raise ValueError("the last line has no end")
    elif ".ndjson" in path.name:
        frame = pl.read_ndjson(path)
    else:
        frame = pl.read_parquet(path, hive_partitioning=False)
    if "k" not in frame.columns:
        frame = frame.with_columns(k=pl.lit(path.parent.name.partition("=")[2]))
    return frame.select("k", pl.col("x", "g").cast(pl.Int64))


if __name__ == "__main__":
    sys.exit(main())
