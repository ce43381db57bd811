"""A run that its caller waits for, as others see it meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import polars as pl

from arrowstream.plan.outline import Outline
from arrowstream.runtime.background.history import SAMPLE_SECONDS
from arrowstream.runtime.background.snapshot import Snapshot, State, error_text
from arrowstream.runtime.background.watched import Watched
from arrowstream.runtime.run import Run


class Foreground(Watched):
    """A run of `Pipeline.run`, seen from other threads.

    It is sampled when somebody asks, so that a run that nobody looks at does nothing for it.

    Parameters
    ----------
    name, run, outline, passing
        As for `Watched`.
    stop
        Ends the run gently.
    """

    def __init__(
        self,
        name: str,
        run: Run,
        outline: Callable[[], Outline],
        passing: Callable[[], Mapping[str, pl.Schema]],
        stop: Callable[[], None],
    ) -> None:
        super().__init__(name, run, outline, passing)
        self._stop_run = stop
        self._failure: str | None = None
        self._is_failed = False
        self._ended = threading.Event()
        self._sampled = 0.0
        self._asking = threading.Lock()

    def end(self, error: BaseException | None) -> None:
        """Note how the run has ended; called once.

        Parameters
        ----------
        error
            The error, or None if it has ended well.
        """
        # Its text alone: its traceback would keep the run alive, and with it the files that its steps have open.
        self._failure = error_text(error)
        self._is_failed = isinstance(error, Exception)
        self._sample()
        self._taps.end()
        self._ended.set()

    @property
    def done(self) -> bool:
        return self._ended.is_set()

    @property
    def state(self) -> State:
        if not self.done:
            return "running" if self._run.stop_reason is None else "stopping"
        if self._failure is None:
            return "done"
        return "failed" if self._is_failed else "cancelled"

    @property
    def failure(self) -> str | None:
        return self._failure

    def join(self, seconds: float | None = None) -> bool:
        return self._ended.wait(seconds)

    def stop(self) -> None:
        self._stop_run()

    def _check_thread(self, call: str) -> None:
        """Do nothing: only a page looks at such a run, and its calls come from the server's threads."""

    def snapshot(self) -> Snapshot:
        self._sample_if_due()
        return super().snapshot()

    def history(self) -> pl.DataFrame:
        self._sample_if_due()
        return super().history()

    def _sample_if_due(self) -> None:
        with self._asking:
            if not self.done and self._run.seconds - self._sampled >= SAMPLE_SECONDS:
                self._sampled = self._run.seconds
                self._sample()
