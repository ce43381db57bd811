"""Rows of lazy frames, read while the pipeline runs."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch
from arrowstream.core.ingest import batches_of, conform, schema_of
from arrowstream.core.mistakes.explain import explain_names
from arrowstream.core.mistakes.other_names import SOURCE
from arrowstream.core.position import Position
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.errors import PlanError
from arrowstream.io.memory.lazy_frames import is_lazy, lazy_batches, lazy_schema
from arrowstream.io.source import BlockingReader, Query, SourceSpec


@explain_names("a source", SOURCE)
@dataclass(frozen=True, slots=True)
class LazySource(SourceSpec):
    """Batches of several frames, in order, at least one of them lazy.

    Parameters
    ----------
    frames
        The frames. A `pyarrow.RecordBatchReader` can be read by one run only, the others by any number.
    expected
        Schema that all frames fit.
    batch_rows
        Rows per batch, for frames whose library lets the caller choose.
    """

    frames: tuple[Any, ...]
    expected: pl.Schema
    batch_rows: int
    read: set[int] = field(default_factory=set, init=False, repr=False, compare=False)
    """Indices of the frames that a run has read and no run can read again."""

    @classmethod
    def of(cls, frames: Sequence[Any], schema: pl.Schema | None, batch_rows: int) -> LazySource:
        """Make a source of frames, after checking that their columns fit together.

        Raises
        ------
        SchemaError
            The columns of a frame cannot be named, or do not fit `schema` or those of the first frame.
        """
        expected = schema
        for frame in frames:
            found = lazy_schema(frame) if is_lazy(frame) else schema_of(next(batches_of(frame)))
            expected = expected or found
            conform(Batch(pl.DataFrame(schema=found)), expected)
        assert expected is not None
        return cls(tuple(frames), expected, batch_rows)

    @property
    def label(self) -> str:
        names = dict.fromkeys(type(frame).__name__ for frame in self.frames if is_lazy(frame))
        return f"frame ({', '.join(names)})"

    def schema(self) -> pl.Schema | None:
        return self.expected

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> BlockingReader:
        return _LazyReader(self)


class _LazyReader(BlockingReader):
    __slots__ = ("_batches",)

    def __init__(self, source: LazySource) -> None:
        self._batches = _placed(source)

    def read(self) -> Batch | None:
        return next(self._batches, None)

    def close(self) -> None:
        self._batches.close()


def _placed(source: LazySource) -> Generator[Batch, None, None]:
    """Yield all batches, each with its position among all rows."""
    start = 0
    for number, frame in enumerate(source.frames):
        for batch in _batches(source, number, frame):
            stop = start + batch.num_rows
            yield conform(batch, source.expected).at(Position("frame", start, stop))
            start = stop


def _batches(source: LazySource, number: int, frame: Any) -> Iterator[Batch]:
    if not is_lazy(frame):
        return batches_of(frame)
    if isinstance(frame, pa.RecordBatchReader):
        if number in source.read:
            raise PlanError(
                "a RecordBatchReader has been read already",
                expected="one run, preview or collect of a pipeline over a reader",
                found="another one",
                hint="pass a dataset or a table, or build the pipeline again over a new reader",
            )
        source.read.add(number)
    return lazy_batches(frame, source.batch_rows)
