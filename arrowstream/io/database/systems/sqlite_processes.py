"""`Process`: a process that opens SQLite files for this one; and those that wait for their next file."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from contextlib import suppress
from io import BufferedReader, BufferedWriter
from pathlib import Path
from typing import cast
from weakref import WeakSet

from arrowstream.io.database.systems import sqlite_process
from arrowstream.io.database.systems.sqlite_process import send

IDLE = 2
"""Number of processes that wait for the next file: one more takes a fifth of a second to start."""
END_SECONDS = 10.0
"""How long a process may take to end by itself, in seconds."""

_idle: list[Process] = []
_all: WeakSet[Process] = WeakSet()


class Process:
    """A process that has just been started.

    Raises
    ------
    OSError
        It cannot be started.
    """

    def __init__(self) -> None:
        if not sys.executable or getattr(sys, "frozen", False):
            raise FileNotFoundError(f"sys.executable is {sys.executable!r}, which is not a Python")
        file = Path(sqlite_process.__file__)
        # Its folder is on the path for this import only; it may be in a zip file.
        program = (
            f"import sys; sys.path.insert(0, {str(file.parent)!r}); import {file.stem} as this; sys.path.pop(0); "
            f"sys.meta_path.insert(0, this.WithoutPandas); this.main({os.getpid()})"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,  # Ctrl-C is for this process, which may need the other one to end in order
        )
        self.requests = cast(BufferedWriter, self._process.stdin)
        self.answers = cast(BufferedReader, self._process.stdout)
        self.left = False
        """True in a process that was forked from the one that has started this."""
        _all.add(self)
        try:
            send(self.requests, sys.path)
        except OSError:
            self.end()
            raise

    @property
    def ended(self) -> bool:
        """True if the process has ended."""
        return self._process.poll() is not None

    def end(self, seconds: float | None = None) -> int:
        """End the process, which undoes what is not committed; return its exit code.

        Parameters
        ----------
        seconds
            How long it may take to end by itself; None for `END_SECONDS`.
        """
        self._close()
        try:
            return self._process.wait(END_SECONDS if seconds is None else seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def leave(self) -> None:
        """Leave the process to the one that has started it, of which this one is a fork."""
        self.left = True
        self._close()
        self._process.returncode = 0  # is not waited for

    def _close(self) -> None:
        # Not the buffers: what they hold is not wanted, and a thread that a fork lacks may have locked them.
        self.requests.raw.close()
        self.answers.raw.close()


def waiting() -> Process | None:
    """Return a process that waits for its next file; None without one."""
    with suppress(IndexError):  # also if another thread has taken the last one
        while (process := _idle.pop()).ended:
            process.end()
        return process
    return None


def give_back(process: Process) -> None:
    """Let a process wait for its next file, or end it if enough of them do."""
    if len(_idle) < IDLE:
        _idle.append(process)
    else:
        process.end()


def end_idle() -> None:
    """End the processes that wait."""
    while (process := waiting()) is not None:
        process.end()


def _leave_all() -> None:
    # With a copy of its pipe open, a process does not see that it should end.
    for process in _all:
        process.leave()
    _idle.clear()


atexit.register(end_idle)
os.register_at_fork(after_in_child=_leave_all)
