"""Rows of one frame, or of an iterable of frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch, Element
from arrowstream.core.checks import check_whole
from arrowstream.core.ingest import batches_of, conform, schema_of
from arrowstream.core.mistakes.explain import explain_names
from arrowstream.core.mistakes.other_names import SOURCE
from arrowstream.core.position import Position
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext, WorkerThreads
from arrowstream.errors import PlanError
from arrowstream.io.memory.frame_position import FramePosition, row_to_continue
from arrowstream.io.memory.lazy_frames import is_lazy, lazy_batches, unwrapped
from arrowstream.io.memory.lazy_source import LazySource
from arrowstream.io.source import Query, Reader, SourceSpec

BATCH_ROWS: Final = 131_072
"""Rows per slice of a large frame, at least: enough for Polars to use every core."""

_BATCH_BYTES: Final = 8 << 20
"""Bytes of a slice that has more rows: few enough to keep memory flat."""

_MOST_ROWS: Final = 4 * BATCH_ROWS
"""Most rows per slice: a query of Polars has some 0.4 ms of fixed cost, and more rows leave the caches."""


@explain_names("a source", SOURCE)
@dataclass(frozen=True, slots=True)
class FrameSource(SourceSpec):
    """Batches of frames in memory.

    Parameters
    ----------
    frames
        The frames, in order. A list can be read by any number of runs, a generator by one.
    expected
        Schema of the batches; None to take it from the first frame of an iterable.
    batch_rows
        Rows per slice into which larger frames are cut, None to choose by their bytes; slices share the frame's
        memory.
    """

    frames: Iterable[Any]
    expected: pl.Schema | None
    batch_rows: int | None = None

    @classmethod
    def of(
        cls, data: Any, *, schema: pl.Schema | None = None, batch_rows: int | None = None
    ) -> FrameSource | LazySource:
        """Make a source of an Arrow-like object, or of an iterable of them; see `Source.from_frame`."""
        if batch_rows is not None:
            check_whole("batch_rows", batch_rows)
        data = unwrapped(data)
        if _is_frame(data) or not isinstance(data, Iterable):
            data = [data]
        if not isinstance(data, list | tuple):
            return cls(_Once(data) if iter(data) is data else data, schema, batch_rows)
        frames = [unwrapped(frame) for frame in data]
        if any(is_lazy(frame) for frame in frames):
            return LazySource.of(frames, schema, batch_rows or BATCH_ROWS)
        # Converted and checked here, so that a mismatch shows before anything runs.
        return cls(*_converted(frames, schema), batch_rows)

    @property
    def label(self) -> str:
        return "frame"

    def schema(self) -> pl.Schema | None:
        return self.expected

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader:
        if not isinstance(self.frames, list):
            return _IterableReader(self, context.threads)
        return _FrameReader(self, self.frames, 0 if resume is None else row_to_continue(self.frames, resume))

    @property
    def resumable(self) -> bool:
        return isinstance(self.frames, list)


def _converted(frames: Sequence[Any], schema: pl.Schema | None) -> tuple[list[Batch], pl.Schema | None]:
    """Return the batches of all frames with one schema, and this schema: that of the first one if None is given."""
    batches: list[Batch] = []
    own: pa.Schema | None = None
    for frame in frames:
        # Records mostly have one schema: comparing it takes 0.1 us, looking up what it is in the engine 5.
        if (
            own is not None
            and type(frame) is pa.RecordBatch
            and frame.schema.equals(own, check_metadata=True)
        ):
            batches.append(Batch(frame))
            continue
        for found in batches_of(frame):
            if schema is None:
                schema = schema_of(found)
            if schema:
                batch = conform(found, schema)
                batches.append(batch)
                if own is None and not batch.is_polars:
                    own = batch.arrow().schema
    return batches, schema


class _Once:
    """Items of an iterator; a second reading raises an error instead of finding nothing."""

    def __init__(self, items: Iterator[Any]) -> None:
        self._items: Iterator[Any] | None = items

    def __iter__(self) -> Iterator[Any]:
        items, self._items = self._items, None
        if items is None:
            raise PlanError(
                "a generator of frames has been read already",
                expected="one run, preview or collect of a pipeline over a generator",
                found="another one",
                hint="pass a list of the frames, or build the pipeline again over a new generator",
            )
        return items


class _FrameReader(Reader):
    """Reader of a list of batches, from a given row on."""

    __slots__ = ("_all", "_row", "_slices")

    def __init__(self, source: FrameSource, batches: list[Batch], row: int) -> None:
        self._all = batches
        self._row = row
        self._slices = _from_row(batches, row, source.batch_rows)

    async def read(self) -> Element | None:
        return self.begin_read()

    def begin_read(self) -> Element | None:
        batch = next(self._slices, None)
        if batch is not None:
            self._row += batch.num_rows
        return batch

    def position(self) -> SourcePosition | None:
        return FramePosition(self._all, self._row)

    async def close(self) -> None:
        self._slices.close()

    @property
    def total_rows(self) -> int | None:
        return sum(batch.num_rows for batch in self._all)


class _IterableReader(Reader):
    """Reader of the frames of an iterable; the rows of lazy frames are read on a worker thread."""

    __slots__ = ("_batch_rows", "_batches", "_frames", "_lazy", "_schema", "_slices", "_start", "_threads")

    def __init__(self, source: FrameSource, threads: WorkerThreads) -> None:
        self._frames = iter(source.frames)
        self._schema = source.expected
        self._batch_rows = source.batch_rows
        self._threads = threads
        self._batches: Iterator[Batch] = iter(())
        self._lazy: Generator[Batch, None, None] | None = None
        self._slices: deque[Batch] = deque()
        self._start = 0

    async def read(self) -> Element | None:
        while not self._slices:
            batch = await self._next()
            if batch is None:
                return None
            self._schema = self._schema or schema_of(batch)
            self._slices.extend(_cut(conform(batch, self._schema), self._start, self._batch_rows))
            self._start += batch.num_rows
        return self._slices.popleft()

    async def close(self) -> None:
        if self._lazy is not None:
            await self._threads.call(self._lazy.close)

    async def _next(self) -> Batch | None:
        """Return the next batch of this frame, or of the first frame after it that has any; None at the end."""
        while True:
            if (lazy := self._lazy) is None:
                batch = next(self._batches, None)
            else:
                batch = await self._threads.call(lambda: next(lazy, None))
            if batch is not None:
                return batch
            self._lazy, self._batches = None, iter(())
            for frame in map(unwrapped, self._frames):
                if is_lazy(frame):
                    self._lazy = lazy_batches(frame, self._batch_rows or BATCH_ROWS)
                else:
                    self._batches = batches_of(frame)
                break
            else:
                return None


def _from_row(batches: Iterable[Batch], row: int, size: int | None) -> Generator[Batch, None, None]:
    """Yield slices of the batches from row `row` on, each with its position among all rows."""
    start = 0
    for whole in batches:
        skipped = min(max(row - start, 0), whole.num_rows)
        start += skipped
        if skipped and skipped == whole.num_rows:
            continue
        batch = whole.slice(skipped, whole.num_rows - skipped) if skipped else whole
        yield from _cut(batch, start, size)
        start += batch.num_rows


def _cut(batch: Batch, start: int, size: int | None) -> Iterator[Batch]:
    """Yield slices of at most `size` rows; the batch's first row is row `start` of the source."""
    size = size or _rows_of_slices(batch)
    for offset in range(0, max(batch.num_rows, 1), size):
        part = batch if batch.num_rows <= size else batch.slice(offset, size)
        yield part.at(Position("frame", start + offset, start + offset + part.num_rows))


def _rows_of_slices(batch: Batch) -> int:
    if batch.num_rows <= BATCH_ROWS:
        return BATCH_ROWS
    fit = batch.num_rows * _BATCH_BYTES // max(batch.nbytes, 1)
    return min(max(BATCH_ROWS, fit), _MOST_ROWS)


def _is_frame(data: Any) -> bool:
    """Return True for a single frame. Frames may be iterable too, over columns: look for what only frames have."""
    return (
        is_lazy(data)
        or hasattr(data, "__arrow_c_stream__")
        or hasattr(data, "__arrow_c_array__")
        or isinstance(data, str | bytes | dict)
    )
