"""`process`: a step as a class of the user's own, with state, resources and snapshots."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, arrow_schema
from arrowstream.core.ingest import batches_of
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError
from arrowstream.operators.base import AsyncProcess, Operator
from arrowstream.operators.flat_map import FlatMap
from arrowstream.operators.functions.frame_forms import from_form
from arrowstream.operators.functions.schema import check_schema, conformed, function_name

MISFIT = "the processor returned other columns or types than its output_schema says"
MISFIT_HINT = "say in output_schema(self, schema) what comes out, or cast inside process"


class Processor(ABC):
    """Base of the user's own steps with state; everything but `process` may be left as it is.

    The methods are called on the event loop, one at a time: `open`, then `process` for each batch in
    order, `finish` if the stream ends well, and `close` in any case. What they do must not depend on where
    the stream is cut into batches.

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
        """Before the first batch: connect, load."""
        return

    @abstractmethod
    async def process(self, batch: pa.RecordBatch) -> Any:
        """What comes out for this batch: a frame, an iterable or async iterable of frames, or None.

        It may also be an async generator of frames. Where it raises it should leave the state as it was:
        an error handler may try the batch again, or parts of it.
        """

    async def finish(self) -> Any:
        """What is still held when the stream ends well; as in `process`."""
        return

    async def close(self) -> None:
        """After the last call, also after a failure: let go of what `open` took."""
        return

    def snapshot(self) -> Any:
        """All state, as anything Arrow-like; None if there is none."""
        return None

    def restore(self, state: pa.Table) -> None:
        """Take over what `snapshot` gave, before the first batch."""
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
        declared = check_schema(self.name, self._make().output_schema(schema))
        return schema if declared is None else declared

    def start(self, schema: pl.Schema, context: StepContext) -> AsyncProcess:
        processor = self._make()
        return Processing(processor, check_schema(self.name, processor.output_schema(schema)) or schema)

    def describe(self) -> str:
        maker = type(self.processor) if isinstance(self.processor, Processor) else self.processor
        return f"process({function_name(maker)})"

    def _make(self) -> Processor:
        if isinstance(self.processor, Processor):
            return self.processor
        made = self.processor()
        if not isinstance(made, Processor):
            raise _not_a_processor(made)
        return made


class Processing(AsyncProcess):
    """A processor while it runs."""

    __slots__ = ("_processor", "_schema", "_target")

    def __init__(self, processor: Processor, schema: pl.Schema) -> None:
        self._processor = processor
        self._schema, self._target = schema, arrow_schema(schema)

    async def open(self) -> None:
        await self._processor.open()

    async def process(self, batch: Batch) -> Iterable[Batch]:
        return await self._collect(self._processor.process(batch.arrow()), batch)

    async def finish(self) -> Iterable[Batch]:
        return await self._collect(self._processor.finish(), Batch(pl.DataFrame()))

    async def close(self) -> None:
        await self._processor.close()

    def snapshot(self) -> pa.Table:
        state = self._processor.snapshot()
        if state is None:
            return pa.table({})
        return pa.Table.from_batches([part.arrow() for part in batches_of(from_form(state))])

    def restore(self, state: pa.Table) -> None:
        if state.num_columns:
            self._processor.restore(state)

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
