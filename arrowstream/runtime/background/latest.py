"""The latest run of a pipeline, as a page shows it that is there before the run and after it."""

from __future__ import annotations

import time
from collections.abc import Callable

import polars as pl

from arrowstream.plan.outline import Outline
from arrowstream.runtime.background.history import SCHEMA
from arrowstream.runtime.background.masked import Hide, masked
from arrowstream.runtime.background.snapshot import Snapshot, State
from arrowstream.runtime.background.watched import Watched


class LatestRun:
    """The run of a pipeline that has begun last.

    Parameters
    ----------
    name
        The pipeline's name.
    outline
        Returns the outline of the pipeline, which is all that is known before the first run.
    watched
        The run that goes on, if any.
    hide
        Masks secrets in texts.
    """

    def __init__(
        self, name: str, outline: Callable[[], Outline], watched: Watched | None, hide: Hide = str
    ) -> None:
        self._name = name
        self._outline = outline
        self._watched = watched
        self._hide = hide

    def see(self, watched: Watched) -> None:
        """Show this run from now on."""
        self._watched = watched

    @property
    def state(self) -> State:
        """What the run does, as `Running.state`; ``"ready"`` before the first run."""
        return "ready" if self._watched is None else self._watched.state

    def stop(self) -> None:
        """Stop the run gently."""
        if self._watched is not None:
            self._watched.stop()

    def tail(self, stage: str, rows: int) -> pl.DataFrame:
        """Return the last rows of a stage, as `Running.tail`; none before the first run."""
        return pl.DataFrame() if self._watched is None else self._watched.tail(stage, rows)

    def history(self) -> pl.DataFrame:
        """Return the figures over time, as `Running.history`."""
        return pl.DataFrame(schema=SCHEMA) if self._watched is None else self._watched.history()

    def snapshot(self) -> Snapshot:
        """Return what a viewer shows at this moment, without secrets; before the first run only the graph."""
        shown = self._snapshot()
        return shown if self._hide is str else masked(shown, self._hide)

    def _snapshot(self) -> Snapshot:
        if self._watched is not None:
            return self._watched.snapshot()
        return Snapshot(
            name=self._name,
            state="ready",
            stopped=None,
            unix_seconds=time.time(),
            seconds=0.0,
            rows_in=0,
            rows_out=0,
            rows_per_second=0.0,
            p50_ms=None,
            p99_ms=None,
            queue_depth=0,
            errors=0,
            losses=None,
            has_losses=False,
            error=None,
            outline=self._outline(),
            stages=(),
        )
