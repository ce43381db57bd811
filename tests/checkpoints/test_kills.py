"""Runs with every kind of state, killed at every failpoint, and continued: each row is shown once."""

import os
import random
import signal
import subprocess
import sys
from multiprocessing.context import ForkServerContext
from pathlib import Path

import polars as pl
import pytest
from checkpoints.killed_sinks import RUN_POINTS
from checkpoints.random_kills import KILLS_A_ROUND, RandomKills
from checkpoints.recovery_pipeline import SINKS, pipeline, shown, watched, work
from kills import PRELOADED
from polars.testing import assert_frame_equal

from arrowstream.core.checkpoints.failpoints import Failpoint

pytestmark = [pytest.mark.once, pytest.mark.untraced]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    """The rows of every sink after a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    pipeline(folder).run_sync(checkpoint=folder / "state")
    rows = shown(folder)
    assert all(rows[name].height > 3 for name in SINKS)
    return rows


def killed(processes: ForkServerContext, folder: Path, point: Failpoint, hit: int) -> bool:
    """Run in a process of its own; return whether it was killed at the failpoint."""
    process = processes.Process(target=work, args=(str(folder), point.name, hit))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), f"exit code {process.exitcode}"
    return process.exitcode != 0


BEFORE = {
    Failpoint.ATTEMPT_COUNTED: (Failpoint.MANIFEST_NAMED, 1),
    Failpoint.SINK_RECOVERED: (Failpoint.MANIFEST_NAMED, 2),
}
"""The kill that gives a restart something to do, for failpoints of restarts."""


@pytest.mark.parametrize("point", RUN_POINTS, ids=lambda point: point.name)
def test_runs_that_are_killed_there_and_continued_show_each_row_once(
    point: Failpoint,
    expected: dict[str, pl.DataFrame],
    processes: ForkServerContext,
    tmp_path: Path,
) -> None:
    if point in BEFORE:
        assert killed(processes, tmp_path, *BEFORE[point])
    assert killed(processes, tmp_path, point, 1)
    # A run passes some points once only.
    again = killed(processes, tmp_path, point, 3)
    assert again or point in (Failpoint.ATTEMPT_COUNTED, Failpoint.EPOCH_DROPPED)
    pipeline(tmp_path).run_sync(checkpoint=tmp_path / "state")
    for name, rows in shown(tmp_path).items():
        assert_frame_equal(rows, expected[name])


def test_modules_that_are_preloaded_start_no_threads_of_polars() -> None:
    """Processes that are forked would wait for them for ever."""
    code = (
        "import importlib, sys; from contextlib import suppress; from pathlib import Path\n"
        "for each in sys.argv[1:]:\n"
        "    with suppress(ImportError): importlib.import_module(each)\n"
        "print([each.read_text() for each in Path('/proc/self/task').glob('*/comm')])"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, *PRELOADED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "polars-0" not in done.stdout, done.stdout


KILLS = int(os.environ.get("KILLS", "10"))
SEED = os.environ.get("SEED") or f"{random.randrange(1 << 32)}"


@pytest.mark.timeout(60 + 5 * KILLS)
def test_runs_that_are_killed_at_random_moments_and_continued_show_each_row_once(
    expected: dict[str, pl.DataFrame],
    processes: ForkServerContext,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`make soak` makes it hundreds of kills."""
    kills = RandomKills(processes, SEED, "recovery")
    while kills.kills < KILLS:
        folder = tmp_path / str(kills.rounds)
        kills.kill(watched, (str(folder),), len(SINKS), min(KILLS_A_ROUND, KILLS - kills.kills))
        pipeline(folder).run_sync(checkpoint=folder / "state")
        for name, rows in shown(folder).items():
            assert rows.equals(expected[name]), f"{name} in round {kills.rounds} of seed {SEED}: {folder}"
    with capsys.disabled():
        print(f" {kills} ", end="")
