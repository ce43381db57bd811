"""Ending a run from outside: the first signal stops it gently, the second ends it at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from arrowstream.pipeline import Pipeline
from arrowstream.runtime.report import RunReport

SIGNALS = (signal.SIGINT, signal.SIGTERM)

GRACE_SECONDS = 1.0
"""How long a run that is ended at once may take to remove what it has half-written."""


class EndedAtOnce(Exception):
    """A second signal ended the run; `code` is what a shell expects of a process that a signal killed."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"ended by a signal, exit code {code}")


async def run_until_told(pipeline: Pipeline, *, on_stop: Callable[[], None], **options: Any) -> RunReport:
    """``pipeline.run(**options)``, ended by SIGINT and SIGTERM.

    The first signal calls `on_stop` and stops the source: what is in flight is delivered, the sink
    commits, and the report says ``stopped="stop"``. The second cancels the run; the sink removes what
    is half-written. A thread that still blocks after `GRACE_SECONDS` is not waited for: the process
    exits, and a temporary file may stay behind, never one under a final name.

    Raises
    ------
    EndedAtOnce
        A second signal came.
    """
    run = asyncio.create_task(pipeline.run(**options))

    def stop() -> None:
        on_stop()
        pipeline.stop()

    with _Interrupts(stop, run) as interrupts:
        await asyncio.wait([run])
    if run.cancelled():
        raise EndedAtOnce(interrupts.code)
    return run.result()


class _Interrupts:
    """Signal handlers for as long as the run takes.

    `signal.signal` rather than the loop's own handlers: it works on Windows too, and a second signal is
    still counted when the loop is busy. Everything else is left to the loop, where it is safe.
    """

    def __init__(self, stop: Callable[[], None], run: asyncio.Task[Any]) -> None:
        self.code = 0
        self._stop = stop
        self._run = run
        self._loop = asyncio.get_running_loop()
        self._received = 0
        self._before: dict[signal.Signals, Any] = {}
        self._deadline: threading.Timer | None = None

    def __enter__(self) -> _Interrupts:
        self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._deadline is not None:
            self._deadline.cancel()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._received += 1
        if self._received == 1:
            self._loop.call_soon_threadsafe(self._stop)
        elif self._received == 2:
            self.code = 128 + number
            self._deadline = threading.Timer(GRACE_SECONDS, exit_now, [self.code])
            self._deadline.daemon = True
            self._deadline.start()
            self._loop.call_soon_threadsafe(self._run.cancel)


def exit_now(code: int) -> None:
    """Leave the process without waiting for anything; only a hidden cursor is given back."""
    if sys.stderr.isatty():
        os.write(2, b"\x1b[?25h\n")
    os._exit(code)
