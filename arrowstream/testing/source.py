"""A source that plays a script."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import polars as pl

from arrowstream.core.batch import Barrier, Element, Idle, Watermark
from arrowstream.core.checks import check_whole
from arrowstream.core.clock import Clock, MonotonicClock
from arrowstream.core.ingest import batches_of, conform, schema_of
from arrowstream.core.schemas import SchemaLike, declared_schema
from arrowstream.core.snapshot_store import SourcePosition, position_number
from arrowstream.core.step_context import StepContext
from arrowstream.io.source import Query, Reader, SourceSpec


@dataclass(frozen=True, slots=True)
class Pause:
    """Item of a script: the source is silent for `seconds` on its clock.

    Examples
    --------
    >>> import asyncio
    >>> from arrowstream import Pipeline
    >>> from arrowstream.testing import ManualClock, TestSink
    >>> clock, sink = ManualClock(), TestSink()
    >>> script = [pl.DataFrame({"x": [1]}), Pause(60), pl.DataFrame({"x": [2]})]
    >>> source = TestSource.from_frames(script, clock=clock)
    >>> async def main():
    ...     running = asyncio.create_task(Pipeline.builder().source(source).sink(sink).build().run())
    ...     await clock.advance(59)
    ...     before = sink.received()
    ...     await clock.advance(1)
    ...     await running
    ...     return before, sink.received()
    >>> asyncio.run(main())
    ([1], [1, 2])
    """

    seconds: float


class Aborted(BaseException):
    """Raised by an `Abort`. Not an `Exception`: as with a killed process, no error handler runs."""


class Abort:
    """Item of a script: the run ends here once, as if its process were killed.

    The first run that reaches it ends with `Aborted`; later runs of the same script, which start from the beginning,
    skip it.

    Examples
    --------
    >>> from arrowstream import Pipeline
    >>> from arrowstream.testing import TestSink
    >>> source = TestSource.from_frames([pl.DataFrame({"x": [1]}), Abort(), pl.DataFrame({"x": [2]})])
    >>> sink = TestSink()
    >>> pipeline = Pipeline.builder().source(source).sink(sink).build()
    >>> try:
    ...     pipeline.run_sync()
    ... except Aborted:
    ...     print("aborted after", sink.received())
    aborted after [1]
    >>> pipeline.run_sync().rows_out
    2
    """

    __slots__ = ("_done",)

    def __init__(self) -> None:
        self._done = False

    def act(self) -> None:
        """Raise `Aborted` at the first call; do nothing later."""
        if not self._done:
            self._done = True
            raise Aborted("the script says so")


_NO_ROWS = (Watermark, Barrier, Idle, BaseException, Pause, Abort)


@dataclass(frozen=True, slots=True)
class TestSource(SourceSpec):
    """A source that plays a script. Make one with `TestSource.from_list` or `TestSource.from_frames`.

    Parameters
    ----------
    script
        The items, in order: Arrow-like frames of one schema; `Watermark`s, `Barrier`s and
        `Idle`s, which are passed on; `Pause`s and `Abort`s; and exceptions, which are raised when reached.
    declared
        The schema, or None to let the pipeline learn it from the first batch.
    clock
        Clock for pauses; with a `ManualClock`, tests do not wait.

    Examples
    --------
    >>> from arrowstream import Pipeline
    >>> source = TestSource.from_list([1, 2, 3, 4, 5], batch_rows=2)
    >>> Pipeline.builder().source(source).filter(pl.col("value") > 3).collect_sync()["value"].to_list()
    [4, 5]
    """

    __test__: ClassVar[bool] = False

    script: tuple[Any, ...]
    declared: pl.Schema | None = None
    clock: Clock = field(default_factory=MonotonicClock)

    @classmethod
    def from_list(cls, values: Sequence[Any], batch_rows: int | None = None) -> TestSource:
        """Make a source of one column ``value``, or of columns from dicts; all rows in one batch by default."""
        dicts = bool(values) and isinstance(values[0], dict)
        frame = pl.DataFrame(values if dicts else {"value": values})
        if batch_rows is not None:
            check_whole("TestSource.from_list(batch_rows=...)", batch_rows)
        step = batch_rows or max(frame.height, 1)
        return cls.from_frames(frame.slice(start, step) for start in range(0, max(frame.height, 1), step))

    @classmethod
    def from_frames(
        cls, script: Iterable[Any], *, schema: SchemaLike | None = None, clock: Clock | None = None
    ) -> TestSource:
        """Make a source that plays a script; without `schema`, the schema is that of the first frame."""
        items = tuple(script)
        declared = declared_schema("TestSource.from_frames", schema)
        for item in items:
            if declared is None and not isinstance(item, _NO_ROWS):
                declared = schema_of(next(batches_of(item)))
        return cls(items, declared, clock or MonotonicClock())

    def undeclared(self) -> TestSource:
        """Return a source with the same script, whose schema is known only at the first batch."""
        return TestSource(self.script, None, self.clock)

    @property
    def label(self) -> str:
        return "test"

    def schema(self) -> pl.Schema | None:
        return self.declared

    @property
    def marks_time(self) -> bool:
        return any(isinstance(item, Watermark) for item in self.script)

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader:
        if resume is None:
            return _ScriptReader(self, 0, 0)
        return _ScriptReader(self, position_number(resume, "item"), position_number(resume, "element"))

    @property
    def resumable(self) -> bool:
        return True


class _ScriptReader(Reader):
    """Reader that plays a script from an item on, and counts the elements of the current item."""

    __slots__ = ("_elements", "_place")

    def __init__(self, source: TestSource, item: int, element: int) -> None:
        self._place = [item, element]
        self._elements = _play(source, self._place)

    async def read(self) -> Element | None:
        return await anext(self._elements, None)

    def position(self) -> SourcePosition:
        item, element = self._place
        return {"version": 1, "item": item, "element": element}

    async def close(self) -> None:
        await self._elements.aclose()


async def _play(source: TestSource, place: list[int]) -> AsyncGenerator[Element, None]:
    """Yield the elements of a script from `place` on, an item and an element in it; update `place` on the way."""
    schema = source.declared
    first, skipped = place
    for number, item in enumerate(source.script[first:], first):
        match item:
            case BaseException():
                raise item
            case Abort():
                item.act()
            case Pause(seconds):
                await source.clock.sleep(seconds)
            case Watermark() | Barrier() | Idle():
                place[:] = [number + 1, 0]
                yield item
            case _:
                batches = list(batches_of(item))
                for part, batch in enumerate(batches[skipped:], skipped + 1):
                    schema = schema or schema_of(batch)
                    place[:] = [number, part] if part < len(batches) else [number + 1, 0]
                    yield conform(batch, schema)
        skipped = 0
