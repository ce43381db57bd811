"""Runs that are cancelled at any step of their loop, and continued: no batch is lost, and nothing is left behind."""

import asyncio
import gc
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkpoints.killed_sinks import SINKS, Place, differences, pipeline

pytestmark = [pytest.mark.once, pytest.mark.untraced, pytest.mark.usefixtures("own_garbage")]

CANCELS = int(os.environ.get("CANCELS", "1"))
SEED = os.environ.get("SEED") or f"{random.randrange(1 << 32)}"
SECONDS = 60
"""Time after which a run that was cancelled hangs."""


class CancellingLoop(asyncio.SelectorEventLoop):
    """Cancels a task when a number of callbacks have been scheduled: before any step of any task, at any await."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.steps = 0
        self.target: asyncio.Task[Any] | None = None
        self._at = at

    def call_soon(self, *arguments: Any, **options: Any) -> asyncio.Handle:
        if self.target is not None:
            self.steps += 1
            if self.steps == self._at:
                self.target.cancel()
        return super().call_soon(*arguments, **options)


def cancelled_at(step: int, names: tuple[str, ...], at: Place) -> tuple[bool, int]:
    """Run, and cancel the run at a step of its loop; return whether it was cancelled, and its number of steps."""
    loop = CancellingLoop(step)

    async def main() -> bool:
        job = pipeline(names, at, an_epoch=1).run(checkpoint=at.state, every="1ms")
        loop.target = asyncio.ensure_future(job)
        ended, _ = await asyncio.wait([loop.target], timeout=SECONDS)
        assert ended, f"the run hangs that was cancelled at step {step}"
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks that a run has left: {left}"
        if loop.target.cancelled():
            return True
        loop.target.result()
        return False

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main()), loop.steps


def resources() -> tuple[int, Counter[str]]:
    """Return the number of open files, and the threads, of this process: without those that libraries keep."""
    kept = ("Dummy", "ThreadPoolExecutor")
    threads = (thread.name for thread in threading.enumerate() if not thread.name.startswith(kept))
    gc.collect()  # what this test has left open
    return len(list(Path("/proc/self/fd").iterdir())), Counter(threads)


def left_over(before: tuple[int, Counter[str]]) -> str:
    """Return what is open now and was not before; libraries close files on threads of their own, a little later."""
    deadline = time.monotonic() + SECONDS
    while True:
        files, threads = resources()
        if files <= before[0] and threads <= before[1]:
            return ""
        if time.monotonic() > deadline:
            return f"{files - before[0]} files more, and the threads {dict(threads - before[1])}"
        time.sleep(0.01)


@pytest.mark.timeout(60 + 5 * CANCELS)
@pytest.mark.parametrize("name", SINKS)
def test_each_row_is_shown_once_wherever_runs_are_cancelled(name: str, place: Callable[..., Place]) -> None:
    """A run and the one that continues it, at one step in each of CANCELS parts of their lives."""
    cancelled, steps = cancelled_at(-1, (name,), place((name,), "whole"))
    assert not cancelled and steps > 100
    before = resources()
    chance = random.Random(f"{SEED}/{name}")
    for number in range(CANCELS):
        at = place((name,), str(number))
        first = chance.randint(number * steps // CANCELS, (number + 1) * steps // CANCELS)
        second = chance.randint(1, steps // 4)
        for step in (first, second, -1):
            cancelled_at(step, (name,), at)
        wrong = differences((name,), at)
        assert not wrong, f"cancelled at {first}, then at {second}, of SEED={SEED}: {wrong}"
        # Connections of the object store are those of its server, too, which is part of this process.
        left = "" if name == "objects" else left_over(before)
        assert not left, f"cancelled at {first}, then at {second}, of SEED={SEED}: {left}"


def test_a_run_is_cancelled_at_each_of_its_first_steps(place: Callable[..., Place]) -> None:
    """Also in the step that starts its tasks: what these await then is not cancelled by other code."""
    assert all(cancelled_at(step, ("csv",), place(("csv",), str(step)))[0] for step in range(1, 50))
