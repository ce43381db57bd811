"""Runs with a snapshot store in memory, as a coordinator of checkpoints would start them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from arrowstream import Pipeline, RunReport
from arrowstream.runtime.options import Options


class MemoryStore:
    """Snapshots in memory, by step and epoch; `complete` is the epoch that is restored."""

    def __init__(self) -> None:
        self.saved: dict[tuple[str, int], list[pa.RecordBatch]] = {}
        self.complete: int | None = None
        self.finished: set[str] = set()

    def save(self, step_id: str, epoch: int, batches: Iterator[pa.RecordBatch]) -> None:
        assert threading.current_thread() is not threading.main_thread()
        self.saved[step_id, epoch] = list(batches)

    def finish(self, state_id: str) -> None:
        self.finished.add(state_id)

    def is_finished(self, state_id: str) -> bool:
        return False

    def state_ids(self) -> list[str]:
        return [id for (id, epoch), batches in self.saved.items() if epoch == self.complete and batches]

    def load(self, step_id: str) -> Iterator[pa.RecordBatch] | None:
        found = self.saved.get((step_id, self.complete)) if self.complete is not None else None
        return None if found is None else iter(found)


async def run_with(pipeline: Pipeline, **options: Any) -> RunReport:
    """A run with options that only the engine itself sets."""
    return await pipeline._execute(Options(**options), signals=False)
