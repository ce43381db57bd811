"""A sink whose rows show with the epoch that they belong to, once each, as those of files and databases do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.step_context import StepContext
from arrowstream.io.sink import SinkSpec
from arrowstream.io.writer import BlockingWriter, Handle


class EpochRows(SinkSpec):
    """Rows by epoch, in memory.

    Parameters
    ----------
    on_write
        Called with the number of rows that this run has written before each batch.
    """

    def __init__(self, on_write: Callable[[int], object] = lambda rows: None) -> None:
        self.on_write = on_write
        self.epochs: dict[int, list[tuple[Any, ...]]] = {}

    @property
    def label(self) -> str:
        return "rows by epoch"

    @property
    def guarantee(self) -> str:
        return "its epoch"

    def check(self, schema: pl.Schema) -> None: ...

    def open(self, schema: pl.Schema, context: StepContext) -> BlockingWriter:
        return _Writer(self)

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        return [row for epoch in sorted(self.epochs) for row in self.epochs[epoch]]


class _Writer(BlockingWriter):
    def __init__(self, sink: EpochRows) -> None:
        self._sink = sink
        self._rows: list[tuple[Any, ...]] = []
        self._written = 0

    def recover(self, epoch: int, handle: Handle | None) -> None:
        assert all(shown <= epoch for shown in self._sink.epochs)
        super().recover(epoch, handle)

    def write(self, batch: Batch) -> None:
        self._sink.on_write(self._written)
        self._written += batch.num_rows
        self._rows += batch.polars().rows()

    def prepare(self, epoch: int) -> Handle:
        rows, self._rows = self._rows, []
        return {"epoch": epoch, "rows": json.dumps(rows)}

    def commit(self, handle: Handle) -> None:
        epoch, rows = handle["epoch"], handle["rows"]
        assert isinstance(epoch, int)
        assert isinstance(rows, str)
        self._sink.epochs[epoch] = [tuple(row) for row in json.loads(rows)]

    def abort(self) -> None:
        self._rows = []
