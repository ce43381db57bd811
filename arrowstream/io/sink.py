"""The contract of sinks: a spec that describes, a writer that runs.

A spec is an immutable description; nothing is opened or created before `open`. The blocking kind of writer is plain
synchronous code and runs on a worker thread; the other is awaited on the loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.checks import check_whole
from arrowstream.core.json_value import JsonValue
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError
from arrowstream.policies.handlers import ErrorHandler, check_handlers

Handle = Mapping[str, JsonValue]
"""A prepared epoch of a sink, as JSON: what `commit` needs to make it visible."""


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

    def best_effort(self, buffer: int = 64) -> BoundSink:
        """This sink for a fan-out or a branch that never waits for it.

        Parameters
        ----------
        buffer
            Queue capacity in batches. While the queue is full, batches are dropped for this sink, and counted. A
            failure of the sink does not end the run: it is logged, and the sink gets nothing more.
        """
        return BoundSink(self).best_effort(buffer)

    def on_error(self, handler: ErrorHandler) -> BoundSink:
        """This sink with an error handler of its own; after several calls, in their order.

        Parameters
        ----------
        handler
            What to do when it fails, such as ``ErrorHandler.retry(3)``. In a fan-out its own handlers replace those
            of the whole fan-out.

        Raises
        ------
        PlanError
            It is no handler, or comes after one that leaves nothing to do.
        """
        return BoundSink(self).on_error(handler)

    @abstractmethod
    def open(self, schema: pl.Schema, context: StepContext) -> Writer | BlockingWriter:
        """Start writing.

        Parameters
        ----------
        schema
            The schema of the batches.
        context
            The run's clock, memory, log and threads, and the name of this sink in it.
        """

    def on_never_opened(self, failure: BaseException | None) -> None:
        """Called at the end of a run that never opened this sink: let go those who would wait for it.

        Parameters
        ----------
        failure
            What ended the run; None if the stream ended before its first batch, which would have shown the schema.
        """
        return


@dataclass(frozen=True, slots=True)
class BoundSink:
    """A sink with what the user said about it alone.

    Parameters
    ----------
    sink
        Where batches go.
    handlers
        What to do when it fails, in order.
    best_effort_capacity
        Queue capacity, in batches, of a sink that misses batches while its queue is full; None if it applies
        backpressure.
    """

    sink: SinkSpec
    handlers: tuple[ErrorHandler, ...] = ()
    best_effort_capacity: int | None = None

    def best_effort(self, buffer: int = 64) -> BoundSink:
        """The same sink, which nothing waits for; see `SinkSpec.best_effort`."""
        check_whole("best_effort(buffer=...)", buffer)
        return replace(self, best_effort_capacity=buffer)

    def on_error(self, handler: ErrorHandler) -> BoundSink:
        """The same sink with one more error handler; see `SinkSpec.on_error`."""
        handlers = (*self.handlers, handler)
        check_handlers(handlers)
        return replace(self, handlers=handlers)


@dataclass(frozen=True, slots=True)
class Fanout:
    """Several sinks, each of which gets every batch.

    Parameters
    ----------
    sinks
        At least one.
    """

    sinks: tuple[BoundSink, ...]

    @classmethod
    def of(cls, sinks: Iterable[SinkSpec | BoundSink | Fanout], more: Sequence[object] = ()) -> Fanout:
        """The fan-out to these sinks; the sinks of a fan-out among them count as its own.

        Parameters
        ----------
        sinks
            A list of sinks.
        more
            Further arguments of the call, which belong into the list.

        Raises
        ------
        PlanError
            The list is empty, or holds something else than sinks.
        """
        flat: list[BoundSink] = []
        if more or not isinstance(sinks, Iterable):
            raise _no_list(", ".join(type(sink).__name__ for sink in (sinks, *more)))
        for sink in sinks:
            if not isinstance(sink, SinkSpec | BoundSink | Fanout):
                raise _no_list(f"a list with {type(sink).__name__} in it")
            flat += bound(sink)
        if not flat:
            raise PlanError("fanout has no sink", expected="at least one")
        return cls(tuple(flat))

    if not TYPE_CHECKING:  # a type checker finds the mistake itself

        def __getattr__(self, name: str) -> Any:
            if name not in ("on_error", "best_effort"):
                raise AttributeError(name)
            raise PlanError(
                f"{name}() is for one sink, not for a fan-out",
                expected="each sink with its own, or .on_error(...) after .sink(...) for all of them",
            )


AnySink = SinkSpec | BoundSink | Fanout
"""What `Builder.sink` takes."""


def bound(sink: AnySink) -> tuple[BoundSink, ...]:
    """The one sink, or all of a fan-out."""
    if isinstance(sink, Fanout):
        return sink.sinks
    return (BoundSink(sink) if isinstance(sink, SinkSpec) else sink,)


def _no_list(found: str) -> PlanError:
    return PlanError(
        "fanout takes sinks", expected="a list of sinks", found=found, hint="write Sink.fanout([a, b])"
    )


class Writer(ABC):
    """A running sink on the event loop.

    The runtime calls `write` once for each batch, in order. The end of a run that went well is `prepare` of every
    sink of the pipeline, then `commit` of every sink, then `close`; the end of any other run is `abort`.
    """

    @abstractmethod
    async def write(self, batch: Batch) -> None:
        """Take one batch; waiting here is what slows the source down."""

    async def prepare(self, epoch: int) -> Handle:
        """Do everything that can fail for the rows written so far, and show nothing: encode, flush, sync.

        Parameters
        ----------
        epoch
            Number of the checkpoint, 0 at the end of a run.

        Returns
        -------
        Handle
            What `commit` needs, also that of another writer of the same sink: staged and final names, say. The
            default is for sinks that show rows as they are written.
        """
        return {}

    async def commit(self, handle: Handle) -> None:
        """Make a prepared epoch visible. Idempotent, and quick: it runs to its end even if the run is cancelled."""
        return

    def on_failure(self, failure: BaseException) -> None:
        """Called before `abort` with what ended the run: whoever waits at the other end may be given the cause."""
        return

    @abstractmethod
    async def abort(self) -> None:
        """The run failed: leave nothing half-written visible. Must be safe after any failure, also of `prepare`.

        Called at most once, after a failed `commit` too, and never after a `commit` that succeeded.
        """

    async def close(self) -> None:
        """Let go of everything. Called once, after the last `commit`; not after `abort`."""
        return


class BlockingWriter(ABC):
    """A running sink that blocks; the runtime calls it on a worker thread, one call at a time.

    The calls and their order are those of `Writer`.
    """

    @abstractmethod
    def write(self, batch: Batch) -> None:
        """Take one batch."""

    def prepare(self, epoch: int) -> Handle:
        """Do everything that can fail for the rows written so far, and show nothing; see `Writer.prepare`."""
        return {}

    def commit(self, handle: Handle) -> None:
        """Make a prepared epoch visible. Idempotent, and quick: it runs to its end even if the run is cancelled."""
        return

    @abstractmethod
    def abort(self) -> None:
        """The run failed: leave nothing half-written visible. Must be safe after any failure, also of `prepare`."""

    def close(self) -> None:
        """Let go of everything. Called once, after the last `commit`; not after `abort`."""
        return
