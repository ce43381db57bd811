"""The contract of connectors: specs that describe, readers and writers that run.

A spec is an immutable description; nothing is opened, read or created before `open`. The blocking
kinds are plain synchronous code and run on a worker thread; the others are awaited on the loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import polars as pl

from arrowstream.batch import Batch, Element
from arrowstream.duration import Duration, microseconds, nanoseconds
from arrowstream.errors import PlanError
from arrowstream.policy import ErrorHandler, check_handlers
from arrowstream.whole_number import check_whole

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
    def pushdown(self) -> Literal["none", "columns", "query"]:
        """What of the pipeline's start the source can do while reading: nothing, a choice of columns, or all."""
        return "none"

    @abstractmethod
    def open(self, query: Query | None = None) -> Reader | BlockingReader:
        """Start reading.

        Parameters
        ----------
        query
            What the planner pushed into the read; never given when `pushdown` is ``"none"``, and only
            a choice of columns when it is ``"columns"``. The batches then have the query's schema.
        """

    def left_out(self) -> None:
        """A run that has this source is over and never opened it: let go those who would wait for it."""
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
            Silence after which nobody waits for this source where streams meet; by default they always do.

        Raises
        ------
        PlanError
            A duration is none.
        """
        idle_ns = None if idle is None else nanoseconds(idle)
        return EventTimeSource(self, column, microseconds(lateness), idle_ns)


@dataclass(frozen=True, slots=True)
class EventTimeSource(SourceSpec):
    """A source whose rows tell the time; the planner takes it apart into `source` and a step that marks.

    Parameters
    ----------
    source
        Where the rows come from.
    column
        The event time.
    lateness_us, idle_ns
        Microseconds that rows may be late, nanoseconds of silence after which it is not waited for.
    """

    source: SourceSpec
    column: str
    lateness_us: int
    idle_ns: int | None

    @property
    def label(self) -> str:
        return self.source.label

    def schema(self) -> pl.Schema | None:
        return self.source.schema()

    def open(self, query: Query | None = None) -> Reader | BlockingReader:
        return self.source.open(query)


class Reader(ABC):
    """A running source on the event loop."""

    @abstractmethod
    async def read(self) -> Element | None:
        """The next element, or None at the end of the stream."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of everything; called once, at the end or after a failure."""

    @property
    def total_rows(self) -> int | None:
        """Rows it will read in all, where it can tell, for the progress bar."""
        return None


class BlockingReader(ABC):
    """A running source that blocks; the runtime calls it on a worker thread, one call at a time."""

    @abstractmethod
    def read(self) -> Batch | None:
        """The next batch, or None at the end of the stream."""

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


class SinkSpec(ABC):
    """Where batches go."""

    @property
    @abstractmethod
    def label(self) -> str:
        """One line for `explain()` and errors, such as ``file out.parquet (parquet)``."""

    @property
    @abstractmethod
    def guarantee(self) -> str:
        """What a reader of the sink can rely on, in one line for `explain()`."""

    @property
    def needs_schema(self) -> bool:
        """Whether a stream without any batch leaves something here, for which its columns must be known.

        A file does: writing none would leave an older one in place, as if it were the result.
        """
        return False

    @property
    def takes_arrow(self) -> bool:
        """Whether every batch is taken as a RecordBatch, so that one in Polars' form costs a conversion."""
        return False

    @abstractmethod
    def check(self, schema: pl.Schema) -> None:
        """Raise SchemaError or PlanError if batches of this schema cannot be written."""

    @property
    def place(self) -> str | None:
        """What two sinks of one run must not both write, such as the path of a file; None if any number may."""
        return None

    @property
    def parts(self) -> tuple[SinkSpec, ...]:
        """The sinks that this one stands for, each of which gets every batch; none for a plain sink."""
        return ()

    @property
    def handlers(self) -> tuple[ErrorHandler, ...]:
        """What to do when it fails, where that was said of this sink itself."""
        return ()

    @property
    def spare(self) -> int | None:
        """Batches that may wait for a sink which never holds others back, before some are dropped; else None."""
        return None

    def best_effort(self, buffer: int = 64) -> SinkPart:
        """This sink as part of a fan-out that never waits for it.

        Parameters
        ----------
        buffer
            Batches that may wait; what comes while so many do is dropped here, and counted. Nor does its
            failure end the run: it gets nothing more, and the failure is logged.
        """
        return SinkPart(self, buffer)

    def on_error(self, handler: ErrorHandler) -> SinkPart:
        """This sink as part of a fan-out that has handlers of its own; after several calls, in their order.

        Parameters
        ----------
        handler
            What to do when it fails, such as ``ErrorHandler.retry(3)``. It stands in place of the handlers
            that the whole fan-out has.

        Raises
        ------
        PlanError
            It is no handler, or comes after one that leaves nothing to do.
        """
        return SinkPart(self, handlers=(handler,))

    @abstractmethod
    def open(self, schema: pl.Schema) -> Writer | BlockingWriter:
        """Start writing batches of this schema."""

    def left_out(self, failure: BaseException | None) -> None:
        """The run ended before `open`, by `failure` or (None) because no batch told a schema.

        Only a sink at whose other end somebody waits needs to do anything.
        """
        return


@dataclass(frozen=True, slots=True)
class SinkPart(SinkSpec):
    """A sink, and what is said of it alone; see `SinkSpec.best_effort` and `SinkSpec.on_error`."""

    sink: SinkSpec
    buffer: int | None = None
    handlers: tuple[ErrorHandler, ...] = ()

    def __post_init__(self) -> None:
        if self.sink.parts:
            raise PlanError(
                "on_error() and best_effort() are said of one sink",
                expected="each sink of the fan-out with its own, or .on_error(...) after .sink(...) for all",
                found=self.sink.label,
            )
        if self.buffer is not None:
            check_whole("best_effort(buffer=...)", self.buffer)
        check_handlers(self.handlers)

    @property
    def label(self) -> str:
        return f"{self.sink.label}{', best effort' if self.buffer else ''}"

    @property
    def guarantee(self) -> str:
        if self.buffer is None:
            return self.sink.guarantee
        return f"best effort: misses batches when more than {self.buffer} wait"

    @property
    def needs_schema(self) -> bool:
        return self.sink.needs_schema

    @property
    def takes_arrow(self) -> bool:
        return self.sink.takes_arrow

    @property
    def place(self) -> str | None:
        return self.sink.place

    @property
    def spare(self) -> int | None:
        return self.buffer

    def best_effort(self, buffer: int = 64) -> SinkPart:
        return replace(self, buffer=buffer)

    def on_error(self, handler: ErrorHandler) -> SinkPart:
        return replace(self, handlers=(*self.handlers, handler))

    def check(self, schema: pl.Schema) -> None:
        self.sink.check(schema)

    def open(self, schema: pl.Schema) -> Writer | BlockingWriter:
        return self.sink.open(schema)

    def left_out(self, failure: BaseException | None) -> None:
        self.sink.left_out(failure)


class Writer(ABC):
    """A running sink on the event loop."""

    @abstractmethod
    async def write(self, batch: Batch) -> None:
        """Take one batch; waiting here is what slows the source down."""

    @abstractmethod
    async def finish(self) -> None:
        """The stream ended well: make everything visible and durable."""

    @abstractmethod
    async def abort(self) -> None:
        """The run failed: leave nothing half-written visible. Must be safe after any failure, also of `finish`."""


class BlockingWriter(ABC):
    """A running sink that blocks; the runtime calls it on a worker thread, one call at a time."""

    @abstractmethod
    def write(self, batch: Batch) -> None:
        """Take one batch."""

    @abstractmethod
    def finish(self) -> None:
        """The stream ended well: make everything visible and durable."""

    @abstractmethod
    def abort(self) -> None:
        """The run failed: leave nothing half-written visible. Must be safe after any failure, also of `finish`."""
