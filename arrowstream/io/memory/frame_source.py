"""Rows already in memory: one frame, or an iterable of them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from arrowstream.core.batch import Batch, Element
from arrowstream.core.checks import check_whole
from arrowstream.core.ingest import batches_of, conform, schema_of
from arrowstream.core.position import Position
from arrowstream.core.snapshot_store import SourcePosition, position_number
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError
from arrowstream.io.source import Query, Reader, SourceSpec

BATCH_ROWS = 131_072
"""Rows of a slice of a large frame: enough for Polars to use every core, little enough to keep memory flat."""


@dataclass(frozen=True, slots=True)
class FrameSource(SourceSpec):
    """Batches of frames in memory.

    Parameters
    ----------
    frames
        The frames, in order. A list can be read again by a second run; a generator only once.
    expected
        The schema, or None if only the first frame of a generator will tell.
    batch_rows
        A larger frame is cut into slices of so many rows, which share its memory.
    """

    frames: Iterable[Any]
    expected: pl.Schema | None
    batch_rows: int = BATCH_ROWS

    @classmethod
    def of(cls, data: Any, *, schema: pl.Schema | None = None, batch_rows: int = BATCH_ROWS) -> FrameSource:
        """From an Arrow-like object, or an iterable of them; see `Source.from_frame`."""
        check_whole("batch_rows", batch_rows)
        if _is_frame(data) or not isinstance(data, Iterable):
            data = [data]
        if not isinstance(data, list | tuple):
            return cls(_Once(data) if iter(data) is data else data, schema, batch_rows)
        # Converted and checked here, so that what does not fit is found before anything runs.
        batches = [batch for frame in data for batch in batches_of(frame)]
        if schema is None and batches:
            schema = schema_of(batches[0])
        return cls([conform(batch, schema) for batch in batches if schema], schema, batch_rows)

    @property
    def label(self) -> str:
        return "frame"

    def schema(self) -> pl.Schema | None:
        return self.expected

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader:
        return _FrameReader(self, 0 if resume is None else position_number(resume, "row"))

    @property
    def resumable(self) -> bool:
        return isinstance(self.frames, list)


class _Once:
    """An iterator's items, and an error instead of nothing when it is read a second time."""

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
    __slots__ = ("_batches", "_frames", "_row")

    def __init__(self, source: FrameSource, row: int) -> None:
        self._frames = source.frames
        self._row = row
        self._batches = _slices(source, row)

    async def read(self) -> Element | None:
        batch = next(self._batches, None)
        if batch is not None:
            self._row += batch.num_rows
        return batch

    def position(self) -> SourcePosition | None:
        return {"version": 1, "row": self._row} if isinstance(self._frames, list) else None

    async def close(self) -> None:
        self._batches.close()

    @property
    def total_rows(self) -> int | None:
        return sum(batch.num_rows for batch in self._frames) if isinstance(self._frames, list) else None


def _slices(source: FrameSource, row: int) -> Generator[Batch, None, None]:
    """Slices of the frames, each with its place among all rows, from `row` on."""
    start = 0
    for whole in _batches(source):
        skipped = min(max(row - start, 0), whole.num_rows)
        start += skipped
        if skipped and skipped == whole.num_rows:
            continue
        batch = whole.slice(skipped, whole.num_rows - skipped) if skipped else whole
        for offset in range(0, max(batch.num_rows, 1), source.batch_rows):
            part = batch if batch.num_rows <= source.batch_rows else batch.slice(offset, source.batch_rows)
            stop = start + part.num_rows
            yield part.at(Position("frame", start, stop))
            start = stop


def _batches(source: FrameSource) -> Iterator[Batch]:
    if isinstance(source.frames, list):
        yield from source.frames
        return
    schema = source.expected
    for frame in source.frames:
        for batch in batches_of(frame):
            schema = schema or schema_of(batch)
            yield conform(batch, schema)


def _is_frame(data: Any) -> bool:
    """A frame is often iterable too (over its columns), so ask for what only a frame has."""
    return (
        hasattr(data, "__arrow_c_stream__")
        or hasattr(data, "__arrow_c_array__")
        or isinstance(data, str | bytes | dict)
    )
