"""Kill jobs with checkpoints, continue them, and compare their sinks with what was written.

``python -m tools.kill_soak``, with ``tests`` in PYTHONPATH. First every failpoint is killed for each sink alone, at
its first and third hit and in the recoveries after that. Then a job with a thousand epochs shows that open files,
tasks and memory stay as they are. Then jobs are killed at random moments, until the limit of kills or time or until
Ctrl-C. Exits with 1 if a row is missing or came twice, or if something grows.
"""

from __future__ import annotations

import argparse
import logging
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from checkpoints.killed_sinks import RUN_POINTS, SERVERS, SINKS, kill_and_continue, new_place
from checkpoints.random_kills import ALL_PHASES, RandomKills
from kills import fork_server
from servers import kafka, postgresql
from servers.kafka import KafkaServer
from servers.postgresql import PostgresqlServer
from stores import Store

from tools.kill_soak.long_run import LongRun, Resources

_REPORT_SECONDS: Final = 30.0


def main() -> int:
    """Run all parts; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, help="random kills; without a limit, they go on until Ctrl-C")
    parser.add_argument("--minutes", type=float, help="time of the random kills")
    parser.add_argument("--seed", default=str(random.randrange(1 << 32)))
    parser.add_argument("--only", help="name of a sink")
    parser.add_argument("--random", action="store_true", help="random kills only")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder, _servers(Path(folder)) as servers:
        # The user that PostgreSQL runs as gets through to its own folder.
        names = [
            name
            for name, sink in SINKS.items()
            if options.only in (None, name) and (sink.server is None or sink.server in servers)
        ]
        soak = Soak(Path(folder), servers, names, options.seed)
        try:
            if not options.random:
                soak.every_failpoint()
                LongRun(Path(folder) / "long").go()
            soak.at_random(options.kills, options.minutes)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        except AssertionError as wrong:
            print(f"WRONG: {wrong}", flush=True)
            return 1
        finally:
            soak.report()
    return 0


@contextmanager
def _servers(folder: Path) -> Iterator[dict[str, Any]]:
    """Start the servers that this machine has."""
    folder.chmod(0o711)
    found: dict[str, Any] = {}
    try:
        if kafka.is_installed():
            (folder / "kafka").mkdir()
            found["kafka"] = KafkaServer.new(folder / "kafka")
        if postgresql.is_installed():
            found["postgresql"] = PostgresqlServer.new(folder / "postgresql")
        found["objects"] = Store()
        for name in sorted(SERVERS - found.keys()):
            print(f"NOT KILLED: {name} is not installed", flush=True)
        yield found
    finally:
        for server in found.values():
            server.stop()


class Soak:
    """Kills of jobs into all sinks.

    Parameters
    ----------
    folder
        Folder for the files of jobs.
    servers
        The servers that run.
    names
        The sinks.
    seed
        Seed of the random kills.
    """

    def __init__(self, folder: Path, servers: dict[str, Any], names: list[str], seed: str) -> None:
        self._folder = folder
        self._servers = servers
        self._names = names
        self._processes = fork_server()
        self._random = {name: RandomKills(self._processes, seed, name) for name in names}
        self._begin = time.monotonic()
        self._jobs = 0

    def every_failpoint(self) -> None:
        """Kill each sink at each failpoint that it passes."""
        for name in self._names:
            points = [*RUN_POINTS, *SINKS[name].points]
            kills = sum(self._killed(name, point) for point in points)
            print(f"{name}: {kills} kills at {len(points)} failpoints and in recoveries", flush=True)

    def _killed(self, name: str, point: Any) -> int:
        with self._place(name) as at:
            return kill_and_continue(self._processes, (name,), at, point)

    def at_random(self, kills: int | None, minutes: float | None) -> None:
        """Kill jobs at random moments, one sink after the other."""
        begin = reported = time.monotonic()
        warm: Resources | None = None
        while True:
            for name in self._names:
                with self._place(name) as at:
                    self._random[name].round((name,), at)
            now = time.monotonic()
            found = Resources.now()
            warm = warm or found
            warm.check(found, "after many runs in one process")
            over = kills is not None and sum(each.kills for each in self._random.values()) >= kills
            over = over or (minutes is not None and now - begin >= 60 * minutes)
            if over or now - reported >= _REPORT_SECONDS:
                print(f"{self._counted()}; {found}", flush=True)
                reported = now
            if over:
                return

    @contextmanager
    def _place(self, name: str) -> Iterator[Any]:
        """Return a place for a job, whose files are removed if its rows are right."""
        self._jobs += 1
        place = new_place(self._folder / f"job-{self._jobs}", (name,), self._servers.__getitem__)
        yield place
        shutil.rmtree(place.folder)

    def _counted(self) -> str:
        rounds = sum(each.rounds for each in self._random.values())
        kills = sum(each.kills for each in self._random.values())
        seconds = time.monotonic() - self._begin
        return f"{seconds:,.0f} s: {kills:,} random kills in {rounds:,} rounds"

    def report(self) -> None:
        """Print the random kills by sink and phase."""
        print(f"\n{self._counted()}", flush=True)
        print(f"{'sink':<12}{'rounds':>8}{'kills':>8}" + "".join(f"{phase:>10}" for phase in ALL_PHASES))
        total: Counter[str] = Counter()
        for name, found in self._random.items():
            total += found.phases
            phases = "".join(f"{found.phases[phase]:>10}" for phase in ALL_PHASES)
            print(f"{name:<12}{found.rounds:>8}{found.kills:>8}{phases}")
        print(
            f"{'all':<12}{'':>8}{total.total():>8}" + "".join(f"{total[phase]:>10}" for phase in ALL_PHASES)
        )


if __name__ == "__main__":
    sys.exit(main())
