"""Batches from the user's async function."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.ingest import batches_of, conform, schema_of
from arrowstream.core.mistakes.explain import explain_names
from arrowstream.core.mistakes.other_names import SOURCE
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError, SourceError
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
    gives_positions
        Whether `fn` takes ``resume=`` and yields pairs of rows and their position.
    """

    fn: Callable[..., Any]
    expected: pl.Schema | None = None
    gives_positions: bool = False

    def __post_init__(self) -> None:
        if self.gives_positions and not (inspect.isasyncgenfunction(self.fn) and _takes_resume(self.fn)):
            raise PlanError(
                "from_fn(resumable=True) needs an async generator function that can continue",
                expected="async def fn(resume): yield rows, position",
                found=getattr(self.fn, "__qualname__", repr(self.fn)),
                hint="resume is None, or the position that came with the last rows of an earlier run",
            )
        if not (inspect.iscoroutinefunction(self.fn) or inspect.isasyncgenfunction(self.fn)):
            raise PlanError(
                "from_fn needs an async function",
                expected="async def fn() that returns a frame or None, or yields frames",
                found=getattr(self.fn, "__qualname__", repr(self.fn)),
                hint="write it as an `async def` function"
                if inspect.isfunction(self.fn)
                else "pass the function itself, not what it returns; for frames in memory use Source.from_frame",
            )

    @property
    def label(self) -> str:
        return f"fn {getattr(self.fn, 'func', self.fn).__qualname__}"  # of a functools.partial, what it calls

    @property
    def read_once(self) -> bool:
        return True

    def schema(self) -> pl.Schema | None:
        return self.expected

    @property
    def resumable(self) -> bool:
        return self.gives_positions

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader:
        if self.gives_positions:
            return _PositionedReader(
                self.fn, self.expected, None if resume is None else resume.get("position")
            )
        items = self.fn() if inspect.isasyncgenfunction(self.fn) else _until_none(self.fn)
        return ItemReader(items, self.expected, records=False)


async def _until_none(fn: Callable[[], Awaitable[Any]]) -> AsyncIterator[Any]:
    while (item := await fn()) is not None:
        yield item


def _takes_resume(fn: Callable[..., Any]) -> bool:
    parameters = inspect.signature(fn).parameters.values()
    return any(each.name == "resume" or each.kind is each.VAR_KEYWORD for each in parameters)


class _PositionedReader(Reader):
    """Reader of an async generator that yields pairs of rows and the position after them."""

    __slots__ = ("_items", "_position", "_schema")

    def __init__(
        self, fn: Callable[..., AsyncGenerator[Any, None]], schema: pl.Schema | None, resume: Any
    ) -> None:
        self._items = fn(resume=resume)
        self._schema = schema
        self._position = resume

    async def read(self) -> Batch | None:
        try:
            rows, self._position = _pair(await anext(self._items))
        except StopAsyncIteration:
            return None
        batches = list(batches_of(rows))
        schema = self._schema = self._schema or schema_of(batches[0])
        # One batch, as the position is that after all of the rows.
        return Batch(pl.concat([conform(batch, schema).polars() for batch in batches]))

    def position(self) -> SourcePosition:
        return {"version": 1, "position": self._position}

    async def close(self) -> None:
        await self._items.aclose()


def _pair(item: Any) -> tuple[Any, Any]:
    """Return the rows and the position that a function has yielded, the latter as JSON gives it back."""
    try:
        rows, position = item if isinstance(item, tuple) else ()
        return rows, json.loads(json.dumps(position))
    except (TypeError, ValueError) as error:
        raise SourceError(
            "a function with resumable=True yielded something else than rows and a position",
            expected="a tuple of rows and a value that has a form in JSON, such as a number or a dict",
            found=f"{type(item).__name__}: {error}",
        ) from error
