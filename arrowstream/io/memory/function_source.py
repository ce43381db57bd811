"""Batches from the user's async function."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from arrowstream.core.mistakes.explain import explain_names
from arrowstream.core.mistakes.other_names import SOURCE
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError
from arrowstream.io.memory.channel_source import ItemReader
from arrowstream.io.source import Query, Reader, SourceSpec


@explain_names("a source", SOURCE)
@dataclass(frozen=True, slots=True)
class FunctionSource(SourceSpec):
    """Batches of an async function, called until it returns None, or of an async generator function.

    Parameters
    ----------
    fn
        ``async def fn() -> Arrow-like | None``, or ``async def fn(): yield Arrow-like``.
    expected
        Schema of the batches; None to take it from the first one.
    """

    fn: Callable[[], Any]
    expected: pl.Schema | None = None

    def __post_init__(self) -> None:
        if not (inspect.iscoroutinefunction(self.fn) or inspect.isasyncgenfunction(self.fn)):
            raise PlanError(
                "from_fn needs an async function",
                expected="async def fn() that returns a frame or None, or yields frames",
                found=getattr(self.fn, "__qualname__", repr(self.fn)),
                hint="pass the function itself, not what it returns; for frames in memory use Source.from_frame",
            )

    @property
    def label(self) -> str:
        return f"fn {self.fn.__qualname__}"

    def schema(self) -> pl.Schema | None:
        return self.expected

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader:
        items = self.fn() if inspect.isasyncgenfunction(self.fn) else _until_none(self.fn)
        return ItemReader(items, self.expected, records=False)


async def _until_none(fn: Callable[[], Awaitable[Any]]) -> AsyncIterator[Any]:
    while (item := await fn()) is not None:
        yield item
