"""The limits of a run, and its reports of progress."""

from __future__ import annotations

import logging
from collections.abc import Callable

from arrowstream.core.clock import Clock
from arrowstream.runtime.options import Options
from arrowstream.runtime.totals import Totals

PROGRESS_NS = 100_000_000
"""Shortest time between two reports of progress, in nanoseconds."""

_log = logging.getLogger("arrowstream.metrics")


class Limits:
    """The limits of rows and time, and the reports of progress.

    Parameters
    ----------
    clock
        The run's monotonic clock.
    options
        The limits, and the callback for progress.
    totals
        The counters of the run.
    stop
        Stops the run gently, for a reason.
    """

    __slots__ = ("_clock", "_options", "_reported_ns", "_stop", "_totals")

    def __init__(self, clock: Clock, options: Options, totals: Totals, stop: Callable[[str], None]) -> None:
        self._clock = clock
        self._options = options
        self._totals = totals
        self._stop = stop
        self._reported_ns = clock.now_ns()

    @property
    def look_at_writes(self) -> bool:
        """True if `on_write` has something to do: the run has a limit of rows, or reports progress."""
        return self._options.limit is not None or self._options.on_progress is not None

    def on_write(self) -> None:
        """Stop the run if the limit is reached, and report progress if due.

        Called on the loop after each batch that a sink at an end has written.
        """
        if self._options.limit is not None and self._totals.rows_out >= self._options.limit:
            self._stop("limit")
            self._cancel_if_full()
        if self._options.on_progress is not None:
            now = self._clock.now_ns()
            if now - self._reported_ns >= PROGRESS_NS:
                self._reported_ns = now
                self.report_progress()

    def report_progress(self) -> None:
        """Report the present progress."""
        if self._options.on_progress is not None:
            self._options.on_progress(self._totals.progress())

    async def stop_in_time(self) -> None:
        """Stop the run gently after its time limit."""
        if self._options.seconds is not None:
            await self._clock.sleep(self._options.seconds)
            self._stop("duration")

    async def log_metrics(self, name: str) -> None:
        """Log a line of metrics at regular intervals, until cancelled."""
        while self._options.log_seconds is not None:
            await self._clock.sleep(self._options.log_seconds)
            _log.info("%s", self._totals.metrics(name))

    def _cancel_if_full(self) -> None:
        """Cancel the tasks once no sink takes more rows; a throttle could otherwise keep the run alive for hours."""
        # Late rows and dead letters have been counted, so their sinks must still get those under way.
        totals = self._totals
        if totals.exits_agree and totals.only_final_sinks:
            assert totals.wiring is not None
            totals.wiring.cancel()
