"""A sink in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from arrowstream.io.memory.function_sink import CollectSink


@dataclass(frozen=True, slots=True)
class TestSink(CollectSink):
    """A sink that keeps all batches; read them with `received`, `frame` or `records`."""

    __test__: ClassVar[bool] = False

    @property
    def label(self) -> str:
        return "test"

    def received(self) -> list[Any]:
        """Return all rows in order: as values if there is one column, else as dicts."""
        frame = self.frame()
        return frame.to_series().to_list() if frame.width == 1 else frame.to_dicts()

    def records(self) -> list[pa.RecordBatch]:
        """Return the batches in order, as RecordBatches."""
        return [batch.arrow() for batch in self.batches]
