"""The two kinds of operators: plain expressions, which are fused, and opaque ones, which run alone.

An operator is a frozen value: what the user wrote, checked, with nothing running. `Expressions` are
functions of a frame and melt with their neighbours into one segment. An `Operator` makes a `Process`
when the pipeline runs, and that holds its state. Neither ever awaits, reads a clock or counts: the
runtime owns loops, time and counting, which is what makes both easy to test.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, TypeVar

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

    @abstractmethod
    def describe(self) -> str:
        """One stable line for `explain()`, such as ``filter(col("x") > 100)``."""


class Operator(ABC):
    """A step with state or a shape of its own; it becomes a stage."""

    __slots__ = ()

    name: ClassVar[str]
    repeatable: ClassVar[bool] = False
    """Whether a batch that failed may be tried again, whole or in parts: `process` then leaves nothing behind."""

    @property
    def room(self) -> int | None:
        """Batches that may wait before this step, where it is for that; else None: few, to keep memory small."""
        return None

    melts: ClassVar[bool] = False
    """Whether neighbours of this kind become one stage, because that saves something."""

    def melted(self, after: Operator) -> Operator:
        """One operator that does this, then `after`, which is of the same kind; for those that melt."""
        raise NotImplementedError(self.name)

    @abstractmethod
    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        """The schema that comes out for one that goes in; raises SchemaError or PlanError."""

    @abstractmethod
    def start(self, schema: pl.Schema, context: StepContext) -> Process | AsyncProcess:
        """A fresh running form for batches of `schema`, in the run that `context` is of."""

    @abstractmethod
    def describe(self) -> str:
        """One line for `explain()`, such as ``batch(rows=2048)``."""


class Process(ABC):
    """An operator while it runs: pure methods from batches to batches, over its own state."""

    __slots__ = ()

    @abstractmethod
    def process(self, batch: Batch) -> Iterable[Element]:
        """What comes out for this batch."""

    def on_watermark(self, time_us: int) -> Iterable[Element]:
        """What comes out once no row before `time_us` is expected any more, the mark for the next stage included.

        A process that holds rows back must hold the mark back, too, until those rows are out: to the
        next stage they would be late.
        """
        return (Watermark(time_us),)

    def on_idle(self) -> Iterable[Element]:
        """What comes out once nobody need wait for this input, the mark for the next stage included.

        Others then go on without this input, so the mark must not overtake rows that are held back either.
        """
        return (Idle(),)

    def take_late(self) -> Batch | None:
        """The rows that came too late to be counted since this was last asked."""
        return None

    @abstractmethod
    def snapshot(self) -> pa.Table:
        """All state, as Arrow; `restore` of it on a fresh process continues exactly here."""

    @abstractmethod
    def restore(self, state: pa.Table) -> None:
        """Take over a snapshot."""

    @abstractmethod
    def finish(self) -> Iterable[Element]:
        """What is still held when the stream ends."""


class TimedProcess(Process):
    """A process for which time matters; the runtime tells it the time and wakes it, it never looks itself.

    Times are readings of the run's monotonic clock in nanoseconds; `set_time` comes before every call
    of `process`, `on_watermark` and `finish`.
    """

    __slots__ = ()

    @abstractmethod
    def set_time(self, now_ns: int) -> None:
        """It is `now_ns`; never earlier than the last one."""

    @property
    @abstractmethod
    def deadline_ns(self) -> int | None:
        """When `on_time` should be called at the latest; None while nothing is waiting."""

    @abstractmethod
    def on_time(self, now_ns: int) -> Iterable[Element]:
        """What comes out now that a deadline has passed."""

    def waits(self, now_ns: int) -> None:
        """From `now_ns` on the next element is waited for; said once for each.

        What passes between an element and this is no silence of the input: the stages behind took it.
        """
        return

    @property
    def wants_input(self) -> bool:
        """Whether the next batch may come; where not, the source is slowed down until `on_time` has made room."""
        return True


class AsyncProcess(ABC):
    """An operator that waits for something: the user's own coroutines, or workers elsewhere.

    It runs on the event loop. With a `concurrency` above 1 the runtime calls `process` for so many
    batches at a time and passes the results on in the order of the batches.
    """

    __slots__ = ()

    concurrency: int = 1

    async def open(self) -> None:
        """Before the first batch."""
        return

    @abstractmethod
    async def process(self, batch: Batch) -> Iterable[Batch]:
        """What comes out for this batch."""

    async def finish(self) -> Iterable[Batch]:
        """What is still held when the stream ends well."""
        return ()

    async def close(self) -> None:
        """After the last call, also after a failure or a cancellation; once for each `open` that was begun."""
        return

    def snapshot(self) -> pa.Table:
        """All state, as Arrow; `restore` of it on a fresh process continues exactly here."""
        return pa.table({})

    def restore(self, state: pa.Table) -> None:
        """Take over a snapshot."""
        return
