"""Batches to the user's function, and to memory for `collect`."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.mistakes.explain import explain_names
from arrowstream.core.mistakes.other_names import SINK
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError
from arrowstream.io.sink import SinkSpec
from arrowstream.io.writer import Writer


@explain_names("a sink", SINK)
@dataclass(frozen=True, slots=True)
class FunctionSink(SinkSpec):
    """Sink that calls ``fn(batch)`` with each batch as a `pyarrow.RecordBatch`, on the event loop's thread.

    Parameters
    ----------
    fn
        The function. If it returns an awaitable, that is awaited.
    """

    fn: Callable[[Any], Any]

    def __post_init__(self) -> None:
        if not callable(self.fn):
            raise PlanError("to_fn needs a function", expected="fn(batch)", found=repr(self.fn))

    @property
    def label(self) -> str:
        inner = getattr(self.fn, "func", self.fn)  # functools.partial
        return f"fn {getattr(inner, '__qualname__', type(inner).__qualname__)}"

    @property
    def guarantee(self) -> str:
        return "at most once: fn is called once a batch, in order"

    @property
    def shows_at_once(self) -> bool:
        return True

    @property
    def takes_arrow(self) -> bool:
        return True

    def check(self, schema: pl.Schema) -> None:
        """Accept any schema."""

    def open(self, schema: pl.Schema, context: StepContext) -> Writer:
        return _FunctionWriter(self.fn)


class _FunctionWriter(Writer):
    __slots__ = ("_fn",)

    def __init__(self, fn: Callable[[Any], Any]) -> None:
        self._fn = fn

    async def write(self, batch: Batch) -> None:
        if (rest := self.begin_write(batch)) is not None:
            await rest

    def begin_write(self, batch: Batch) -> Awaitable[None] | None:
        result = self._fn(batch.arrow())
        if result is not None and inspect.isawaitable(result):
            return _ended(result)
        return None

    async def abort(self) -> None:
        """Do nothing: batches passed to the function cannot be taken back."""


async def _ended(result: Awaitable[object]) -> None:
    await result


@dataclass(frozen=True, slots=True)
class CollectSink(SinkSpec):
    """Sink that keeps every batch in memory; `frame()` joins them."""

    batches: list[Batch] = field(default_factory=list)
    schemas: list[pl.Schema] = field(default_factory=list)

    @property
    def label(self) -> str:
        return "memory"

    @property
    def guarantee(self) -> str:
        return "in memory: complete when the run has ended well"

    def check(self, schema: pl.Schema) -> None:
        """Accept any schema."""

    def open(self, schema: pl.Schema, context: StepContext) -> Writer:
        self.schemas.append(schema)
        return _CollectWriter(self.batches)

    def frame(self) -> pl.DataFrame:
        """Return all rows received so far, in order; without columns before the schema is known."""
        if not self.schemas:
            return pl.DataFrame()
        empty = pl.DataFrame(schema=self.schemas[0])
        return pl.concat([empty, *(batch.polars() for batch in self.batches)])


class _CollectWriter(Writer):
    __slots__ = ("_batches",)

    def __init__(self, batches: list[Batch]) -> None:
        self._batches = batches

    async def write(self, batch: Batch) -> None:
        self._batches.append(batch)

    def begin_write(self, batch: Batch) -> None:
        self._batches.append(batch)

    async def abort(self) -> None:
        """Keep the batches that came before the failure, so that they can be inspected."""
