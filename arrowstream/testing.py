"""A test kit for pipelines: sources and sinks in memory, and time that only moves when told.

Examples
--------
>>> import polars as pl
>>> from arrowstream import Pipeline
>>> source, sink = TestSource.from_list([1, 2, 3, 4, 5]), TestSink()
>>> pipeline = Pipeline.builder().source(source).map(value=pl.col("value") * 2).sink(sink).build()
>>> report = pipeline.run_sync()
>>> sink.received()
[2, 4, 6, 8, 10]
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from arrowstream.batch import Barrier, Batch, Element, Watermark
from arrowstream.ingest import batches_of, conform, schema_of
from arrowstream.io.base import Query, Reader, SourceSpec
from arrowstream.io.function_sink import CollectSink


@dataclass(frozen=True, slots=True)
class TestSource(SourceSpec):
    """A scripted source: frames and marks in order; an exception in the script is raised when reached.

    Parameters
    ----------
    script
        Arrow-like frames of one schema, `Watermark`s, `Barrier`s, and exceptions.
    declared
        The schema, or None to let the pipeline learn it from the first batch.
    """

    __test__: ClassVar[bool] = False

    script: tuple[Any, ...]
    declared: pl.Schema | None = None

    @classmethod
    def from_list(cls, values: Sequence[Any], batch_rows: int | None = None) -> TestSource:
        """One column ``value`` of `values`, or columns from dicts, in batches of `batch_rows` (default: one)."""
        dicts = bool(values) and isinstance(values[0], dict)
        frame = pl.DataFrame(values if dicts else {"value": values})
        step = batch_rows or max(frame.height, 1)
        return cls.from_frames(frame.slice(start, step) for start in range(0, max(frame.height, 1), step))

    @classmethod
    def from_frames(cls, script: Iterable[Any], *, schema: pl.Schema | None = None) -> TestSource:
        """Frames, marks and exceptions in order; the schema is that of the first frame unless given."""
        items = tuple(script)
        for item in items:
            if schema is None and not isinstance(item, Watermark | Barrier | BaseException):
                schema = schema_of(next(batches_of(item)))
        return cls(items, schema)

    def undeclared(self) -> TestSource:
        """The same script, its schema known only at the first batch."""
        return TestSource(self.script, None)

    @property
    def label(self) -> str:
        return "test"

    def schema(self) -> pl.Schema | None:
        return self.declared

    def open(self, query: Query | None = None) -> Reader:
        return _ScriptReader(self)


class _ScriptReader(Reader):
    __slots__ = ("_elements",)

    def __init__(self, source: TestSource) -> None:
        self._elements = _play(source)

    async def read(self) -> Element | None:
        return next(self._elements, None)

    async def close(self) -> None:
        self._elements.close()


def _play(source: TestSource) -> Any:
    schema = source.declared
    for item in source.script:
        if isinstance(item, BaseException):
            raise item
        if isinstance(item, Watermark | Barrier):
            yield item
            continue
        for batch in batches_of(item):
            schema = schema or schema_of(batch)
            yield conform(batch, schema)


@dataclass(frozen=True, slots=True)
class TestSink(CollectSink):
    """Keeps what it gets; look at it with `received`, `frame` or `records`."""

    __test__: ClassVar[bool] = False

    @property
    def label(self) -> str:
        return "test"

    def received(self) -> list[Any]:
        """All rows in order: the values of the one column, or a dict a row if there are several."""
        frame = self.frame()
        return frame.to_series().to_list() if frame.width == 1 else frame.to_dicts()

    def records(self) -> list[pa.RecordBatch]:
        """The batches as they came."""
        return [batch.arrow() for batch in self.batches]


class ManualClock:
    """Time that moves only by `advance`; every sleeper wakes exactly when its moment is passed.

    Examples
    --------
    >>> clock = ManualClock()
    >>> async def main():
    ...     sleeper = asyncio.create_task(clock.sleep(3600))
    ...     await clock.advance(3600)
    ...     await sleeper
    ...     return clock.now_ns()
    >>> asyncio.run(main())
    3600000000000
    """

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = 0

    def now_ns(self) -> int:
        """The time as it was set."""
        return self._now_ns

    def set_ns(self, now_ns: int) -> None:
        """Move the time to a moment without waking anybody, as if work had taken so long."""
        self._now_ns = now_ns

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has moved the time `seconds` further."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._now_ns + round(seconds * 1e9), self._count, future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move the time on, waking sleepers in order; other tasks get to run before and after each."""
        await _settle()
        until = self._now_ns + round(seconds * 1e9)
        while self._sleepers and self._sleepers[0][0] <= until:
            moment, _, future = heapq.heappop(self._sleepers)
            self._now_ns = max(self._now_ns, moment)
            if not future.done():
                future.set_result(None)
            await _settle()
        self._now_ns = until
        await _settle()


async def _settle(turns: int = 20) -> None:
    """Give every ready task of the loop some turns."""
    for _ in range(turns):
        await asyncio.sleep(0)


__all__ = ["Barrier", "Batch", "ManualClock", "TestSink", "TestSource", "Watermark"]
