"""SIGINT and SIGTERM while a run goes on: the first stops it gently, the second ends it at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

from arrowstream.errors import PlanError, RunInterrupted

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM)

_LOOK_AT_COMMIT_SECONDS: Final = 0.01
"""Time between two looks at a commit after which the run is cancelled, in seconds."""


def _say_nothing(text: str) -> None:
    """Ignore a message."""


@dataclass(frozen=True, slots=True)
class SignalHandling:
    """Reactions to signals in addition to the end of the run.

    Parameters
    ----------
    say
        Called on the event loop with a sentence for the user at each signal that has an effect.
    exit_after
        Seconds after a second signal at which the process exits even if a thread still blocks; None to wait for it.
        A temporary file may then be left, never one under a final name. A commit that goes on after that time gets
        as much time again.
    """

    say: Callable[[str], None] = _say_nothing
    exit_after: float | None = None


class Stoppable(Protocol):
    """A run, as signal handlers see it."""

    @property
    def commit_begun(self) -> bool:
        """True while its sinks make rows visible, which nothing stops, and after the last commit."""
        ...

    def stop(self, reason: str) -> None:
        """End the run gently; called on the event loop with the name of the signal."""
        ...


def check_main_thread() -> None:
    """Raise unless the calling thread is the main thread, which alone can handle signals.

    Raises
    ------
    PlanError
        It is another thread.
    """
    if threading.current_thread() is not threading.main_thread():
        raise PlanError(
            "signals can be handled on the main thread only",
            expected="run(signals=True) on the main thread, or run_sync(signals=True) outside of an event loop",
            found=threading.current_thread().name,
        )


async def ended_by_signals(run: Stoppable, work: Coroutine[Any, Any, T], handling: SignalHandling) -> T:
    """Run `work`, the execution of `run`, until it ends or signals end it.

    The first signal stops the run: sources stop, rows in flight are delivered, sinks commit. The second cancels
    it, so that nothing is committed. It has no effect once sinks commit, which cannot be undone; in a run with
    checkpoints, the commit of an epoch that is not the last one is completed, and the run is cancelled after it.

    Raises
    ------
    RunInterrupted
        A second signal ended the run.
    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    with _Handlers(run, task, handling) as handlers:
        try:
            return await work
        except asyncio.CancelledError:
            if handlers.second is None or task.uncancel() > before:
                raise
            raise RunInterrupted(handlers.second) from None


class _Handlers:
    """Signal handlers that are installed while a run goes on.

    They use `signal.signal` rather than the loop's handlers: it works on Windows too, and counts a second signal
    even when the loop is busy. All other work is scheduled on the loop, where it is safe.
    """

    def __init__(self, run: Stoppable, task: asyncio.Task[Any], handling: SignalHandling) -> None:
        self.second: signal.Signals | None = None
        self._run = run
        self._task = task
        self._handling = handling
        self._loop = asyncio.get_running_loop()
        self._received = 0
        self._before: dict[signal.Signals, Any] = {}
        self._mutex = threading.Lock()
        self._ended = False
        self._exit: threading.Timer | None = None

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        with self._mutex:
            self._ended = True
            if self._exit is not None:
                self._exit.cancel()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._received += 1
        if self._received == 1:
            self._loop.call_soon_threadsafe(self._stop, signal.Signals(number))
        elif self._received == 2:
            self._leave_later(128 + number)
            self._loop.call_soon_threadsafe(self._cancel, signal.Signals(number))

    def _stop(self, number: signal.Signals) -> None:
        self._handling.say("stopping: what was read is still delivered; a second signal ends the run at once")
        self._run.stop(number.name)

    def _cancel(self, number: signal.Signals) -> None:
        if self._run.commit_begun:
            self._handling.say("committing: the run ends once its rows are visible")
        self._cancel_after_commit(number)

    def _cancel_after_commit(self, number: signal.Signals) -> None:
        if self._ended:
            return
        if self._run.commit_begun:
            self._loop.call_later(_LOOK_AT_COMMIT_SECONDS, self._cancel_after_commit, number)
            return
        self.second = number
        self._task.cancel()

    def _leave_later(self, code: int) -> None:
        """Exit after some time, by a thread: the loop may be blocked."""
        if self._handling.exit_after is not None:
            self._exit = threading.Timer(self._handling.exit_after, self._leave, [code])
            self._exit.daemon = True
            self._exit.start()

    def _leave(self, code: int) -> None:
        if not self._run.commit_begun:
            exit_now(code)
            return
        # A commit that has begun must end: otherwise half of it would be visible.
        with self._mutex:
            if not self._ended:
                self._leave_later(code)


def exit_now(code: int) -> None:
    """Exit the process at once, without clean-up; only a hidden cursor is shown again."""
    if sys.stderr.isatty():
        os.write(2, b"\x1b[?25h\n")
    os._exit(code)
