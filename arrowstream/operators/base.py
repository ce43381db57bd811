"""The kinds of operators: plain expressions, which are fused, and opaque ones, which run alone.

An operator is a frozen value: what the user wrote, checked, with nothing running. `Expressions` are
functions of a frame; neighbours are fused into one segment. An `Operator` starts a process when the
pipeline runs, and the process holds its state. A `Process` never awaits, reads a clock or counts: the
runtime owns loops, time and counting, which makes processes easy to test. What waits for coroutines,
threads or other processes is an `AsyncProcess`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Self, TypeVar

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, Element, Idle, Watermark
from arrowstream.core.step_context import StepContext

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


class Expressions(ABC):
    """Plain Polars expressions over each row: a function of a frame that never looks at other rows."""

    __slots__ = ()

    name: ClassVar[str]

    @abstractmethod
    def apply(self, frame: Frame) -> Frame:
        """The step over an eager or a lazy frame."""

    @abstractmethod
    def expressions(self) -> tuple[pl.Expr, ...]:
        """Every expression in it, for the check that none looks at other rows."""

    def pieces(self) -> tuple[Expressions, ...]:
        """The steps that are run in its place, one after the other; itself where nothing else is said."""
        return (self,)

    def with_expressions(self, exprs: tuple[pl.Expr, ...]) -> Self:
        """The same step over other expressions, one for each of `expressions()`.

        A step whose expressions only choose columns is returned as it is.
        """
        return self

    @abstractmethod
    def describe(self) -> str:
        """One stable line for `explain()`, such as ``filter(col("x") > 100)``."""


class Operator(ABC):
    """A step with state or a shape of its own; it becomes a stage."""

    __slots__ = ()

    name: ClassVar[str]
    repeatable: ClassVar[bool] = False
    """Whether a batch that failed may be tried again, whole or in parts: `process` then leaves nothing behind."""

    fusible: ClassVar[bool] = False
    """Whether neighbours of this kind become one stage, because that saves something."""

    @property
    def queue_capacity(self) -> int | None:
        """Input queue capacity that this step asks for, in batches; None for the default."""
        return None

    def fused_with(self, following: Operator) -> Operator:
        """One operator that does this step and then `following`, which is of the same, fusible kind."""
        raise NotImplementedError(self.name)

    @abstractmethod
    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        """The schema of the output for an input of `schema`; raises SchemaError or PlanError."""

    @abstractmethod
    def start(self, schema: pl.Schema, context: StepContext) -> Process | AsyncProcess:
        """A fresh process for batches of `schema`, in the run that `context` belongs to."""

    @abstractmethod
    def describe(self) -> str:
        """One line for `explain()`, such as ``batch(rows=2048)``."""


class MultiInputOperator(ABC):
    """A step with several inputs, such as a join. Its inputs are its ports, numbered from 0."""

    __slots__ = ()

    name: ClassVar[str]
    inputs: ClassVar[int] = 2
    """The number of inputs."""

    @abstractmethod
    def output_schema(self, *schemas: pl.Schema) -> pl.Schema:
        """The schema of the output for inputs of these schemas, by port; raises SchemaError or PlanError."""

    @abstractmethod
    def start(self, schemas: Sequence[pl.Schema], context: StepContext) -> MultiInputProcess:
        """A fresh process for inputs of these schemas, by port, in the run that `context` belongs to."""

    @abstractmethod
    def describe(self) -> str:
        """One line for `explain()`."""


class Process(ABC):
    """An operator while it runs: methods from batches to batches, over the process's own state.

    The runtime makes one call at a time, in the order in which batches and marks come, on the event loop's
    thread or, where calls take long, on a worker thread: never on two at a time, but not always on the same one.
    The iterable that a call returns is consumed before the next call is made, so it may be a generator that reads
    and changes state; of a batch that fails it may be left half-read. `process` runs once a batch, except where the
    operator is `repeatable`: then the handlers of the step may call it again for the batch or for parts of it.

    An exception ends the run, unless the operator is `repeatable` and the step has handlers for errors. After one,
    a process that is not repeatable is not called any more, except for `take_late`. `finish` is called once, when
    all input has ended well; not after a failure or a cancellation.
    """

    __slots__ = ()

    @abstractmethod
    def process(self, batch: Batch) -> Iterable[Element]:
        """The output for this batch, which may have no rows."""

    def on_watermark(self, time_us: int) -> Iterable[Element]:
        """The output once no row before `time_us` is expected any more, the mark for the next stage included.

        A process that holds rows back must hold the mark back, too, until those rows are out: to the
        next stage they would be late.
        """
        return (Watermark(time_us),)

    def on_idle(self) -> Iterable[Element]:
        """The output once no other input need wait for this one, the mark for the next stage included.

        Others then go on without this input, so the mark must not overtake rows that are held back either.
        """
        return (Idle(),)

    def take_late(self) -> Batch | None:
        """The rows that came too late to be counted since the last call; asked for after every other call."""
        return None

    @abstractmethod
    def snapshot(self) -> Iterator[pa.RecordBatch]:
        """All state, from which `restore` on a fresh process continues exactly here; empty if there is none.

        The batches are made while they are read, in pieces of bounded size (see `SnapshotFormat`), so that state is
        not held twice. They are read on a worker thread, to the end, before the next call of the process. State is
        not changed by it.
        """

    @abstractmethod
    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        """Take over a snapshot; called at most once, before any other call.

        Raises
        ------
        SnapshotError
            Another kind of step wrote it, or another version of this one.
        """

    @abstractmethod
    def finish(self) -> Iterable[Element]:
        """The output for what is still held when the stream ends."""


class MultiInputProcess(Process):
    """A process that knows which input a batch or a mark comes from.

    Watermarks come by port, and what they mean together is for the process to say: the next stage may be given the
    least of all ports that are neither idle nor ended. Barriers are aligned by the runtime: at a snapshot, all
    ports have delivered what was before the barrier and nothing of what comes after it.
    """

    __slots__ = ()

    @abstractmethod
    def process(self, batch: Batch, port: int = 0) -> Iterable[Element]:
        """The output for this batch of input `port`."""

    @abstractmethod
    def on_watermark(self, time_us: int, port: int = 0) -> Iterable[Element]:
        """The output once input `port` has no row before `time_us` any more, a mark for the next stage included."""

    @abstractmethod
    def on_idle(self, port: int = 0) -> Iterable[Element]:
        """The output once input `port` is silent: the others go on without it."""

    def on_end(self, port: int) -> Iterable[Element]:
        """The output once input `port` has ended, while others go on; `finish` follows the end of the last one."""
        return ()


class TimedProcess(Process):
    """A process for which time matters: the runtime sets the time and calls it at its deadline.

    Times are readings of the run's monotonic clock in nanoseconds; `set_time` comes before every call
    of `process`, `on_watermark` and `finish`.
    """

    __slots__ = ()

    @abstractmethod
    def set_time(self, now_ns: int) -> None:
        """The time is `now_ns`; never earlier than in the last call."""

    @property
    @abstractmethod
    def deadline_ns(self) -> int | None:
        """When `on_timer` should be called at the latest; None while nothing is waiting."""

    @abstractmethod
    def on_timer(self, now_ns: int) -> Iterable[Element]:
        """The output at a deadline that has passed."""

    def on_waiting(self, now_ns: int) -> None:
        """The runtime starts to wait for input; called once for each element.

        Time before this call was spent downstream and must not count as silence of the input.
        """
        return

    @property
    def accepts_input(self) -> bool:
        """Whether the next batch may come; while it may not, the source waits and only `on_timer` is called."""
        return True


class AsyncProcess(ABC):
    """An operator that waits for something: the user's own coroutines, threads, or workers elsewhere.

    All methods are awaited on the event loop; a list or generator that one returns is consumed before the next mark
    or `finish`. With a `concurrency` of 1 the runtime makes one call at a time. With more, it awaits `process` for
    up to `concurrency` batches at a time, and passes results on in the order of the batches, each mark in its place
    among them. As in a `Process`, a failed `process` may be called again for the batch or for parts of it where the
    operator is `repeatable` and has handlers. A cancellation may interrupt every call but `close`.
    """

    __slots__ = ()

    concurrency: int = 1
    busy_while_awaited: ClassVar[bool] = False
    """Whether work goes on while `process` is awaited, as on worker threads: it then counts as busy."""

    async def open(self) -> None:
        """Called once, before the first batch."""
        return

    @abstractmethod
    async def process(self, batch: Batch) -> Iterable[Batch]:
        """The output for this batch."""

    async def on_watermark(self, time_us: int) -> Iterable[Element]:
        """The output once no row before `time_us` is expected any more, the mark for the next stage included.

        A process that holds rows back must hold the mark back, too, until those rows are out. Every batch that came
        before the mark has been processed.
        """
        return (Watermark(time_us),)

    async def on_idle(self) -> Iterable[Element]:
        """The output once no other input need wait for this one, the mark included; as for `on_watermark`."""
        return (Idle(),)

    async def finish(self) -> Iterable[Batch]:
        """The output for what is still held when the stream ends well; called once."""
        return ()

    async def close(self) -> None:
        """After the last call, also after a failure or a cancellation; once for each `open` that was begun."""
        return

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        """All state; as for a `Process`, but made on the event loop's thread while no other call runs."""
        return iter(())

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        """Take over a snapshot; called at most once, before `open`."""
        return
