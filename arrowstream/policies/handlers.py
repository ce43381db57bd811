"""Error handlers: retry, log, skip rows, write them to a dead-letter sink, or end the run.

They are values; `arrowstream.runtime.failure.guard` acts on them, in the order given: each gets the failures that
the handlers before it did not resolve. A failure that no handler resolves ends the run.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike, fspath

from arrowstream.core.checks import check_flag
from arrowstream.core.duration import Duration
from arrowstream.core.mistakes.explain import ExplainsNames, explain_calls
from arrowstream.errors import PlanError
from arrowstream.policies.backoff import Backoff, wait_seconds


@explain_calls
class ErrorHandler(metaclass=ExplainsNames):
    """A reaction to failures of a step or sink. Make one with the methods below and give it to `on_error`.

    Any number of `retry` and `log` may come first; one of `skip`, `dead_letter` and `fail` may come last. Handlers
    act in the order given: each gets the failures that those before it did not resolve. A failure that no handler
    resolves ends the run; the error names the stage, the position of the batch and the cause.
    """

    __slots__ = ()

    @abstractmethod
    def describe(self) -> str:
        """Return a short text for `explain()`, such as ``skip()``."""

    @staticmethod
    def retry(
        times: int | None = None,
        delay: Duration | None = None,
        *,
        factor: float = 2.0,
        jitter: float = 0.5,
        budget: Duration | None = None,
        max_delay: Duration | None = None,
    ) -> Retry:
        """Retry the whole batch, after waits that grow.

        At a sink, each write of a batch is retried. What is still to be written after the end of the stream is
        written once, and a failure there ends the run.

        Parameters
        ----------
        times
            Number of retries after the first attempt, at least 1; by default the setting `max_retries`, 3.
        delay
            The wait before the first retry: ``"100ms"``, seconds, a timedelta; by default the setting
            `retry_delay_ms`, 0.1 seconds.
        factor
            Ratio of each wait to the one before, at least 1.
        jitter
            Largest fraction of each wait, between 0 and 1, that is randomly taken off, so that callers that failed
            together do not retry together.
        budget
            Longest time from the first failure to the start of a retry; unlimited by default.
        max_delay
            Longest wait; by default 60 seconds, or `delay` if that is longer.

        Raises
        ------
        PlanError
            A value is out of its range, or is not a duration.
        """
        wait = None if delay is None else wait_seconds("delay", delay)
        longest = None if max_delay is None else wait_seconds("max_delay", max_delay)
        limit = None if budget is None else wait_seconds("budget", budget)
        return Retry(times, wait, factor, jitter, limit, longest)

    @staticmethod
    def log() -> Log:
        """Log the failure once, to the logger ``arrowstream``: stage, rows, source position and error."""
        return Log()

    @staticmethod
    def skip(*, whole_batch: bool = False) -> Skip:
        """Leave out only the rows that fail, and keep the others in order.

        Halving the batch finds them: with some ``2 * log2(rows)`` further attempts for a single row that fails,
        and one for each row where all of them fail. An attempt costs some 20 us and the work itself, 0.2 ms in
        expressions. Where most rows fail in an expression, use ``cast(..., strict=False)`` with a `filter` or `split`
        after it instead, or `whole_batch`.

        Parameters
        ----------
        whole_batch
            Leave out the whole batch instead, without further attempts.
        """
        check_flag("whole_batch", whole_batch)
        return Skip(whole_batch)

    @staticmethod
    def dead_letter(sink: object, *, whole_batch: bool = False) -> DeadLetter:
        """Write only the rows that fail to `sink`, with the error, the stage and the source position.

        They are found as by `skip`, at the same cost.

        Error, stage and position are the text columns ``error``, ``stage`` and ``position``; where the rows already
        have a column of this name, underscores are put before the new one until it is free (``_error``). Positions
        count from 0 and exclude the end: ``orders.csv rows 7-8`` is the file's eighth row, which an error of reading
        calls row 8.

        Parameters
        ----------
        sink
            The sink of the rows that fail, such as ``Sink.to_file("bad/")``. A file sink without `mode` keeps the
            rows of earlier runs: it appends to a folder, or to a CSV or NDJSON file, and refuses another file with
            rows. The rows become visible after those of the run's other sinks, and not if none of these could show
            its rows: the next run writes them again, and would double them. They may be there twice if only one of
            several sinks failed at the end, or with a sink that shows its rows early (`roll_every`, `Sink.to_fn`);
            and they are lost if the process is killed after the other sinks have shown their rows.
        whole_batch
            Write every row of the batch, without searching for those that fail.

        Raises
        ------
        PlanError
            `sink` is not a sink.
        """
        check_flag("whole_batch", whole_batch)
        return DeadLetter(sink, whole_batch)

    @staticmethod
    def fail() -> Fail:
        """End the run, as without any handler."""
        return Fail()


@dataclass(frozen=True, slots=True)
class Retry(Backoff, ErrorHandler):
    """Handler that retries after waits that grow. See `ErrorHandler.retry`."""

    def describe(self) -> str:
        return f"retry({self.summary})"


@dataclass(frozen=True, slots=True)
class Log(ErrorHandler):
    """Handler that logs the failure. See `ErrorHandler.log`."""

    def describe(self) -> str:
        return "log()"


@dataclass(frozen=True, slots=True)
class Skip(ErrorHandler):
    """Handler that leaves failing rows out. See `ErrorHandler.skip`."""

    whole_batch: bool

    def describe(self) -> str:
        return "skip(whole_batch=True)" if self.whole_batch else "skip()"


@dataclass(frozen=True, slots=True)
class DeadLetter(ErrorHandler):
    """Handler that writes failing rows to a sink. See `ErrorHandler.dead_letter`."""

    sink: object
    whole_batch: bool

    def __post_init__(self) -> None:
        if self.sink is None:
            raise PlanError(
                "dead_letter() needs a sink",
                expected='a sink, such as Sink.to_file("bad/")',
                found="None",
                hint="skip() leaves the rows out without keeping them",
            )
        if isinstance(self.sink, str | PathLike):
            raise PlanError(
                "dead_letter() takes a sink, not a path",
                expected='a sink, such as Sink.to_file("bad/")',
                found=repr(self.sink),
                hint=f'write dead_letter(Sink.to_file("{fspath(self.sink)}"))',
            )

    def describe(self) -> str:
        label = getattr(self.sink, "label", type(self.sink).__name__)
        return f"dead_letter({label}{', whole_batch=True' if self.whole_batch else ''})"


@dataclass(frozen=True, slots=True)
class Fail(ErrorHandler):
    """Handler that ends the run. See `ErrorHandler.fail`."""

    def describe(self) -> str:
        return "fail()"


def check_handlers(handlers: Sequence[object]) -> None:
    """Raise unless these handlers can act one after the other.

    Raises
    ------
    PlanError
        An item is not a handler, comes after one that resolves every failure, or is a `log` after a `log`.
    """
    previous: ErrorHandler | None = None
    for handler in handlers:
        if not isinstance(handler, ErrorHandler):
            raise PlanError(
                "on_error() takes error handlers",
                expected="ErrorHandler.retry(...), .log(), .skip(), .dead_letter(...) or .fail()",
                found=f"{type(handler).__name__} {handler!r}",
                hint=_called(handler),
            )
        if isinstance(previous, Skip | DeadLetter | Fail):
            raise PlanError(
                f"{handler.describe()} comes after {previous.describe()}, which leaves nothing to do",
                expected="retry(...) and log() first, then one of skip(), dead_letter(...) and fail()",
                found=", ".join(_described(handlers)),
                hint="handlers act in the order given: change it, or take one away",
            )
        if isinstance(handler, Log) and isinstance(previous, Log):
            raise PlanError(
                "log() twice in a row would log every failure twice", hint="take one of them away"
            )
        previous = handler


def _called(handler: object) -> str | None:
    """Return a hint to call a method of `ErrorHandler`, or to make an object of a class of handlers; else None."""
    name = getattr(handler, "__name__", "").lower()
    if getattr(ErrorHandler, name, None) is not handler:
        return None
    return f"call it: ErrorHandler.{name}({'sink' if name == 'dead_letter' else ''})"


def _described(handlers: Sequence[object]) -> Iterator[str]:
    for handler in handlers:
        yield handler.describe() if isinstance(handler, ErrorHandler) else repr(handler)
