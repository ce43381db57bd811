"""`buffer`: a longer queue between two stages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch
from arrowstream.core.checks import check_whole
from arrowstream.core.step_context import StepContext
from arrowstream.operators.base import Operator, Process


@dataclass(frozen=True, slots=True)
class Buffer(Operator):
    """Queue up to `capacity` batches, so that the steps before may run ahead of the steps after.

    The two sides run as separate tasks. When the queue is full, the steps before wait.

    Parameters
    ----------
    capacity
        Queue capacity in batches, at least 1.

    Raises
    ------
    PlanError
        `capacity` is below 1.
    """

    name: ClassVar[str] = "buffer"
    passes_rows_on: ClassVar[bool] = True
    capacity: int

    def __post_init__(self) -> None:
        check_whole("buffer(capacity)", self.capacity)

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        return schema

    @property
    def queue_capacity(self) -> int:
        return self.capacity

    def start(self, schema: pl.Schema, context: StepContext) -> Process:
        return _Passing()

    @property
    def identity(self) -> str:
        return self.name

    def describe(self) -> str:
        return f"buffer({self.capacity})"


class _Passing(Process):
    """Passes batches through: the channel before this process is the buffer."""

    __slots__ = ()

    def process(self, batch: Batch) -> Iterable[Batch]:
        return (batch,)

    def snapshot(self) -> Iterator[pa.RecordBatch]:
        return iter(())

    def restore(self, batches: Iterator[pa.RecordBatch]) -> None:
        """Ignore the snapshot: a buffer has no state."""

    def finish(self) -> Iterable[Batch]:
        return ()
