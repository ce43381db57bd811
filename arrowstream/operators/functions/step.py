"""A step that calls a user's function of a batch; its kinds differ in the meaning of the result."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.core.schemas import SchemaLike, declared_schema
from arrowstream.core.step_context import StepContext
from arrowstream.operators.base import AsyncProcess, Operator, Process
from arrowstream.operators.functions.frame_forms import FrameForm, check_form, to_form
from arrowstream.operators.functions.schema import (
    await_apart,
    check_function,
    conformed,
    function_name,
    is_async,
    learn,
    not_awaited,
)

FUNCTION_OPTIONS = ("frame", "schema")
"""The keyword arguments of steps that take a function."""


@dataclass(frozen=True, slots=True, eq=False)
class FunctionStep(Operator):
    """A step that calls ``fn(batch)`` once for each batch, in order.

    Parameters
    ----------
    fn
        The function. An ``async def`` is awaited on the event loop; a plain one that takes long runs on
        a worker thread.
    frame
        The form of the batch that `fn` gets: ``"arrow"`` (a `pyarrow.RecordBatch`), ``"polars"``, ``"pandas"`` (with
        Arrow's types, so that integers with nulls stay integers) or ``"cudf"``.
    schema
        Names and types of what `fn` returns: a schema of Polars or pyarrow, pairs, or a dict. Without it, `fn` is
        called with a batch without rows when the pipeline is built, and the schema is that of its result.

    Raises
    ------
    PlanError
        `fn` cannot be called, `frame` is unknown, or the schema cannot be learnt.
    MissingExtra
        The library of `frame` is not installed.
    SchemaError
        `fn` returns other columns or types than its schema says; narrower types are widened.
    """

    repeatable: ClassVar[bool] = True
    passes_rows_on: ClassVar[bool] = True
    fn: Callable[[Any], Any]
    frame: FrameForm = "arrow"
    schema: SchemaLike | None = None
    learnt: dict[tuple[Any, ...], pl.Schema] = field(default_factory=dict, init=False, repr=False)
    """Output schemas by input schema: `fn` may be slow or have effects, so it is called once for each."""

    def __post_init__(self) -> None:
        check_function(self.name, self.fn)
        check_form(self.name, self.frame)
        object.__setattr__(self, "schema", declared_schema(self.name, self.schema))

    @staticmethod
    @abstractmethod
    def frames(result: Any) -> Iterable[Any]:
        """Return the frames that a result of `fn` stands for."""

    @property
    def at_hand(self) -> bool:
        return self.schema is not None or bool(self.learnt)

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        convert = to_form(self.frame)
        declared = declared_schema(self.name, self.schema)
        if declared is not None:
            return declared
        key = tuple(schema.items())
        if key not in self.learnt:
            self.learnt[key] = learn(lambda empty: self._ask(convert(empty)), schema)
        return self.learnt[key]

    def start(self, schema: pl.Schema, context: StepContext) -> Process | AsyncProcess:
        output = self.output_schema(schema)
        return Awaiting(self, output) if is_async(self.fn) else Calling(self, output)

    def describe(self) -> str:
        form = "" if self.frame == "arrow" else f', frame="{self.frame}"'
        return f"{self.name}({function_name(self.fn)}{form})"

    def _ask(self, frame: Any) -> Iterable[Any]:
        if is_async(self.fn):
            return await_apart(awaited(self.fn, frame, self.frames))
        return self.frames(not_awaited(self.fn(frame)))


async def awaited(fn: Callable[[Any], Any], frame: Any, frames: Callable[[Any], Iterable[Any]]) -> list[Any]:
    """Return all frames that an async function or an async generator gives."""
    result = fn(frame)
    if isinstance(result, AsyncIterable):
        return [item async for item in result]
    return list(frames(await result))


class Calling(Process):
    """A plain function while it runs."""

    __slots__ = ("_convert", "_fn", "_frames", "_schema", "_target")

    def __init__(self, step: FunctionStep, schema: pl.Schema) -> None:
        self._fn, self._frames = step.fn, step.frames
        self._convert = to_form(step.frame)
        self._schema, self._target = schema, arrow_schema(schema)

    def process(self, batch: Batch) -> Iterator[Batch]:
        for frame in self._frames(not_awaited(self._fn(self._convert(batch)))):
            yield from conformed(frame, batch, self._schema, self._target)

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        return iter(())

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        """Ignore the snapshot: the step has no state."""

    def finish(self) -> Iterable[Batch]:
        return ()


class Awaiting(AsyncProcess):
    """A coroutine function, or an async generator, while it runs."""

    __slots__ = ("_convert", "_fn", "_frames", "_schema", "_target", "concurrency")

    def __init__(self, step: FunctionStep, schema: pl.Schema, concurrency: int = 1) -> None:
        self._fn, self._frames = step.fn, step.frames
        self._convert = to_form(step.frame)
        self._schema, self._target = schema, arrow_schema(schema)
        self.concurrency = concurrency

    async def process(self, batch: Batch) -> Iterable[Batch]:
        return [
            part
            for frame in await awaited(self._fn, self._convert(batch), self._frames)
            for part in conformed(frame, batch, self._schema, self._target)
        ]
