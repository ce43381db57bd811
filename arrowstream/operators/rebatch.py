"""`batch`: the same rows in batches of another size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import polars as pl
import pyarrow as pa

from arrowstream.batch import Batch, arrow_schema
from arrowstream.errors import PlanError
from arrowstream.operators.base import Operator, Process


@dataclass(frozen=True, slots=True)
class Rebatch(Operator):
    """Re-cut the stream into batches of `rows` rows; the last one may be smaller.

    A batch that is large enough is only sliced, which shares its memory; smaller ones are collected
    and joined once.

    Parameters
    ----------
    rows
        Rows of every batch that comes out, at least 1.

    Raises
    ------
    PlanError
        `rows` is below 1.

    Examples
    --------
    >>> import polars as pl
    >>> from arrowstream import Pipeline, Source
    >>> frame = pl.DataFrame({"x": range(5)})
    >>> Pipeline.builder().source(Source.from_frame(frame)).batch(rows=2).collect_sync().height
    5
    """

    name: ClassVar[str] = "batch"
    rows: int

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise PlanError("batch(rows=...) is too small", expected="at least 1", found=str(self.rows))

    def output_schema(self, schema: pl.Schema) -> pl.Schema:
        return schema

    def start(self, schema: pl.Schema) -> Process:
        return _Rebatching(self.rows, schema)

    def describe(self) -> str:
        return f"batch(rows={self.rows})"


class _Rebatching(Process):
    __slots__ = ("_held", "_held_rows", "_rows", "_schema")

    def __init__(self, rows: int, schema: pl.Schema) -> None:
        self._rows = rows
        self._schema = schema
        self._held: list[Batch] = []
        self._held_rows = 0

    def process(self, batch: Batch) -> Iterator[Batch]:
        offset = 0
        # Rows are joined only to fill the one batch that was begun earlier; the rest are slices.
        while self._held_rows + batch.num_rows - offset >= self._rows:
            wanted = self._rows - self._held_rows
            self._hold(batch.slice(offset, wanted))
            offset += wanted
            yield self._release()
        if offset < batch.num_rows:
            self._hold(batch.slice(offset, batch.num_rows - offset))

    def snapshot(self) -> pa.Table:
        return pa.Table.from_batches(
            [batch.arrow() for batch in self._held], schema=arrow_schema(self._schema)
        )

    def restore(self, state: pa.Table) -> None:
        self._held = [Batch(record) for record in state.to_batches()]
        self._held_rows = state.num_rows

    def finish(self) -> Iterator[Batch]:
        if self._held:
            yield self._release()

    def _hold(self, batch: Batch) -> None:
        self._held.append(batch)
        self._held_rows += batch.num_rows

    def _release(self) -> Batch:
        held, self._held, self._held_rows = self._held, [], 0
        if len(held) == 1:
            return held[0]
        return held[0].with_rows(pl.concat([batch.polars() for batch in held]))
