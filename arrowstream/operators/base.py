"""The kinds of operators: plain expressions, which are fused, and opaque ones, which run alone.

An operator is a frozen value: what the user wrote, checked, with nothing running. `Expressions` are functions of a
frame; neighbours are fused into one segment. An `Operator` starts a process when the pipeline runs, and the process
holds its state. A `Process` never awaits, reads a clock or counts: the runtime owns loops, time and counting, which
makes processes easy to test. An operator that waits for coroutines or threads starts an `AsyncProcess`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Self, TypeVar

import polars as pl
import pyarrow as pa

from arrowstream.config.settings import Settings
from arrowstream.core.batch import Batch, Element, Idle, Watermark
from arrowstream.core.checkpoints.described import Described
from arrowstream.core.notes import ReaderNote
from arrowstream.core.rows.changes import RowsThatChange
from arrowstream.core.rows.grouping import Grouping
from arrowstream.core.step_context import StepContext
from arrowstream.expressions.lineage import Lineage, Names

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


class Expressions(Described, Lineage):
    """Plain Polars expressions over each row: a function of a frame that never looks at other rows."""

    __slots__ = ()

    name: ClassVar[str]

    @abstractmethod
    def apply(self, frame: Frame) -> Frame:
        """Return the eager or lazy `frame` after this step."""

    @abstractmethod
    def expressions(self) -> tuple[pl.Expr, ...]:
        """Return every expression of the step, for the check that none looks at other rows."""

    def pieces(self) -> tuple[Expressions, ...]:
        """Return the steps that run in place of this one, in order; by default the step itself."""
        return (self,)

    def with_expressions(self, exprs: tuple[pl.Expr, ...]) -> Self:
        """Return the same step over other expressions, one for each; as it is if they only choose columns."""
        return self


class Operator(Described, Lineage, RowsThatChange):
    """An opaque step, with state or with a change of batch sizes; it runs as a stage."""

    __slots__ = ()

    name: ClassVar[str]
    repeatable: ClassVar[bool] = False
    """True if a failed batch may be tried again, whole or in parts: a failed `process` leaves state unchanged."""

    passes_rows_on: ClassVar[bool] = False
    """True if the step holds no row and no state between two batches, so that a crash loses nothing of them."""

    fusible: ClassVar[bool] = False
    """True if neighbours of this kind become one stage, by `fused_with`."""

    @property
    def queue_capacity(self) -> int | None:
        """Input queue capacity that this step asks for, in batches; None for the default."""
        return None

    def fused_with(self, following: Operator) -> Operator:
        """Return one operator that does this step and then `following`, which is of the same, fusible kind."""
        raise NotImplementedError(self.name)

    def grouping(self, schema: pl.Schema) -> Grouping | None:
        """Return how rows of `schema` are grouped, if groups made on a device may come in their place; else None."""
        return None

    @property
    def reads_in_place(self) -> tuple[str, ...] | None:
        """The columns that the step reads of rows that it may leave on a device; None if it leaves none there."""
        return None

    def leaving_rows(self) -> Operator:
        """Return the same step where the next one takes its rows from the device; by default the step itself."""
        return self

    @property
    def at_hand(self) -> bool:
        """True if `output_schema` calls no function of the user and connects to nothing: notebooks show it."""
        return True

    def with_settings(self, settings: Settings) -> Operator:
        """Return the same step with a pipeline's settings; by default the step itself."""
        return self

    @abstractmethod
    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        """Return the schema of the output for an input of `schema`; called when the pipeline is built.

        Raises
        ------
        SchemaError
            A column is missing or has a type that the step cannot take.
        PlanError
            The arguments of the step do not fit this schema.
        """

    @abstractmethod
    def start(self, schema: pl.Schema, context: StepContext) -> Process | AsyncProcess:
        """Start a fresh process for batches of `schema`, in the run that `context` belongs to."""


class MultiInputOperator(Described, RowsThatChange):
    """A step with several inputs, such as a join; the inputs are its ports, numbered from 0."""

    __slots__ = ()

    name: ClassVar[str]
    inputs: ClassVar[int] = 2
    """The number of inputs."""

    @abstractmethod
    def output_schema(self, *schemas: pl.Schema) -> pl.Schema:
        """Return the schema of the output for inputs of these schemas, by port.

        Raises
        ------
        SchemaError
            A column is missing or has a type that the step cannot take.
        PlanError
            The arguments of the step do not fit these schemas.
        """

    def late_schema(self, *schemas: pl.Schema) -> pl.Schema:
        """Return the schema of the late rows of all inputs; by default that of the output."""
        return self.output_schema(*schemas)

    def names_after(self, *names: Names | None) -> Names | None:
        """Return the columns of event time that come out, from those of each input; by default those of the first."""
        return names[0]

    @abstractmethod
    def start(self, schemas: Sequence[pl.Schema], context: StepContext) -> MultiInputProcess:
        """Start a fresh process for inputs of these schemas, by port, in the run that `context` belongs to."""


class Process(ABC):
    """An operator while it runs: methods from batches to batches, over the process's own state.

    The runtime makes one call at a time, in the order in which batches and marks arrive, on the event loop's thread
    or, where calls take long, on a worker thread; the thread may change from call to call. The iterable that a call
    returns is consumed before the next call, so it may be a generator that reads and changes state; when a batch
    fails it may be left half-read. `process` runs once for each batch, except where the operator is `repeatable`:
    then the handlers of the step may call it again for the batch or for parts of it.

    An exception ends the run, unless the operator is `repeatable` and the step has error handlers. After an
    exception, a process that is not repeatable gets no more calls except `take_late`. `finish` is called once,
    when all input has ended well; not after a failure or a cancellation.
    """

    __slots__ = ()

    @abstractmethod
    def process(self, batch: Batch) -> Iterable[Element]:
        """Return the output for this batch, which may be without rows."""

    def on_watermark(self, time_us: int) -> Iterable[Element]:
        """Return the output for a watermark, the watermark for the next stage included.

        No row before `time_us` (microseconds since 1970 UTC) is expected any more. A process that holds rows back
        must hold the watermark back, too, until those rows are out; otherwise they are late for the next stage.
        """
        return (Watermark(time_us),)

    def on_idle(self) -> Iterable[Element]:
        """Return the output once the input is idle, the mark for the next stage included.

        Where streams meet, the others go on without an idle input, so this mark must not overtake held rows either.
        """
        return (Idle(),)

    def on_partitions(self, origins: frozenset[str]) -> Iterable[Element]:
        """Return the output once rows can come from these partitions only: a mark for steps before the event time."""
        return ()

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        """Notes for the run's report, read when the process ends."""
        return ()

    def take_late(self) -> Batch | None:
        """Return the late rows since the last call, or None; called after every other call."""
        return None

    @abstractmethod
    def snapshot(self) -> Iterator[pa.RecordBatch]:
        """Yield all state, from which `restore` on a fresh process continues exactly here; empty if stateless.

        The batches are made while they are read, in pieces of bounded size (see `SnapshotFormat`), so that memory
        never holds the state twice. They are read on a worker thread, to the end, before the next call of the
        process; a `SnapshotBatches` until it no longer depends on the state. A snapshot leaves the state unchanged.
        """

    @abstractmethod
    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        """Take over a snapshot; called at most once, before any other call.

        Raises
        ------
        SnapshotError
            Another kind of step, or another version of this one, wrote the snapshot.
        """

    @abstractmethod
    def finish(self) -> Iterable[Element]:
        """Return the output for the rows and state still held when the stream ends."""


class MultiInputProcess(Process):
    """A process that knows which input a batch or a mark comes from.

    Watermarks arrive by port, and the process combines them: it may pass on the least watermark of all ports that are
    neither idle nor ended. The runtime aligns barriers: at a snapshot, every port has delivered all elements before
    the barrier and none after it.
    """

    __slots__ = ()

    @abstractmethod
    def process(self, batch: Batch, port: int = 0) -> Iterable[Element]:
        """Return the output for this batch of input `port`."""

    @abstractmethod
    def on_watermark(self, time_us: int, port: int = 0) -> Iterable[Element]:
        """Return the output once `port` has no row before `time_us` any more, a mark for the next stage included."""

    @abstractmethod
    def on_idle(self, port: int = 0) -> Iterable[Element]:
        """Return the output once input `port` is idle: the others go on without it."""

    def on_end(self, port: int) -> Iterable[Element]:
        """Return the output once `port` has ended while others go on; `finish` follows the end of the last port."""
        return ()


class TimedProcess(Process):
    """A process with a deadline: the runtime sets the time and calls `on_timer` at the deadline.

    Times are readings of the run's monotonic clock in nanoseconds; `set_time` comes before every call of `process`,
    `on_watermark` and `finish`.
    """

    __slots__ = ()

    @abstractmethod
    def set_time(self, now_ns: int) -> None:
        """Set the time to `now_ns`, which is never earlier than in the last call."""

    @property
    @abstractmethod
    def deadline_ns(self) -> int | None:
        """Latest time for the call of `on_timer`, in nanoseconds; None while no row or mark is held."""

    @abstractmethod
    def on_timer(self, now_ns: int) -> Iterable[Element]:
        """Return the output at a deadline that has passed."""

    def on_waiting(self, now_ns: int) -> None:
        """Note that the runtime starts to wait for input; called for each element, and again after each `on_timer`.

        Time before this call was spent downstream and must not count as idleness of the input.
        """
        return

    @property
    def accepts_input(self) -> bool:
        """True if the process takes the next batch; while False, the source waits and only `on_timer` is called."""
        return True


class AsyncProcess(ABC):
    """An operator that waits while it runs: for the user's coroutines, for threads or for worker processes.

    All methods are awaited on the event loop; a list or generator that one returns is consumed before the next mark
    or `finish`. With a `concurrency` of 1 the runtime makes one call at a time. With more, it awaits `process` for
    up to `concurrency` batches at a time, and passes results on in the order of the batches, each mark in its place
    among them. As for a `Process`, the handlers of a `repeatable` step may call `process` again for a failed batch or
    for parts of it. A cancellation may interrupt every call except `close`.
    """

    __slots__ = ()

    concurrency: int = 1
    busy_while_awaited: ClassVar[bool] = False
    """True if work goes on while `process` is awaited, as on worker threads; that time then counts as busy."""

    def check_snapshots(self) -> None:
        """Check, before a run with checkpoints, that `snapshot` gives all that a restart needs.

        Raises
        ------
        PlanError
            Rows that it holds would be lost.
        """
        return

    async def open(self) -> None:
        """Prepare for the first batch; called once."""
        return

    @abstractmethod
    async def process(self, batch: Batch) -> Iterable[Batch]:
        """Return the output for this batch."""

    async def on_watermark(self, time_us: int) -> Iterable[Element]:
        """Return the output for a watermark, the watermark for the next stage included.

        No row before `time_us` (microseconds since 1970 UTC) is expected any more, and every batch before the
        watermark has been processed. A process that holds rows back must hold the watermark back, too.
        """
        return (Watermark(time_us),)

    async def on_idle(self) -> Iterable[Element]:
        """Return the output once the input is idle, the mark included; held rows hold it back, too."""
        return (Idle(),)

    async def on_partitions(self, origins: frozenset[str]) -> Iterable[Element]:
        """Return the output once rows can come from these partitions only; see `Process.on_partitions`."""
        return ()

    async def finish(self) -> Iterable[Batch]:
        """Return the output for the rows still held when the stream ends well; called once."""
        return ()

    async def close(self) -> None:
        """Release resources; the last call, also after a failure or a cancellation, once for each `open` begun."""
        return

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        """Yield all state; as for a `Process`, but on the event loop's thread while no other call runs."""
        return iter(())

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        """Take over a snapshot; called at most once, before `open`."""
        return
