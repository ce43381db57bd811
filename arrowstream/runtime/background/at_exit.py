"""Runs that are still going on when the interpreter exits: ended at once, so that the exit does not wait for ever."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable
from time import monotonic
from typing import Protocol

EXIT_SECONDS = 10.0
"""Longest time that the exit waits for a run to clean up, in seconds; a commit that has begun is waited for."""

_log = logging.getLogger("arrowstream")


class Endable(Protocol):
    """A run, as the exit of the interpreter sees it."""

    @property
    def name(self) -> str:
        """The pipeline's name."""
        ...

    @property
    def commits(self) -> bool:
        """True while rows become visible."""
        ...

    def cancel(self) -> None:
        """End it at once."""
        ...

    def join(self, seconds: float) -> bool:
        """Wait for its end; return whether it has ended."""
        ...


_alive: set[Endable] = set()
_lock = threading.Lock()
_is_registered = False


def on_begin(run: Endable) -> None:
    """Note a run that begins."""
    global _is_registered
    with _lock:
        _alive.add(run)
        if not _is_registered:
            _is_registered = True
            _register(end_all)


def on_end(run: Endable) -> None:
    """Note that a run has ended."""
    with _lock:
        _alive.discard(run)


def _register(function: Callable[[], object]) -> None:
    # Worker threads take no more work once their own hooks have run, which come before those of atexit. A run can
    # clean up only before: hooks of threading are called from the newest to the oldest.
    getattr(threading, "_register_atexit", atexit.register)(function)


def _forget() -> None:
    """Forget the runs of the parent in a forked process, where their threads do not exist and never end."""
    global _lock
    _alive.clear()
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forget)


def end_all() -> None:
    """End every run that goes on, and wait until they have cleaned up."""
    with _lock:
        runs = list(_alive)
    for run in runs:
        _log.warning(
            "pipeline %s is still running at the exit of the program: it is ended at once and commits nothing more; "
            "running.wait() waits for it, running.stop() ends it gently",
            run.name,
        )
        run.cancel()
    until = monotonic() + EXIT_SECONDS
    for run in runs:
        while not run.join(min(max(until - monotonic(), 0.0), 0.1)) and (monotonic() < until or run.commits):
            pass
