"""Contract of sources: a spec describes, a reader runs.

A spec is an immutable description; it opens and reads nothing before `open`. A `BlockingReader` is synchronous code
and runs on a worker thread; a `Reader` is awaited on the event loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

import polars as pl

from arrowstream.core.batch import Element
from arrowstream.core.duration import Duration
from arrowstream.core.event_time import EventTime
from arrowstream.core.messages import VALUE, Decoder
from arrowstream.core.mistakes.explain import explain_call, explain_names
from arrowstream.core.mistakes.other_names import SOURCE
from arrowstream.core.notes import ReaderNote
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.io.sink import SinkSpec
from arrowstream.metrics.backlog import Backlog
from arrowstream.shown import Shown

BAD_ROWS: Final = pl.Schema(
    {"file": pl.String(), "row": pl.Int64(), "line": pl.Int64(), "error": pl.String(), "text": pl.String()}
)
"""Columns of rows that cannot be read; `row`, and `line`, which is the first line of the row, are counted from 1."""

Query = Callable[[pl.LazyFrame], pl.LazyFrame]
"""Row-wise part of the pipeline, as a function of a lazy frame."""


class SourceSpec(Shown, ABC):
    """Immutable description of a source of batches."""

    _shown_by: ClassVar[str] = "ends.source"

    @property
    @abstractmethod
    def label(self) -> str:
        """One line for `explain()` and errors, such as ``file bids/*.parquet (parquet, 3 files)``."""

    @property
    def identity(self) -> str:
        """The label without what may differ between two runs, by which a checkpoint knows the source."""
        return self.label

    @property
    def identity_in_full(self) -> str:
        """The identity with absolute paths, by which the source is known if they are written in another way."""
        return self.identity

    @property
    def brief(self) -> str:
        """The label without what only a look at the source shows, such as the number of files."""
        return self.label

    @property
    def at_hand(self) -> bool:
        """True if `label` and `schema` connect to nothing and take no row from a run: notebooks show them."""
        return True

    @abstractmethod
    def schema(self) -> pl.Schema | None:
        """Return the schema of the batches, or None if only the first batch shows it.

        With a `decoder` it is `message_schema`, or None if the decoder learns its own from the first messages.

        Raises
        ------
        SourceError, SchemaError
            The source can be inspected, and it does not exist or has no single schema.
        """

    @property
    def decoder(self) -> Decoder | None:
        """How the messages in the column ``value`` become rows in a step after the source; None for rows as they are.

        The batches of a source with a decoder have the columns of `message_schema`.
        """
        return None

    @property
    def message_schema(self) -> pl.Schema:
        """The columns of batches of messages: ``value`` (Binary), and what else comes with each message."""
        return pl.Schema({VALUE: pl.Binary()})

    @property
    def partitioned(self) -> bool:
        """True if its readers send `Partitions`, and the event time is the least of the partitions."""
        return False

    @property
    def constant_columns(self) -> frozenset[str]:
        """Names of the columns that a read gives as one value for many rows, such as partition columns."""
        return frozenset()

    @property
    def pushdown(self) -> Literal["none", "columns", "query"]:
        """Part of the pipeline's first segment that the read can take over: nothing, a choice of columns, or all."""
        return "none"

    @property
    def bad_rows_sink(self) -> SinkSpec | None:
        """The sink of rows that cannot be read, with the columns `BAD_ROWS`; None if they go nowhere."""
        return None

    def with_bad_rows_sink(self, sink: SinkSpec) -> SourceSpec:
        """Return the same source with another sink for the rows that cannot be read, if it has one."""
        return self

    @property
    def marks_time(self) -> bool:
        """True if the source itself sends watermarks, without `with_event_time`."""
        return False

    @property
    def acknowledged(self) -> bool:
        """True if its readers want to know which rows the sinks have, by `Reader.acknowledge`."""
        return False

    @property
    def endless(self) -> bool:
        """True if it waits for new rows and does not end by itself."""
        return False

    @property
    def read_once(self) -> bool:
        """True if its rows come once only: of two that read it at the same time, each gets some of them."""
        return False

    @property
    def resumable(self) -> bool:
        """True if its readers know their position, and `open` can continue from it."""
        return False

    def with_checkpoints(self) -> SourceSpec:
        """Return this source as a run with checkpoints uses it, which may read in another way."""
        return self

    @abstractmethod
    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader | BlockingReader:
        """Start reading. The runtime calls `open_source`, which checks `resume` first.

        Parameters
        ----------
        context
            Clock, memory, log and threads of the run, and the name of this source in it.
        query
            Part of the pipeline pushed into the read: None if `pushdown` is ``"none"``, only a choice of columns
            if it is ``"columns"``. With a query, the batches have the query's schema.
        resume
            Position given by a reader of the same source and query; reading starts with the element after it.
            Always None if the source is not `resumable`.

        Returns
        -------
        Reader or BlockingReader
            A new reader; the runtime closes it.

        Raises
        ------
        SourceError, SchemaError
            The source cannot be read. The run fails.
        """

    def on_never_opened(self, failure: BaseException | None) -> None:
        """Release whoever waits for this source, as the run has ended, by `failure` or well, and never opened it."""
        return

    def explain_read(self, query: Query) -> tuple[str, ...]:
        """Return lines for `explain()`: the columns and filters that the read takes over from the pipeline."""
        return ()

    @explain_call
    def with_event_time(
        self,
        column: str,
        lateness: Duration = 0.0,
        idle: Duration | None = None,
        *,
        advance_when_idle: bool = False,
        max_jump: Duration | None = None,
    ) -> EventTimeSource:
        """Return this source with a watermark after each batch: the latest event time so far minus `lateness`.

        Parameters
        ----------
        column
            Name of the event-time column: Datetime, Date, or integer microseconds since 1970 (UTC).
        lateness
            How much later than other rows of its time a row may arrive (``"5s"``, a number of seconds, a timedelta).
        idle
            Time without a row after which merged streams no longer wait for this one; None to wait always.
            A batch without rows does not end the silence.
        advance_when_idle
            Whether event time advances with the clock while no row comes, so that windows close: each `idle` of
            silence adds `idle`. By default windows stay open until the next row, or the end.
        max_jump
            The most by which one row may move event time, such as ``"1h"``; None for no limit. A row further ahead
            stays a row, but moves no watermark; the report counts such rows and names the first.

        Returns
        -------
        EventTimeSource
            The source with event time, for ``.source(...)``.

        Raises
        ------
        PlanError
            `lateness`, `idle` or `max_jump` is not a duration, or `advance_when_idle` comes without `idle`.

        Notes
        -----
        The files of a list or folder are read one after the other, by name. If a later file has earlier times, as in
        Hive partitions by another column, its rows are late: give a `lateness` that covers a whole file, read the
        files as sources of their own and merge these, or leave event time out, so that windows close at the end.
        """
        time = EventTime.of(column, lateness, idle, advance_when_idle=advance_when_idle, max_jump=max_jump)
        return EventTimeSource(self, time)


@explain_names("a source", SOURCE)
@dataclass(frozen=True, slots=True)
class EventTimeSource(Shown):
    """Source whose rows carry the event time; the graph splits it into the source and a step.

    Parameters
    ----------
    source, time
        Source of the rows, and their event time.
    """

    _shown_by: ClassVar[str] = "ends.source"
    source: SourceSpec
    time: EventTime


class Reader(Backlog, ABC):
    """Running source on the event loop. All calls come from the loop's thread, one at a time."""

    def position(self) -> SourcePosition | None:
        """Return the position between two calls of `read`, from which `open(resume=...)` continues exactly.

        None if the source cannot be continued, or does not know yet where it begins.
        """
        return None

    @abstractmethod
    async def read(self) -> Element | None:
        """Return the next batch or mark, or None at the end of the stream. Raising ends the run."""

    async def acknowledge(self, position: SourcePosition) -> bool:
        """Take note, also while a read waits, that every sink has the rows before `position`: a restart needs none.

        Parameters
        ----------
        position
            A position that this reader gave.

        Returns
        -------
        bool
            False to be asked again, as while a Kafka group rebalances.

        Raises
        ------
        SourceError
            Whoever keeps the position does not take it. Logged and tried again while the run goes on; fails its end.
        """
        return True

    def begin_read(self) -> Element | Awaitable[Element | None] | None:
        """Return the result of `read` if it is at hand, else an awaitable of it.

        The runtime calls this method in place of `read`. A reader that often has its next batch in memory saves the
        cost of a coroutine by overriding it.
        """
        return self.read()

    @abstractmethod
    async def close(self) -> None:
        """Release all resources; called once, at the end or after a failure."""

    def on_failure(self, failure: BaseException) -> None:
        """Pass `failure`, which ended the run, to whoever waits at the other end; called before `close`."""
        return

    @property
    def total_rows(self) -> int | None:
        """Number of rows in the whole source, for the progress bar; None if unknown."""
        return None

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        """Events concerning rows read so far that the run's report shows."""
        return ()


class BlockingReader(Backlog, ABC):
    """Running source that blocks; the runtime calls it on a worker thread, one call at a time."""

    empty_is_progress: ClassVar[bool] = False
    """True if a batch without rows only reports progress: the runtime drops it, and can stop before it reads on."""

    def position(self) -> SourcePosition | None:
        """Return the position between two reads; see `Reader.position`. Called on the event loop's thread."""
        return None

    @abstractmethod
    def read(self) -> Element | None:
        """Return the next batch or mark, or None at the end of the stream. Raising ends the run."""

    @abstractmethod
    def close(self) -> None:
        """Release all resources; called once, at the end or after a failure."""

    def take_bad_rows(self) -> pl.DataFrame | None:
        """Return the rows that could not be read, since the last call, in the columns `BAD_ROWS`; None without any.

        Called on the event loop's thread between two reads.
        """
        return None

    @property
    def total_rows(self) -> int | None:
        """Number of rows in the whole source before any filter, for the progress bar; None if unknown."""
        return None

    @property
    def rows_read(self) -> int | None:
        """Number of rows examined so far, where a filter in the read returns fewer; else None."""
        return None

    @property
    def waited_ns(self) -> int:
        """Nanoseconds for which reads have waited for something outside so far, which is not work of the source."""
        return 0

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        """Events concerning rows read so far that the run's report shows; read on any thread."""
        return ()
