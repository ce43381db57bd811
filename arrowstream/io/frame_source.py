"""Rows already in memory: one frame, or an iterable of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from arrowstream.batch import Batch, Element, Position
from arrowstream.errors import PlanError
from arrowstream.ingest import batches_of, conform, schema_of
from arrowstream.io.base import Query, Reader, SourceSpec

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
        if batch_rows < 1:
            raise PlanError("batch_rows is too small", expected="at least 1", found=str(batch_rows))
        if _is_frame(data) or not isinstance(data, Iterable):
            data = [data]
        frames = list(data) if isinstance(data, list | tuple) else data
        if isinstance(frames, list):
            # Converted here, so that what is no frame is found before anything runs.
            frames = [batch for frame in frames for batch in batches_of(frame)]
            if schema is None and frames:
                schema = schema_of(frames[0])
        return cls(frames, schema, batch_rows)

    @property
    def label(self) -> str:
        return "frame"

    def schema(self) -> pl.Schema | None:
        return self.expected

    def open(self, query: Query | None = None) -> Reader:
        return _FrameReader(self)


class _FrameReader(Reader):
    __slots__ = ("_batches",)

    def __init__(self, source: FrameSource) -> None:
        self._batches = _slices(source)

    async def read(self) -> Element | None:
        return next(self._batches, None)

    async def close(self) -> None:
        self._batches.close()


def _slices(source: FrameSource) -> Any:
    schema, start = source.expected, 0
    for frame in source.frames:
        for batch in batches_of(frame):
            schema = schema or schema_of(batch)
            whole = conform(batch, schema)
            for part in _cut(whole, source.batch_rows):
                part.position = Position("frame", start, start + part.num_rows)
                start += part.num_rows
                yield part


def _cut(batch: Batch, rows: int) -> Iterator[Batch]:
    for offset in range(0, max(batch.num_rows, 1), rows):
        yield batch.slice(offset, rows)


def _is_frame(data: Any) -> bool:
    """A frame is often iterable too (over its columns), so ask for what only a frame has."""
    return (
        hasattr(data, "__arrow_c_stream__")
        or hasattr(data, "__arrow_c_array__")
        or isinstance(data, str | bytes | dict)
    )
