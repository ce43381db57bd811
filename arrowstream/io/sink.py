"""Contract of sinks: a spec describes, a writer runs.

A spec is an immutable description; it opens and creates nothing before `open`, which returns a writer
(`io/writer.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from arrowstream.core.checks import check_whole
from arrowstream.core.mistakes.explain import explain_call, explain_calls, explain_names
from arrowstream.core.mistakes.other_names import SINK
from arrowstream.core.step_context import StepContext
from arrowstream.errors import ArrowstreamError, PlanError
from arrowstream.io.writer import BlockingWriter, Writer
from arrowstream.policies.handlers import ErrorHandler, check_handlers
from arrowstream.shown import Shown

JsonPart = Callable[[pl.DataFrame], pl.DataFrame]
"""Returns the part of rows that a sink writes as JSON, which has neither NaN nor infinity: null stands for them."""


class SinkSpec(Shown, ABC):
    """Immutable description of a sink of batches."""

    _shown_by: ClassVar[str] = "ends.sink"

    @property
    @abstractmethod
    def label(self) -> str:
        """One line for `explain()` and errors, such as ``file out.parquet (parquet)``."""

    @property
    def brief(self) -> str:
        """The label; of a sink that `build` refuses, the reason."""
        try:
            return self.label
        except ArrowstreamError as error:
            return f"a sink that is refused: {error.what}"

    @property
    @abstractmethod
    def guarantee(self) -> str:
        """One line for `explain()`: the delivery guarantee that a reader of the sink can rely on."""

    @property
    def identity(self) -> str:
        """The label without what may differ between two runs, by which a checkpoint knows the sink."""
        return self.label

    @property
    def identity_in_full(self) -> str:
        """The identity with absolute paths, by which the sink is known if they are written in another way."""
        return self.identity

    @property
    def exactly_once(self) -> bool:
        """True if a run with checkpoints that is killed and started again shows every row once.

        Its writers then do nothing that others see before `commit`, and commit what earlier runs have prepared. Any
        other sink gets rows since the last checkpoint again after a restart.
        """
        return False

    def with_checkpoints(self) -> SinkSpec:
        """Return this sink as a run with checkpoints uses it, which may write in another way.

        Raises
        ------
        PlanError
            What it writes cannot grow from epoch to epoch; the hint says what can.
        """
        return self

    @property
    def needs_schema(self) -> bool:
        """True if the sink writes something even for a stream without batches, and so needs its columns.

        A file does: without an empty file, an older one would remain and look like the result.
        """
        return False

    @property
    def shows_at_once(self) -> bool:
        """True if a row belongs to the receiver once it is written, whatever becomes of the run."""
        return False

    @property
    def replaced_by(self) -> tuple[str, ...]:
        """Columns by which a row replaces one that was written before; none for a sink that adds rows."""
        return ()

    @property
    def unique_by(self) -> tuple[str, ...]:
        """Columns by which a second row is refused; none for a sink that adds or replaces rows."""
        return ()

    def json_part(self, schema: pl.Schema) -> JsonPart | None:
        """Return what gives the part of rows of `schema` that is written as JSON; None if nothing is.

        The values there that become null are counted, and the report notes them.
        """
        return None

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
class BoundSink(Shown):
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

    _shown_by: ClassVar[str] = "ends.sink"
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
class Fanout(Shown):
    """Several sinks, each of which gets every batch.

    Parameters
    ----------
    sinks
        One or more sinks.
    """

    _shown_by: ClassVar[str] = "ends.sink"
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
