"""Contract of sinks: a spec describes, a writer runs.

A spec is an immutable description; it opens and creates nothing before `open`. A `BlockingWriter` is synchronous
code and runs on a worker thread; a `Writer` is awaited on the event loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.checks import check_whole
from arrowstream.core.json_value import JsonValue
from arrowstream.core.mistakes.explain import explain_call, explain_calls, explain_names
from arrowstream.core.mistakes.other_names import SINK
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError
from arrowstream.policies.handlers import ErrorHandler, check_handlers

Handle = Mapping[str, JsonValue]
"""Prepared epoch of a sink, as JSON: everything `commit` needs to make it visible."""


class SinkSpec(ABC):
    """Immutable description of a sink of batches."""

    @property
    @abstractmethod
    def label(self) -> str:
        """One line for `explain()` and errors, such as ``file out.parquet (parquet)``."""

    @property
    @abstractmethod
    def guarantee(self) -> str:
        """One line for `explain()`: the delivery guarantee that a reader of the sink can rely on."""

    @property
    def needs_schema(self) -> bool:
        """True if the sink writes something even for a stream without batches, and so needs its columns.

        A file does: without an empty file, an older one would remain and look like the result.
        """
        return False

    @property
    def takes_arrow(self) -> bool:
        """True if the sink takes every batch as a RecordBatch, so that a Polars frame costs a conversion."""
        return False

    @abstractmethod
    def check(self, schema: pl.Schema) -> None:
        """Raise SchemaError or PlanError if batches of this schema cannot be written."""

    @property
    def side_output(self) -> SinkSpec:
        """The sink as it takes late rows or dead letters, one object however often this is read.

        A sink whose default is to replace what an earlier run wrote adds to it here.
        """
        return self

    @property
    def place(self) -> str | None:
        """Place that only one sink of a run may write, such as the path of a file; None if any number may."""
        return None

    @explain_call
    def best_effort(self, buffer: int = 64) -> BoundSink:
        """Return this sink as best effort: a fan-out or branch never waits for it.

        A failure of the sink does not end the run: it is logged, and the sink gets no further batches.

        Parameters
        ----------
        buffer
            Queue capacity in batches. While the queue is full, batches for this sink are dropped and counted.
        """
        return BoundSink(self).best_effort(buffer)

    @explain_call
    def on_error(self, handler: ErrorHandler) -> BoundSink:
        """Return this sink with one more error handler; handlers apply in the order of the calls.

        Parameters
        ----------
        handler
            Response to a failure of the sink, such as ``ErrorHandler.retry(3)``. A sink's own handlers replace
            those of its fan-out.

        Raises
        ------
        PlanError
            `handler` is not an error handler, or follows one that leaves nothing to handle.
        """
        return BoundSink(self).on_error(handler)

    @abstractmethod
    def open(self, schema: pl.Schema, context: StepContext) -> Writer | BlockingWriter:
        """Start writing.

        Parameters
        ----------
        schema
            Schema of the batches.
        context
            Clock, memory, log and threads of the run, and the name of this sink in it.

        Returns
        -------
        Writer or BlockingWriter
            A new writer; the runtime ends it with `close` or `abort`.
        """

    def on_never_opened(self, failure: BaseException | None) -> None:
        """Release whoever waits for this sink, at the end of a run that never opened it.

        Parameters
        ----------
        failure
            Failure that ended the run; None if the stream ended before its first batch showed the schema.
        """
        return


@explain_names("a sink", SINK)
@explain_calls
@dataclass(frozen=True, slots=True)
class BoundSink:
    """Sink with its own error handlers and queue.

    Parameters
    ----------
    sink
        Sink that gets the batches.
    handlers
        Responses to a failure of the sink, in order.
    best_effort_capacity
        Queue capacity of a best-effort sink, in batches; None if the sink applies backpressure.
    """

    sink: SinkSpec
    handlers: tuple[ErrorHandler, ...] = ()
    best_effort_capacity: int | None = None

    def best_effort(self, buffer: int = 64) -> BoundSink:
        """Return the sink as best effort; see `SinkSpec.best_effort`."""
        check_whole("best_effort(buffer=...)", buffer)
        return replace(self, best_effort_capacity=buffer)

    def on_error(self, handler: ErrorHandler) -> BoundSink:
        """Return the sink with one more error handler; see `SinkSpec.on_error`."""
        handlers = (*self.handlers, handler)
        check_handlers(handlers)
        return replace(self, handlers=handlers)


@dataclass(frozen=True, slots=True)
class Fanout:
    """Several sinks, each of which gets every batch.

    Parameters
    ----------
    sinks
        One or more sinks.
    """

    sinks: tuple[BoundSink, ...]

    @classmethod
    def of(cls, sinks: Iterable[SinkSpec | BoundSink | Fanout], more: Sequence[object] = ()) -> Fanout:
        """Return the fan-out to these sinks, flattening nested fan-outs.

        Parameters
        ----------
        sinks
            One or more sinks.
        more
            Further positional arguments of the call. Any is an error: all sinks belong in one list.

        Raises
        ------
        PlanError
            `sinks` is empty or contains something other than sinks, or `more` is not empty.
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
"""Every form of sink that `Builder.sink` accepts."""


def bound(sink: AnySink) -> tuple[BoundSink, ...]:
    """Return the sinks of a fan-out, or the single sink, each with its handlers."""
    if isinstance(sink, Fanout):
        return sink.sinks
    return (BoundSink(sink) if isinstance(sink, SinkSpec) else sink,)


def _no_list(found: str) -> PlanError:
    return PlanError(
        "fanout takes sinks", expected="a list of sinks", found=found, hint="write Sink.fanout([a, b])"
    )


class Writer(ABC):
    """Running sink on the event loop.

    The runtime calls `write` once per batch, in order, on the loop's thread. A successful run ends with `prepare` of
    every sink of the pipeline, then `commit` of every sink, then `close`; any other run ends with `abort`.
    """

    @abstractmethod
    async def write(self, batch: Batch) -> None:
        """Write one batch. Waiting here is backpressure on the source; raising is a failure of the sink."""

    def begin_write(self, batch: Batch) -> Awaitable[None] | None:
        """Write one batch and return None, or return an awaitable of the write, or of the rest of it.

        The runtime calls this method in place of `write`. A writer that seldom waits saves the cost of a coroutine by
        overriding it.
        """
        return self.write(batch)

    async def prepare(self, epoch: int) -> Handle:
        """Encode, flush and sync the rows written so far: do everything that can fail, and make nothing visible.

        Parameters
        ----------
        epoch
            Number of the checkpoint; 0 at the end of a run.

        Returns
        -------
        Handle
            Everything that `commit` needs, even in another writer of the same sink, such as staged and final names.
            The default, an empty handle, suits sinks that make rows visible as they are written.
        """
        return {}

    async def commit(self, handle: Handle) -> None:
        """Make a prepared epoch visible. Idempotent and quick: it completes even if the run is cancelled."""
        return

    def on_failure(self, failure: BaseException) -> None:
        """Pass `failure`, which ended the run, to whoever waits at the other end; called before `abort`."""
        return

    @abstractmethod
    async def abort(self) -> None:
        """Discard everything half-written after a failed run. Must be safe after any failure, also of `prepare`.

        Called at most once, after a failed `commit` too, and never after a `commit` that succeeded.
        """

    async def close(self) -> None:
        """Release all resources. Called once, after the last `commit`; not after `abort`."""
        return


class BlockingWriter(ABC):
    """Running sink that blocks; the runtime calls it on a worker thread, one call at a time.

    The calls and their order are those of `Writer`.
    """

    @property
    def period_s(self) -> float | None:
        """Seconds between two calls of `on_period`; None for no calls."""
        return None

    @abstractmethod
    def write(self, batch: Batch) -> None:
        """Write one batch. Raising is a failure of the sink."""

    def on_period(self) -> None:
        """Do what is due after each period, whether batches came or not. Raising ends the run."""
        return

    def prepare(self, epoch: int) -> Handle:
        """Do everything that can fail for the rows written so far, and make nothing visible; see `Writer.prepare`."""
        return {}

    def commit(self, handle: Handle) -> None:
        """Make a prepared epoch visible. Idempotent and quick: it completes even if the run is cancelled."""
        return

    @abstractmethod
    def abort(self) -> None:
        """Discard everything half-written after a failed run. Must be safe after any failure, also of `prepare`."""

    def close(self) -> None:
        """Release all resources. Called once, after the last `commit`; not after `abort`."""
        return
