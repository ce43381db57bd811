"""A sink in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from arrowstream.io.memory.function_sink import CollectSink


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
