"""What a step does about failures: try again, log, leave rows out, put them aside, or end the run.

These are values; `arrowstream.runtime.failure.guard` acts on them. They act in the order given: each gets the
failure that the ones before it could not do away with. Where none is left, the failure ends the run.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from arrowstream.core.duration import Duration
from arrowstream.errors import PlanError
from arrowstream.policies.backoff import Backoff, wait_seconds


class ErrorHandler(ABC):
    """One thing to do about a failure; make them with the methods here and give them to `on_error`.

    Any number of `retry` and `log` may come first; one of `skip`, `dead_letter` and `fail` may come last. They act
    in the order given: each gets the failure that those before it could not do away with. Where none is left,
    the failure ends the run, with the stage, the position of the batch and the cause.

    Notes
    -----
    Costs nothing for each row as long as nothing fails, but the step becomes a separate stage, not fused with
    others, which costs some 20 us a batch. A failure costs what the handlers do: `retry` the waits and the work
    again; `skip` and `dead_letter` some ``2 * log2(rows)`` tries for each row that fails. No state.

    Governed can be what does a batch's work in one go: expressions, functions, processors and sinks. A step that
    changes its state on the way, such as a window, cannot be tried again.

    Examples
    --------
    >>> import polars as pl
    >>> from arrowstream import ErrorHandler, Pipeline, Source
    >>> builder = (
    ...     Pipeline.builder()
    ...     .source(Source.from_frame(pl.DataFrame({"x": ["1", "two", "3"]})))
    ...     .cast({"x": pl.Int64})
    ...     .on_error(ErrorHandler.retry(2, delay="1ms"))
    ...     .on_error(ErrorHandler.skip())
    ... )
    >>> builder.collect_sync()["x"].to_list()
    [1, 3]
    """

    __slots__ = ()

    @abstractmethod
    def describe(self) -> str:
        """A few words for `explain()`, such as ``skip()``."""

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
        """Try the whole batch again, after waits that grow.

        At a sink that is each batch: when the stream has ended, what is still to be written is written once, and a
        failure there ends the run.

        Parameters
        ----------
        times
            Tries after the first one, at least 1; by default as the settings say: 3.
        delay
            The wait before the first of them: ``"100ms"``, seconds, a timedelta; by default as the settings
            say: 0.1 seconds.
        factor
            How many times as long each wait is as the one before, at least 1.
        jitter
            The part of each wait, between 0 and 1, that chance may take away, so that many who failed
            together do not come back together.
        budget
            No try begins later than this after the first failure; unlimited by default.
        max_delay
            No wait is longer than this; by default a minute, or `delay` if that is longer.

        Raises
        ------
        PlanError
            A value is out of its range, or a duration is none.
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
        """Leave out just the rows that fail, and keep the others in their order.

        They are found by halving the batch: some ``2 * log2(rows)`` further tries for each row that fails,
        and never more than two for each row of the batch. Where most rows fail that is 0.1 to 0.2 ms a row: then
        ``cast(..., strict=False)`` with a `filter` or `split` after it, or `whole_batch`, is the way.

        Parameters
        ----------
        whole_batch
            Leave out the whole batch instead, without further tries.
        """
        return Skip(whole_batch)

    @staticmethod
    def dead_letter(sink: object, *, whole_batch: bool = False) -> DeadLetter:
        """Write just the rows that fail to `sink`, with the error, the stage and the source position.

        They are found as by `skip`, at the same cost.

        These come as the text columns ``error``, ``stage`` and ``position``; where the rows have a column of such a
        name already, underscores are put before the new one until it is free (``_error``). Positions count from 0, up
        to and without the last: ``orders.csv rows 7-8`` is the file's eighth row, which an error of reading would
        call row 8.

        Parameters
        ----------
        sink
            Where they go, such as ``Sink.to_file("bad/")``.
        whole_batch
            Take every row of the batch for failed, without looking for those that are.

        Raises
        ------
        PlanError
            `sink` is not a sink.
        """
        return DeadLetter(sink, whole_batch)

    @staticmethod
    def fail() -> Fail:
        """End the run, which is also what happens without this."""
        return Fail()


@dataclass(frozen=True, slots=True)
class Retry(Backoff, ErrorHandler):
    """Try again after waits that grow. See `ErrorHandler.retry`."""

    def describe(self) -> str:
        return f"retry({self.summary})"


@dataclass(frozen=True, slots=True)
class Log(ErrorHandler):
    """Log the failure. See `ErrorHandler.log`."""

    def describe(self) -> str:
        return "log()"


@dataclass(frozen=True, slots=True)
class Skip(ErrorHandler):
    """Leave failing rows out. See `ErrorHandler.skip`."""

    whole_batch: bool

    def describe(self) -> str:
        return "skip(whole_batch=True)" if self.whole_batch else "skip()"


@dataclass(frozen=True, slots=True)
class DeadLetter(ErrorHandler):
    """Put failing rows aside. See `ErrorHandler.dead_letter`."""

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

    def describe(self) -> str:
        label = getattr(self.sink, "label", type(self.sink).__name__)
        return f"dead_letter({label}{', whole_batch=True' if self.whole_batch else ''})"


@dataclass(frozen=True, slots=True)
class Fail(ErrorHandler):
    """End the run. See `ErrorHandler.fail`."""

    def describe(self) -> str:
        return "fail()"


def check_handlers(handlers: Sequence[object]) -> None:
    """Check that these can act one after the other.

    Raises
    ------
    PlanError
        One is not a handler, comes after one that leaves nothing to do, or logs again what was just logged.
    """
    previous: ErrorHandler | None = None
    for handler in handlers:
        if not isinstance(handler, ErrorHandler):
            raise PlanError(
                "on_error() takes error handlers",
                expected="ErrorHandler.retry(...), .log(), .skip(), .dead_letter(...) or .fail()",
                found=f"{type(handler).__name__} {handler!r}",
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


def _described(handlers: Sequence[object]) -> Iterator[str]:
    for handler in handlers:
        yield handler.describe() if isinstance(handler, ErrorHandler) else repr(handler)
