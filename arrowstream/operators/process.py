"""`process`: a step as a class of the user's own, with state, resources and snapshots."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, Element, Idle, Watermark, arrow_schema
from arrowstream.core.ingest import batches_of
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
    """Base of the user's own steps with state; everything but `process` may be left as it is.

    The methods are called on the event loop, one at a time: `open` once, then `process` for each batch and
    `on_watermark` for each watermark in the order in which they come, `finish` once if the stream ends well, and
    `close` in any case. Frames that an iterable or a generator gives are collected before the next call. What the
    methods do must not depend on where the stream is cut into batches.

    An exception ends the run, unless the step has error handlers: these may call `process` again for the batch or
    for parts of it, so a `process` that raises should leave the state as it was.

    A processor may hold rows back, from `process` to a later `process`, to `on_watermark` or to `finish`. For the
    steps after it, rows that come out after a watermark of a later time are late. So a class that has a `finish`,
    and no `on_watermark` of its own, passes no watermark on: windows after it close at the end of the stream.
    Define `on_watermark` where windows should close earlier: it gives all rows held that are of a time before the
    watermark, which passes after them.

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
        """The schema of what comes out, for batches of `schema`; the same unless this says otherwise."""
        return schema

    async def open(self) -> None:
        """Called once, before the first batch: connect, load."""
        return

    @abstractmethod
    async def process(self, batch: pa.RecordBatch) -> Any:
        """The output for this batch: a frame, an iterable or async iterable of frames, or None.

        It may also be an async generator of frames.
        """

    async def on_watermark(self, time_us: int) -> Any:
        """The rows to give before a watermark is passed on; as in `process`.

        No row before `time_us` (microseconds since 1970, UTC) is expected any more. Where rows before that time are
        held, give them here, or they are late for the steps that come after.
        """
        return

    async def finish(self) -> Any:
        """The rows still held when the stream ends well; as in `process`."""
        return

    async def close(self) -> None:
        """After the last call, also after a failure: let go of what `open` took."""
        return

    def snapshot(self) -> Any:
        """All state: anything Arrow-like, or an iterable of such frames of one schema; None if there is none.

        A generator makes one frame after the other while the snapshot is written, so that large state is not held
        twice. Called between two batches.
        """
        return None

    def restore(self, state: pa.Table) -> None:
        """Take over what `snapshot` gave, as one table; called once, before `open`, and not where it gave None."""
        raise NotImplementedError(f"{type(self).__name__} has a snapshot() but no restore(state)")


@dataclass(frozen=True, slots=True, eq=False)
class ProcessorStep(Operator):
    """Each batch as a `Processor` handles it.

    Parameters
    ----------
    processor
        A class or a function without parameters gives every run a fresh processor. An instance is used
        as it is by all runs: it can be looked at afterwards, and it keeps its state from run to run.

    Raises
    ------
    PlanError
        It is not, or does not give, a `Processor`.
    SchemaError
        Rows that come out have another schema than `Processor.output_schema` says; narrower types are
        widened.

    Notes
    -----
    A stage of its own. Costs a coroutine for each batch, some 10 us, and what the processor does; that happens on
    the event loop, so long computations hold up everything else and belong into `parallel_map`, or into
    ``asyncio.to_thread`` inside the processor. Holds what the processor holds.

    A processor with a `finish` may hold rows. So it holds watermarks back, until the end of the stream unless it has
    an `on_watermark`; and it never passes on that a source is idle.
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
        The user's own.
    schema
        What it gives.
    holds_rows, holds_watermarks
        Whether rows may be held, so that a silent input is not passed on, and whether no watermark is either.
    """

    __slots__ = ("_holds_rows", "_holds_watermarks", "_processor", "_schema", "_target")

    def __init__(
        self, processor: Processor, schema: pl.Schema, holds_rows: bool, holds_watermarks: bool
    ) -> None:
        self._processor = processor
        self._holds_rows, self._holds_watermarks = holds_rows, holds_watermarks
        self._schema, self._target = schema, arrow_schema(schema)

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
        """The batches of a result, which may have to be awaited, or iterated, or both."""
        if inspect.isawaitable(result):
            result = await result
        if isinstance(result, AsyncIterable):
            frames: Iterable[Any] = [frame async for frame in result]
        else:
            frames = () if result is None else FlatMap.frames(result)
        return [
            part
            for frame in frames
            for part in conformed(frame, batch, self._schema, self._target, MISFIT, MISFIT_HINT)
        ]


def _state_batches(state: Any) -> Iterator[Batch]:
    """The state that a user's `snapshot` gave, piece by piece."""
    for frame in FlatMap.frames(state):
        yield from batches_of(from_form(frame))


def _holds_rows(processor: Processor) -> bool:
    """Whether a processor may still have rows at the end of the stream."""
    return type(processor).finish is not Processor.finish


def _holds_watermarks(processor: Processor) -> bool:
    """Whether nothing but the end of the stream says when its rows are out."""
    return _holds_rows(processor) and type(processor).on_watermark is Processor.on_watermark


def _needed(maker: Callable[..., Any]) -> list[str]:
    """The parameters without which `maker` cannot be called."""
    try:
        parameters = inspect.signature(maker).parameters.values()
    except (TypeError, ValueError):  # built in: calling it will tell
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
