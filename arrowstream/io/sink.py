"""The contract of sinks: a spec that describes, a writer that runs.

A spec is an immutable description; nothing is opened or created before `open`. The blocking kind of writer is plain
synchronous code and runs on a worker thread; the other is awaited on the loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.checks import check_whole
from arrowstream.core.json_value import JsonValue
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
