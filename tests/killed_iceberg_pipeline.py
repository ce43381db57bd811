"""A pipeline into an Iceberg table, and a process that runs it until a failpoint or one of its files kills it."""

import os
import signal
from pathlib import Path
from typing import Any

import polars as pl
from epoch_files import PacedSource
from kills import process_killed_at

from arrowstream import Pipeline, Sink
from arrowstream.io.iceberg.durable_files import DurableFile

# No expressions: processes are forked from one that has imported this, and threads of Polars would not be in them.
ROWS = pl.DataFrame({"x": list(range(36)), "k": [str(number % 2) for number in range(36)]})
BATCHES = [ROWS[start : start + 3] for start in range(0, 36, 3)]


def pipeline(lake: Path, an_epoch: int | None = None) -> Pipeline:
    """Every row into a table."""
    sink = Sink.to_iceberg("shop.numbers", catalog=lake, partition_by="k")
    return Pipeline.builder("killed").source(PacedSource(BATCHES, an_epoch)).sink(sink).build()


def work(lake: Path, state: Path, point: str | None, hit: int) -> None:
    """Run the pipeline, in a process that a failpoint kills; without one, the n-th file of the table does."""
    create, left = DurableFile.create, hit

    def counted(self: DurableFile, overwrite: bool = False) -> Any:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return create(self, overwrite)

    if point is None:
        DurableFile.create = counted  # type: ignore[method-assign]
    with process_killed_at(point, hit):
        pipeline(lake, an_epoch=2).run_sync(checkpoint=state, every="1ms")
