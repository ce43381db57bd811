"""The thread of a run in the background: how the run begins, is ended and is waited for."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from traceback import clear_frames
from types import TracebackType
from typing import Any, Self

import polars as pl

from arrowstream.core.failures import causes
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.core.waiting import call_on, in_cell, until_done
from arrowstream.errors import PlanError, RunCancelled
from arrowstream.plan.outline import Outline
from arrowstream.runtime.background import at_exit
from arrowstream.runtime.background.history import SAMPLE_SECONDS
from arrowstream.runtime.background.snapshot import error_text
from arrowstream.runtime.background.watched import Watched
from arrowstream.runtime.report import RunReport, log_losses
from arrowstream.runtime.run import Run

_LOOK_AT_INTERRUPTS_SECONDS = 0.2
"""Time after which an event loop of IPython that waits for a run wakes up, in seconds."""

_log = logging.getLogger("arrowstream")


@explain_calls
class Background(Watched):
    """A run on a thread with an event loop of its own.

    Parameters
    ----------
    name, run, outline, passing
        As for `Watched`.
    execute
        Returns the coroutine that executes the run, once.
    """

    def __init__(
        self,
        name: str,
        run: Run,
        execute: Callable[[], Coroutine[Any, Any, RunReport]],
        outline: Callable[[], Outline],
        passing: Callable[[], Mapping[str, pl.Schema]],
    ) -> None:
        super().__init__(name, run, outline, passing)
        self._execute = execute
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._report: RunReport | None = None
        self._error: BaseException | None = None
        self._is_cancelled = False
        self._waiting = 0
        self._mutex = threading.Lock()
        self._begun = threading.Event()
        self._ended: Future[None] = Future()
        self._ended.set_running_or_notify_cancel()  # a task that awaits it and is cancelled must not cancel it
        self._thread = threading.Thread(target=self._work, name=f"arrowstream-{name}", daemon=True)

    def begin(self) -> Self:
        """Start the thread; return once the run has begun, and raise what has kept it from that."""
        try:
            self._thread.start()
            self._begun.wait()
        except BaseException:  # interrupted: nobody would have the run in hand
            self.cancel()
            raise
        if self._task is None:
            self._result()
        return self

    async def _look_regularly(self) -> None:
        """Look at the run from time to time, on its loop, until cancelled."""
        while True:
            self._sample()
            self._taps.drop_forgotten()
            await asyncio.sleep(SAMPLE_SECONDS)

    def _work(self) -> None:
        """Run to the end, on the thread."""
        try:
            at_exit.on_begin(self)
            main = self._main()
            try:
                asyncio.run(main)
            finally:
                main.close()  # which a loop that could not be made has not begun
        except BaseException as error:
            self._error = self._error or error
        finally:
            self._on_end()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        assert self._task is not None
        if self._is_cancelled:  # before it had begun
            self._task.cancel()
        self._loop.call_soon(self._begun.set)  # once the pipeline knows of the run
        looking = asyncio.create_task(self._look_regularly(), name="history")
        try:
            execute = self._execute
            del self._execute  # it knows this object, and what it holds of the run
            self._report = await execute()
        except BaseException as error:
            # It is not the task's: a loop that SystemExit has ended would complain about it.
            self._error = error
        finally:
            looking.cancel()
            self._sample()
            self._taps.end()

    def _on_end(self) -> None:
        """Report the end to whoever waits, or to the log."""
        if self._is_cancelled and isinstance(self._error, asyncio.CancelledError):
            self._error = RunCancelled(f"pipeline {self.name} was ended at once: nothing more is committed")
        if not self._waiting and self._task is not None:
            self._log_end()
        for each in causes(self._error):
            # What the frames of the failure hold, such as open files, goes now; their lines stay in the traceback.
            clear_frames(each.__traceback__)
        at_exit.on_end(self)
        self._ended.set_result(None)
        self._begun.set()  # also if there was no loop to begin on

    def _log_end(self) -> None:
        """Log what nobody is there to be told."""
        if self._error is None:
            assert self._report is not None
            log_losses(self._report)
        elif not isinstance(self._error, RunCancelled):
            kind = type(self._error).__name__
            _log.error("pipeline %s failed in the background: %s: %s", self.name, kind, self._error)

    @property
    def done(self) -> bool:
        """True once the run has ended, well or not."""
        return self._ended.done()

    @property
    def report(self) -> RunReport | None:
        """The report of the run; None while it goes on, and if it has failed."""
        return self._report if self.done else None

    @property
    def error(self) -> BaseException | None:
        """The error with which the run has failed; None while it goes on, and if it has ended well."""
        return self._error if self.done else None

    @property
    def failure(self) -> str | None:
        """The error with which the run has ended, as text; None while it goes on, and if it has ended well."""
        return error_text(self.error)

    @property
    def _was_cancelled(self) -> bool:
        return isinstance(self._error, RunCancelled)

    @property
    def commits(self) -> bool:
        """True while the sinks make rows visible, which nothing stops."""
        return not self.done and self._run.commit_begun

    def stop(self) -> None:
        """End the run gently, as `Pipeline.stop`: sources stop, rows in flight are delivered, sinks commit.

        It returns at once; `wait` waits for the end.
        """
        self._stop("stop")

    def _stop(self, reason: str) -> None:
        self._on_loop(self._run.stop, reason)

    def cancel(self) -> None:
        """End the run at once: nothing more is committed, and `wait` raises `RunCancelled`.

        A commit that has begun is completed, and the run has then ended well. It returns at once.
        """
        self._is_cancelled = True
        if self._task is not None:
            self._on_loop(self._task.cancel)

    def _on_loop(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function on the loop of the run, unless it has ended."""
        if self._loop is not None:
            call_on(self._loop, function, *arguments)

    def join(self, seconds: float | None = None) -> bool:
        """Wait for the end of the run, however it ends; return whether it has ended.

        Parameters
        ----------
        seconds
            Longest time to wait, in seconds; None for no limit.
        """
        with suppress(TimeoutError):
            self._ended.result(seconds)
        return self.done

    def wait(self, timeout: float | None = None) -> RunReport:
        """Wait for the end of the run and return its report.

        Interrupted by Ctrl-C, or by the button of a notebook, it stops the run gently and goes on waiting; the report
        then has ``stopped == "SIGINT"``. A second interrupt ends the run at once and raises KeyboardInterrupt.

        Parameters
        ----------
        timeout
            Longest time to wait, in seconds; the run goes on if it is over. None for no limit.

        Returns
        -------
        RunReport
            The report.

        Raises
        ------
        ArrowstreamError
            The error with which the run has failed.
        RunCancelled
            `cancel` has ended it.
        TimeoutError
            The time is over, and the run goes on.
        """
        self._check_thread("wait()")
        with self._watched():
            try:
                ended = self.join(timeout)
            except KeyboardInterrupt:
                _log.warning(
                    "pipeline %s is stopping: what was read is still delivered; a second interrupt ends it at once",
                    self.name,
                )
                self._stop("SIGINT")
                ended = self._join_or_cancel(timeout)
            if not ended:
                raise TimeoutError(f"pipeline {self.name} is still running after {timeout} s")
            return self._result()

    def _join_or_cancel(self, timeout: float | None) -> bool:
        try:
            return self.join(timeout)
        except KeyboardInterrupt:
            self.cancel()
            self.join()
            raise

    def _result(self) -> RunReport:
        if self._error is not None:
            raise self._error
        assert self._report is not None
        return self._report

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """While somebody waits, an error of the run is raised there, and not logged."""
        with self._mutex:
            self._waiting += 1
        try:
            yield
        finally:
            with self._mutex:
                self._waiting -= 1

    def _check_thread(self, call: str) -> None:
        """Raise if the caller is the run itself, which would wait for itself."""
        if threading.current_thread() is self._thread:
            raise PlanError(
                f"{call} inside of the run itself would wait for ever",
                expected="a call from another thread",
                hint="a step or sink may call running.stop(), which does not wait",
            )

    def __await__(self) -> Generator[Any, None, RunReport]:
        """Wait for the end of the run, as `wait`, without blocking the loop; if cancelled, the run goes on."""
        return self._finished().__await__()

    async def _finished(self) -> RunReport:
        self._check_thread("await")
        with self._watched():
            ended = asyncio.wrap_future(self._ended)
            while not ended.done():
                # A kernel handles an interrupt once its loop wakes up.
                await asyncio.wait([ended], timeout=_LOOK_AT_INTERRUPTS_SECONDS if in_cell() else None)
            return self._result()

    def __enter__(self) -> Self:
        with self._mutex:
            self._waiting += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.stop()
                self.wait()
                return
            self.cancel()
            self.join()
            self._add_note(error)
        finally:
            with self._mutex:
                self._waiting -= 1

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.stop()
                await self
                return
            self.cancel()
            await until_done([asyncio.wrap_future(self._ended)])
            self._add_note(error)
        finally:
            with self._mutex:
                self._waiting -= 1

    def _add_note(self, error: BaseException) -> None:
        """Add the run's own failure to an exception that ended its block, unless it is the same."""
        own = self._error
        if own is not None and own is not error and not isinstance(own, RunCancelled):
            error.add_note(f"the run had failed, too: {type(own).__name__}: {own}")
