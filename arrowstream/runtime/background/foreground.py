"""A run that its caller waits for, as others see it meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping

import polars as pl

from arrowstream.core.waiting import call_on
from arrowstream.plan.outline import Outline
from arrowstream.runtime.background.history import SAMPLE_SECONDS
from arrowstream.runtime.background.snapshot import Snapshot, error_text
from arrowstream.runtime.background.watched import Watched
from arrowstream.runtime.run import Run


class Foreground(Watched):
    """A run of `Pipeline.run`, seen from other threads.

    It is sampled when somebody asks, so that a run that nobody looks at does nothing for it.

    Parameters
    ----------
    name, run, outline, passing
        As for `Watched`.
    loop
        The loop that it runs on.
    """

    def __init__(
        self,
        name: str,
        run: Run,
        outline: Callable[[], Outline],
        passing: Callable[[], Mapping[str, pl.Schema]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(name, run, outline, passing)
        self._loop = loop
        self._failure: str | None = None
        self._is_cancelled = False
        self._ended = threading.Event()

    def end(self, error: BaseException | None) -> None:
        """Note how the run has ended; called once.

        Parameters
        ----------
        error
            The error, or None if it has ended well.
        """
        # Its text alone: its traceback would keep the run alive, and with it the files that its steps have open.
        self._failure = error_text(error)
        self._is_cancelled = not isinstance(error, Exception)
        if self._history.seconds:  # else nobody has looked
            self._sample()
        self._taps.end()
        self._ended.set()

    @property
    def done(self) -> bool:
        return self._ended.is_set()

    @property
    def failure(self) -> str | None:
        return self._failure

    @property
    def _was_cancelled(self) -> bool:
        return self._is_cancelled

    def join(self, seconds: float | None = None) -> bool:
        return self._ended.wait(seconds)

    def stop(self) -> None:
        call_on(self._loop, self._run.stop)

    def _check_thread(self, call: str) -> None:
        """Do nothing: only a page looks at such a run, and its calls come from the server's threads."""

    def snapshot(self) -> Snapshot:
        self._sample_if_due()
        return super().snapshot()

    def history(self) -> pl.DataFrame:
        self._sample_if_due()
        return super().history()

    def _sample_if_due(self) -> None:
        if not self.done:
            self._sample(SAMPLE_SECONDS)
