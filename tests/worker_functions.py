"""Functions for worker processes, which find them by the name of their module."""

import os
import time
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa


def doubled(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("x") * 2)


def with_pid(record: pa.RecordBatch) -> pl.DataFrame:
    return pl.DataFrame(record).with_columns(pid=pl.lit(os.getpid(), pl.Int64))


def unchanged(record: pa.RecordBatch) -> pa.RecordBatch:
    return record


def failing(record: pa.RecordBatch) -> pa.RecordBatch:
    if record.num_rows:
        raise LookupError("no such row")
    return record


class Stubborn(Exception):
    """An error that cannot be taken apart and put together again."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def stubborn(record: pa.RecordBatch) -> pa.RecordBatch:
    if record.num_rows:
        raise Stubborn(1, 2)
    return record


def interrupted(record: pa.RecordBatch) -> pa.RecordBatch:
    if record.num_rows:
        raise KeyboardInterrupt
    return record


class InterruptedWhileLoaded:
    """Can be pickled; an interrupt comes while it is loaded."""

    def __call__(self, record: pa.RecordBatch) -> pa.RecordBatch:
        return record

    def __reduce__(self) -> Any:
        return (_interrupt, ())


def _interrupt() -> None:
    raise KeyboardInterrupt


def dying(record: pa.RecordBatch) -> pa.RecordBatch:
    if record.num_rows:
        os._exit(3)
    return record


class Waiting:
    """Tells its process id into a named pipe, and then never comes back."""

    def __init__(self, pipe: Path) -> None:
        self.pipe = pipe

    def __call__(self, record: pa.RecordBatch) -> pa.RecordBatch:
        if record.num_rows:
            self.pipe.write_text(str(os.getpid()))
            while True:
                time.sleep(3600)
        return record


class Unloadable:
    """Can be pickled, but not loaded."""

    def __call__(self, record: pa.RecordBatch) -> pa.RecordBatch:
        return record

    def __reduce__(self) -> Any:
        return (_refuse, ())


def _refuse() -> None:
    raise RuntimeError("not here")
