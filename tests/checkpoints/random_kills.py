"""Kills at random moments of a job, spread over all phases of its life."""

import random
from collections import Counter
from collections.abc import Callable
from multiprocessing.context import ForkServerContext

from checkpoints.killed_sinks import Place, differences, run, watched
from kills import killed_after

from arrowstream.core.checkpoints.failpoints import Failpoint

PHASES: dict[Failpoint, str] = {
    Failpoint.STATE_WRITTEN: "prepare",
    Failpoint.STATE_SAVED: "prepare",
    Failpoint.FILES_STAGED: "prepare",
    Failpoint.KAFKA_LOG_FLUSHED: "prepare",
    Failpoint.LAKE_FILES_WRITTEN: "prepare",
    Failpoint.SINK_PREPARED: "manifest",
    Failpoint.MANIFEST_WRITTEN: "manifest",
    Failpoint.MANIFEST_NAMED: "commit",
    Failpoint.FILES_PART_NAMED: "commit",
    Failpoint.FILES_NAMED: "commit",
    Failpoint.FILES_CUT: "commit",
    Failpoint.FILES_APPENDED: "commit",
    Failpoint.KAFKA_EPOCH_SENT: "commit",
    Failpoint.KAFKA_COMMITTED: "commit",
    Failpoint.DATABASE_EPOCH_STORED: "commit",
    Failpoint.DATABASE_COMMITTED: "commit",
    Failpoint.LAKE_COMMITTED: "commit",
    Failpoint.SINK_COMMITTED: "commit",
    Failpoint.EPOCH_MARKED: "write",
    Failpoint.EPOCH_DROPPED: "write",
    Failpoint.ATTEMPT_COUNTED: "recovery",
    Failpoint.SINK_RECOVERED: "write",
}
"""What a run does after it has passed a failpoint, and before the next one."""
ALL_PHASES = ("start", "recovery", *dict.fromkeys(each for each in PHASES.values() if each != "recovery"))

START_SECONDS = 0.1
"""Time in which a process has come to its first failpoint."""
FEW_POINTS = 40
"""Failpoints that a run may pass before its kill: those of some epochs."""
KILLS_A_ROUND = 10


def phase_of(passed: list[Failpoint], sinks: int) -> str:
    """Return what a run was doing when it was killed."""
    if not passed:
        return "start"
    return PHASES[passed[-1]] if passed.count(Failpoint.SINK_RECOVERED) == sinks else "recovery"


class RandomKills:
    """Kills of jobs, in rounds: a job is killed again and again, and runs to its end.

    Parameters
    ----------
    processes
        Starts the processes of the jobs.
    seed
        Seed of the moments, with the name of the job.
    name
        Name of the job.
    """

    def __init__(self, processes: ForkServerContext, seed: str, name: str) -> None:
        self._processes = processes
        self._chance = random.Random(f"{seed}/{name}")
        self._name = name
        self.seed = seed
        self.phases: Counter[str] = Counter()
        """Number of kills by what the runs were doing."""
        self.rounds = 0

    def __str__(self) -> str:
        phases = ", ".join(f"{self.phases[phase]} {phase}" for phase in ALL_PHASES)
        return f"{self._name}: {self.kills} random kills in {self.rounds} rounds ({phases}), SEED={self.seed}"

    @property
    def kills(self) -> int:
        """Number of kills."""
        return self.phases.total()

    def round(self, names: tuple[str, ...], at: Place, most: int = KILLS_A_ROUND) -> None:
        """Kill a job a number of times, or until it ends before its kill; then let it end, and look at its rows.

        Raises
        ------
        AssertionError
            The rows are not those of a run that nothing disturbed.
        """
        self.kill(watched, (names, at), len(names), most)
        run(names, at)
        wrong = differences(names, at)
        assert not wrong, (
            f"missing and too many in round {self.rounds} of {self._name}, SEED={self.seed}: {wrong}"
        )

    def kill(self, work: Callable[..., None], arguments: tuple[object, ...], sinks: int, most: int) -> None:
        """Begin a round: kill a job a number of times, or until it ends before its kill.

        Parameters
        ----------
        work
            Runs the job until it ends or is killed; see `killed_sinks.watched`.
        arguments
            Its first arguments.
        sinks
            Number of sinks of the job.
        most
            Number of kills.
        """
        self.rounds += 1
        for _ in range(most):
            points, last, seconds = self._moment()
            killed, passed = killed_after(self._processes, work, (*arguments, last), points, seconds)
            if not killed:
                return
            self.phases[phase_of(passed, sinks)] += 1

    def _moment(self) -> tuple[int, int | None, float]:
        """Return after how many failpoints a run is killed, and if not at the last one, how many seconds later.

        As much time passes in threads and in waiting, half of the kills are at the failpoint itself.
        """
        chance = self._chance
        if chance.random() < 0.1:
            return 0, None, chance.uniform(0, START_SECONDS)
        points = chance.randint(1, chance.choice((4, FEW_POINTS, FEW_POINTS, FEW_POINTS)))
        if chance.random() < 0.5:
            return points, points, 0
        return (
            points,
            None,
            chance.choice((0.0, chance.expovariate(1 / 0.0003), chance.expovariate(1 / 0.003))),
        )
