"""`process`: a step as a class that the user writes, with state, resources and snapshots."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, Element, Idle, Watermark
from arrowstream.core.ingest import batches_of
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.core.schemas import declared_schema
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError
from arrowstream.operators.base import AsyncProcess, Operator
from arrowstream.operators.flat_map import FlatMap
from arrowstream.operators.functions.frame_forms import from_form
from arrowstream.operators.functions.schema import conformed, function_name
from arrowstream.state.snapshot import SnapshotFormat

_FORMAT = SnapshotFormat("process", 1)

MISFIT = "the processor returned other columns or types than its output_schema says"
MISFIT_HINT = "say in output_schema(self, schema) what comes out, or cast inside process"


class Processor(ABC):
    """Base class of steps that users write; all methods except `process` have a default.

    The methods are called on the event loop, one at a time: `open` once, then `process` for each batch and
    `on_watermark` for each watermark in the order in which they come, `finish` once if the stream ends well, and
    `close` in any case. Frames that an iterable or a generator gives are collected before the next call. What the
    methods do must not depend on where the stream is cut into batches.

    An exception ends the run, unless the step has error handlers: these may call `process` again for the batch or
    for parts of it, so a `process` that raises should leave the state as it was.

    A processor may hold rows back, from `process` to a later `process`, to `on_watermark` or to `finish`. For the
    steps after it, rows that come out after a watermark of a later time are late. So a class that defines `finish`
    but not `on_watermark` passes no watermark on: windows after it close at the end of the stream. Define
    `on_watermark` where windows should close earlier: return all held rows of a time before the watermark, which
    is passed on after them.

    Examples
    --------
    >>> import polars as pl
    >>> from arrowstream import Pipeline, Processor, Source
    >>> class Numbered(Processor):
    ...     def __init__(self):
    ...         self.seen = 0
    ...     def output_schema(self, schema):
    ...         return pl.Schema({**schema, "number": pl.Int64})
    ...     async def process(self, batch):
    ...         numbers = pl.Series("number", range(self.seen, self.seen + batch.num_rows), pl.Int64)
    ...         self.seen += batch.num_rows
    ...         return pl.from_arrow(batch).with_columns(numbers)
    ...     def snapshot(self):
    ...         return pl.DataFrame({"seen": [self.seen]})
    ...     def restore(self, state):
    ...         self.seen = state["seen"][0].as_py()
    >>> source = Source.from_frame([pl.DataFrame({"x": ["a", "b"]}), pl.DataFrame({"x": ["c"]})])
    >>> Pipeline.builder().source(source).process(Numbered).collect_sync().rows()
    [('a', 0), ('b', 1), ('c', 2)]
    """

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        """Return the schema of the output for batches of `schema`; by default the same."""
        return schema

    async def open(self) -> None:
        """Prepare for the first batch: connect, load. Called once."""
        return

    @abstractmethod
    async def process(self, batch: pa.RecordBatch) -> Any:
        """Return the output for this batch: a frame, an iterable or async iterable of frames, or None.

        It may also be an async generator of frames.
        """

    async def on_watermark(self, time_us: int) -> Any:
        """Return the rows to pass on before a watermark, in the forms of `process`.

        No row before that time (microseconds since 1970, UTC) is expected any more. Return held rows before it
        here; later they are late for the steps after this one.
        """
        return

    async def finish(self) -> Any:
        """Return the rows still held when the stream ends well, in the forms of `process`."""
        return

    async def close(self) -> None:
        """Release what `open` took; the last call, also after a failure."""
        return

    def snapshot(self) -> Any:
        """Return all state: anything Arrow-like, or an iterable of frames of one schema; None without state.

        Runs with checkpoints need it where the processor keeps anything from batch to batch.

        A generator makes one frame after the other while the snapshot is written, so that memory
        never holds large state twice. Called between two batches.
        """
        return None

    def restore(self, state: pa.Table) -> None:
        """Take over the state that `snapshot` gave, as one table; called once, before `open`, unless it was None."""
        raise NotImplementedError(f"{type(self).__name__} has a snapshot() but no restore(state)")


@dataclass(frozen=True, slots=True, eq=False)
class ProcessorStep(Operator):
    """The output of a `Processor` for each batch.

    Parameters
    ----------
    processor
        A class or a function without parameters gives every run a fresh processor. All runs share an instance: it
        keeps its state from run to run, and can be read afterwards.

    Raises
    ------
    PlanError
        `processor` neither is nor gives a `Processor`.
    SchemaError
        The output has another schema than `Processor.output_schema` says; narrower types are
        widened.
    """

    name: ClassVar[str] = "process"
    repeatable: ClassVar[bool] = True
    processor: Processor | Callable[[], Processor]

    def __post_init__(self) -> None:
        if isinstance(self.processor, Processor):
            return
        if not callable(self.processor):
            raise _not_a_processor(self.processor)
        if needed := _needed(self.processor):
            raise _not_a_processor(self.processor, needed)

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        declared = declared_schema(self.name, self._make().output_schema(schema))
        return schema if declared is None else declared

    def start(self, schema: pl.Schema, context: StepContext) -> AsyncProcess:
        processor = self._make()
        output = declared_schema(self.name, processor.output_schema(schema)) or schema
        return Processing(processor, output, _holds_rows(processor), _holds_watermarks(processor))

    def describe(self) -> str:
        maker = type(self.processor) if isinstance(self.processor, Processor) else self.processor
        holds = ", holds watermarks until the end" if _holds_watermarks(self._make()) else ""
        return f"process({function_name(maker)}{holds})"

    def _make(self) -> Processor:
        if isinstance(self.processor, Processor):
            return self.processor
        made = self.processor()
        if not isinstance(made, Processor):
            raise _not_a_processor(made)
        return made


class Processing(AsyncProcess):
    """A processor while it runs.

    Parameters
    ----------
    processor
        The user's object.
    schema
        The schema of its output.
    holds_rows, holds_watermarks
        True if it may hold rows, so that idleness is not passed on, and if it passes no watermark on.
    """

    __slots__ = ("_holds_rows", "_holds_watermarks", "_processor", "_schema", "_target")

    def __init__(
        self, processor: Processor, schema: pl.Schema, holds_rows: bool, holds_watermarks: bool
    ) -> None:
        self._processor = processor
        self._holds_rows, self._holds_watermarks = holds_rows, holds_watermarks
        self._schema, self._target = schema, arrow_schema(schema)

    def check_snapshots(self) -> None:
        kind = type(self._processor)
        if self._holds_rows and kind.snapshot is Processor.snapshot:
            raise PlanError(
                f"{kind.__name__} may hold rows, and a restart would lose them",
                expected="snapshot() and restore(state) next to finish() or on_watermark()",
                found="no snapshot()",
                hint="return the held rows from snapshot(), a frame without rows if there are none",
            )

    async def open(self) -> None:
        await self._processor.open()

    async def process(self, batch: Batch) -> Iterable[Batch]:
        return await self._collect(self._processor.process(batch.arrow()), batch)

    async def on_watermark(self, time_us: int) -> Iterable[Element]:
        if self._holds_watermarks:
            return ()
        rows = await self._collect(self._processor.on_watermark(time_us), Batch(pl.DataFrame()))
        return (*rows, Watermark(time_us))

    async def on_idle(self) -> Iterable[Element]:
        return () if self._holds_rows else (Idle(),)

    async def finish(self) -> Iterable[Batch]:
        return await self._collect(self._processor.finish(), Batch(pl.DataFrame()))

    async def close(self) -> None:
        await self._processor.close()

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        state = self._processor.snapshot()
        return _FORMAT.write(() if state is None else _state_batches(state))

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        _, rows = _FORMAT.read(batches)
        records = [batch.arrow() for batch in rows]
        if records:
            self._processor.restore(pa.Table.from_batches(records))

    async def _collect(self, result: Any, batch: Batch) -> list[Batch]:
        """Collect the batches of a result, which may have to be awaited, or iterated, or both."""
        if inspect.isawaitable(result):
            result = await result
        if isinstance(result, AsyncIterable):
            frames: Iterable[Any] = [frame async for frame in result]
        else:
            frames = () if result is None else FlatMap.frames(result)
        return [
            part
            for frame in frames
            for part in conformed(frame, batch, self._schema, self._target, MISFIT, MISFIT_HINT, "process()")
        ]


def _state_batches(state: Any) -> Iterator[Batch]:
    """Yield the state that a user's `snapshot` gave, frame by frame."""
    for frame in FlatMap.frames(state):
        yield from batches_of(from_form(frame))


def _holds_rows(processor: Processor) -> bool:
    """Return whether a processor may still hold rows at the end of the stream."""
    return type(processor).finish is not Processor.finish


def _holds_watermarks(processor: Processor) -> bool:
    """Return whether a processor may hold rows and releases none at a watermark."""
    return _holds_rows(processor) and type(processor).on_watermark is Processor.on_watermark


def _needed(maker: Callable[..., Any]) -> list[str]:
    """Return the names of the parameters that a call of `maker` requires."""
    try:
        parameters = inspect.signature(maker).parameters.values()
    except (TypeError, ValueError):  # built in: a call will show
        return []
    return [
        one.name
        for one in parameters
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]


def _not_a_processor(found: Any, needed: Iterable[str] = ()) -> PlanError:
    text, hint = f"{type(found).__name__} {found!r}", "derive from arrowstream.Processor"
    if names := ", ".join(needed):
        text = f"{function_name(found)}({names})"
        hint = f"give it what it needs: process(lambda: {text})"
    if not isinstance(found, type):
        hint = "derive from arrowstream.Processor; a plain function of a batch goes into map(fn)"
    return PlanError(
        "process() needs a processor",
        expected="a Processor, its class, or a function without parameters that makes one",
        found=text,
        hint=hint,
    )
