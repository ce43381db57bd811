"""What becomes of runs in the background when the program ends, or its interpreter."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from arrowstream.runtime.background import at_exit

pytestmark = pytest.mark.once

PROGRAM = """
import asyncio, threading
import polars as pl
from arrowstream import Pipeline, Sink, Source

passed = threading.Event()

async def rows():
    while True:
        yield pl.DataFrame({"x": [1, 2, 3]})
        await asyncio.sleep(0.001)

def note(rows):
    passed.set()

source = Source.from_fn(rows, schema={"x": pl.Int64})
sinks = Sink.fanout([Sink.to_file("out.parquet"), Sink.to_file("out.csv"), Sink.to_fn(note)])
running = Pipeline.builder(name="endless").source(source).filter(pl.col("x") > 1).sink(sinks).build().start()
assert passed.wait(60)
"""


@pytest.mark.parametrize("end", ["", "raise KeyError('x')", "import sys; sys.exit(3)"])
def test_a_program_ends_and_nothing_half_written_stays(tmp_path: Path, end: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", f"{PROGRAM}\n{end}"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == {"": 0, "r": 1, "i": 3}[end[:1]], done.stderr
    assert "pipeline endless is still running at the exit of the program" in done.stderr
    assert "shutdown" not in done.stderr, "its workers still took work"
    assert list(tmp_path.iterdir()) == []


FORKS = """
import os
child = os.fork()
if child == 0:
    sys.exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), running.state)
running.stop()
running.wait()
"""


def test_a_forked_process_does_not_end_the_runs_of_its_parent(tmp_path: Path) -> None:
    """Their threads are not in it: it would wait for them, and warn."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{PROGRAM}\n{FORKS}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "0 running\n"), done.stderr
    assert "still running at the exit" not in done.stderr


def test_what_a_fork_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_exit, "_alive", {Scripted("parents", 0)})
    monkeypatch.setattr(at_exit, "_lock", at_exit._lock)
    with at_exit._lock:  # as a thread of the parent may have it
        at_exit._forget()
        at_exit.end_all()
    assert at_exit._alive == set()


class Scripted:
    """A run that ends after a number of questions."""

    def __init__(self, name: str, ends_after: float, commits_until: float = 0.0) -> None:
        self.name = name
        self.calls: list[str] = []
        self._ends_after, self._commits_until = ends_after, commits_until

    @property
    def commits(self) -> bool:
        return len(self.calls) < self._commits_until

    def cancel(self) -> None:
        self.calls.append("cancel")

    def join(self, seconds: float) -> bool:
        self.calls.append("join")
        return len(self.calls) > self._ends_after


def test_every_run_is_ended_and_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]

    def monotonic() -> float:
        now[0] += 1.0
        return now[0]

    monkeypatch.setattr(at_exit, "_alive", set())
    monkeypatch.setattr(at_exit, "monotonic", monotonic)
    runs = [Scripted("a", 2), Scripted("stuck", 1e9), Scripted("commits", 60, commits_until=100)]
    for run in runs:
        at_exit.on_begin(run)
    gone = Scripted("gone", 0)
    at_exit.on_begin(gone)
    at_exit.on_end(gone)
    with caplog.at_level(logging.WARNING):
        at_exit.end_all()
    assert all(run.calls[0] == "cancel" for run in runs) and gone.calls == []
    assert len(runs[2].calls) == 61, "what commits is waited for"
    assert len(runs[1].calls) < 20, "what does not end is left alone after a while"
    assert len(caplog.records) == 3
