"""A run that was stopped, and goes on after another one has taken over: it fails, and shows nothing."""

import os
import shutil
import signal
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing.context import ForkServerContext

import pytest
from checkpoints.killed_sinks import SINKS, Place, differences, run, stopped
from kills import end, wait_until_stopped

from arrowstream.core.checkpoints.failpoints import Failpoint, on_reach
from arrowstream.errors import CheckpointError

pytestmark = [pytest.mark.once, pytest.mark.untraced]

OF_ONE_PROCESS = ("sqlite", "duckdb")
"""Databases that a stopped process keeps to itself: DuckDB always, SQLite within a transaction."""


class Zombie:
    """A process that stops itself in its third epoch."""

    def __init__(
        self, processes: ForkServerContext, names: tuple[str, ...], at: Place, point: Failpoint
    ) -> None:
        self._outcome, theirs = processes.Pipe(duplex=False)
        self._process = processes.Process(target=stopped, args=(names, at, point.name, 3, theirs))
        self._process.start()
        theirs.close()
        wait_until_stopped(self._process)

    def go_on(self) -> str | None:
        """Let the process go on to its end; return the error it ended with."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGCONT)
        outcome: str | None = self._outcome.recv()
        self.close()
        return outcome

    def close(self) -> None:
        """End the process, if it has not ended."""
        end(self._process)
        self._outcome.close()


@pytest.fixture
def zombie(processes: ForkServerContext) -> Callable[..., Zombie]:
    """Starts zombies, and ends them."""
    with ExitStack() as started:

        def start(*arguments: object) -> Zombie:
            found = Zombie(processes, *arguments)  # type: ignore[arg-type]
            started.callback(found.close)
            return found

        yield start


def take_over(names: tuple[str, ...], at: Place, old: Zombie) -> str | None:
    """Run to the end, and let the old run go on in the middle; return the error that it ended with."""
    outcomes: list[str | None] = []
    marked = 0

    def count(reached: Failpoint) -> None:
        nonlocal marked
        marked += reached is Failpoint.EPOCH_MARKED
        if marked == 4 and not outcomes:
            outcomes.append(old.go_on())

    with on_reach(count):
        run(names, at)
    return outcomes[0]


CASES = [
    (name, point)
    for name in SINKS
    for point in (Failpoint.SINK_PREPARED, Failpoint.MANIFEST_NAMED, Failpoint.EPOCH_MARKED)
    if name not in OF_ONE_PROCESS or (name, point) == ("sqlite", Failpoint.EPOCH_MARKED)
]


@pytest.mark.parametrize(("name", "point"), CASES)
def test_a_run_whose_lock_was_lost(
    name: str, point: Failpoint, place: Callable[..., Place], zombie: Callable[..., Zombie]
) -> None:
    """The lock of its checkpoint folder, as on a network file system that thinks its process is dead."""
    at = place((name,))
    old = zombie((name,), at, point)
    with pytest.raises(CheckpointError, match="another run uses the checkpoint folder"):
        run((name,), at)
    (at.state / "lock").unlink()
    assert take_over((name,), at, old) is not None
    assert not differences((name,), at)


@pytest.mark.parametrize(
    ("name", "point"), [each for each in CASES if each[0] in ("postgresql", "delta", "iceberg", "kafka")]
)
def test_a_run_that_another_one_has_taken_over_with_a_copy_of_its_checkpoints(
    name: str, point: Failpoint, place: Callable[..., Place], zombie: Callable[..., Zombie]
) -> None:
    """By the number of its attempt, or by its transactional id: what both of them write decides."""
    at = place((name,))
    old = zombie((name,), at, point)
    shutil.copytree(at.state, at.folder / "copy")
    outcome = take_over((name,), replace(at, checkpoints="copy"), old)
    assert outcome is not None and ("later run" in outcome or "taken over" in outcome)
    assert not differences((name,), at)
