"""The contract of sources: a spec that describes, a reader that runs.

A spec is an immutable description; nothing is opened or read before `open`. The blocking kind of reader is plain
synchronous code and runs on a worker thread; the other is awaited on the loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import polars as pl

from arrowstream.core.batch import Element
from arrowstream.core.duration import Duration, microseconds, nanoseconds
from arrowstream.core.notes import ReaderNote
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.errors import SourceError

Query = Callable[[pl.LazyFrame], pl.LazyFrame]
"""A row-wise piece of the pipeline as a function of a lazy frame."""


class SourceSpec(ABC):
    """Where batches come from."""

    @property
    @abstractmethod
    def label(self) -> str:
        """One line for `explain()` and errors, such as ``file bids/*.parquet (parquet, 3 files)``."""

    @abstractmethod
    def schema(self) -> pl.Schema | None:
        """The schema of the batches, or None if only the first batch will tell.

        Raises
        ------
        SourceError, SchemaError
            The source can be looked at and does not exist or has no single schema.
        """

    @property
    def constant_columns(self) -> frozenset[str]:
        """Names of the columns that a read gives as one value for many rows, such as those of Hive folders."""
        return frozenset()

    @property
    def pushdown(self) -> Literal["none", "columns", "query"]:
        """What of the pipeline's start the source can do while reading: nothing, a choice of columns, or all."""
        return "none"

    @property
    def marks_time(self) -> bool:
        """Whether watermarks come from the source itself, and not only from `with_event_time`."""
        return False

    @property
    def resumable(self) -> bool:
        """Whether its readers know their position, and `open` continues after one."""
        return False

    @abstractmethod
    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader | BlockingReader:
        """Start reading. The runtime calls `open_source`, which checks `resume` first.

        Parameters
        ----------
        context
            The run's clock, memory, log and threads, and the name of this source in it.
        query
            What the planner pushed into the read; never given when `pushdown` is ``"none"``, and only
            a choice of columns when it is ``"columns"``. The batches then have the query's schema.
        resume
            The position that a reader of the same source and query gave: the first element is the one after it.
            Never given unless the source is `resumable`.
        """

    def on_never_opened(self, failure: BaseException | None) -> None:
        """Called at the end of a run that never opened this source: let go those who would wait for it.

        Parameters
        ----------
        failure
            What ended the run; None if it ended well.
        """
        return

    def explain_read(self, query: Query) -> tuple[str, ...]:
        """Lines for `explain()`: which columns and filters the read takes over from the pipeline."""
        return ()

    def with_event_time(
        self, column: str, lateness: Duration = 0.0, idle: Duration | None = None
    ) -> EventTimeSource:
        """This source with watermarks: after each batch, the latest time seen so far less `lateness`.

        Parameters
        ----------
        column
            The event time: a Datetime, a Date, or whole microseconds since 1970 (UTC).
        lateness
            How much later than others of its time a row may come (``"5s"``, seconds, a timedelta).
        idle
            Time without a row after which other streams no longer wait for this one where streams meet; by default
            they always do. Batches without rows, such as those of a function that polls, end no silence.

        Raises
        ------
        PlanError
            A duration is none.
        """
        idle_ns = None if idle is None else nanoseconds(idle)
        return EventTimeSource(self, column, microseconds(lateness), idle_ns)


@dataclass(frozen=True, slots=True)
class EventTimeSource:
    """A source whose rows carry the event time; the graph takes it apart into the source and a step.

    Parameters
    ----------
    source
        Where the rows come from.
    column
        The event time.
    lateness_us
        How much later than others of its time a row may come, in microseconds.
    idle_ns
        Silence after which the source counts as idle, in nanoseconds; None for never.
    """

    source: SourceSpec
    column: str
    lateness_us: int
    idle_ns: int | None


def open_source(
    source: SourceSpec, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
) -> Reader | BlockingReader:
    """Open a source, after `resume` if it is given.

    Raises
    ------
    SourceError
        A position to continue after is given for a source that is not `resumable`, or it cannot be opened.
    """
    if resume is not None and not source.resumable:
        raise SourceError(
            f"{source.label} cannot continue where an earlier run ended",
            expected="a source that knows its position",
            found=f"the position {dict(resume)}",
            hint="read from files or a list of frames, or run without the snapshots of the earlier run",
        )
    return source.open(context, query, resume)


class Reader(ABC):
    """A running source on the event loop."""

    def position(self) -> SourcePosition | None:
        """Where the reader is between two calls of `read`: what `open(resume=...)` needs to continue exactly here.

        None if it cannot be continued.
        """
        return None

    @abstractmethod
    async def read(self) -> Element | None:
        """The next element, or None at the end of the stream."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of everything; called once, at the end or after a failure."""

    def on_failure(self, failure: BaseException) -> None:
        """Called before `close` if `failure` ended the run: whoever waits at the other end may be given the cause."""
        return

    @property
    def total_rows(self) -> int | None:
        """Rows it will read in all, where it can tell, for the progress bar."""
        return None

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        """What happened to rows so far that the report of a run should say."""
        return ()


class BlockingReader(ABC):
    """A running source that blocks; the runtime calls it on a worker thread, one call at a time."""

    def position(self) -> SourcePosition | None:
        """Where the reader is; see `Reader.position`. Called on the event loop's thread, between two reads."""
        return None

    @abstractmethod
    def read(self) -> Element | None:
        """The next batch or mark, or None at the end of the stream."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything; called once, at the end or after a failure."""

    @property
    def total_rows(self) -> int | None:
        """Rows it will look at in all, where it can tell, for the progress bar."""
        return None

    @property
    def rows_read(self) -> int | None:
        """Rows looked at so far, where that differs from the rows handed out (a filter in the read); else None."""
        return None

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        """What happened to rows so far that the report of a run should say; asked for on any thread."""
        return ()
