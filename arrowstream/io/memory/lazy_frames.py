"""Frames whose rows are computed or read while they stream: LazyFrames, Arrow datasets, DuckDB relations."""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import Any

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch
from arrowstream.core.channel import Receiver, Sender, channel
from arrowstream.core.failures import FAILURES
from arrowstream.core.ingest import batches_of
from arrowstream.core.rows.arrow_types import polars_schema
from arrowstream.errors import PeerGone, SchemaError

_AHEAD = 2
"""Batches that a LazyFrame computes ahead of the pipeline."""


def unwrapped(data: Any) -> Any:
    """Return the frame inside a narwhals frame or series; anything else unchanged."""
    while type(data).__module__.partition(".")[0] == "narwhals":
        data = data.to_native()
    return data


def is_lazy(data: Any) -> bool:
    """Return True if the rows of a frame come into memory only when they are read."""
    if isinstance(data, (pa.RecordBatch, pl.DataFrame)):  # the commonest frames: lists hold thousands of them
        return False
    return isinstance(data, pl.LazyFrame | pa.RecordBatchReader) or _is_dataset(data) or _is_relation(data)


def lazy_schema(data: Any) -> pl.Schema:
    """Return the schema of a lazy frame, reading only what its library needs to name the columns.

    Raises
    ------
    SchemaError
        The library cannot name the columns and types, or Polars lacks a type.
    """
    try:
        if isinstance(data, pl.LazyFrame):
            return data.collect_schema()
        if _is_relation(data):
            return polars_schema(pa.RecordBatchReader.from_stream(data).schema)
    except FAILURES as error:  # whatever the query's own library raises
        raise SchemaError(
            "the columns of a lazy frame cannot be named",
            expected="a query that its library can plan",
            found=f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}",
        ) from error
    schema = data.projected_schema if hasattr(data, "projected_schema") else data.schema
    return polars_schema(schema)


def lazy_batches(data: Any, rows: int) -> Generator[Batch, None, None]:
    """Yield the batches of a lazy frame, of `rows` rows each where its library lets the caller choose.

    It blocks, so it belongs on a worker thread. Errors of the library pass through unchanged.
    """
    if isinstance(data, pl.LazyFrame):
        yield from _computed(data, rows)
    elif _is_dataset(data):
        options = {} if hasattr(data, "projected_schema") else {"batch_size": rows}
        for record in data.to_batches(**options):
            yield from batches_of(record)
    else:
        for record in pa.RecordBatchReader.from_stream(data):
            yield from batches_of(record)


def _is_dataset(data: Any) -> bool:
    """Return True for a pyarrow Dataset or Scanner, without importing pyarrow.dataset."""
    return any(base.__module__ == "pyarrow._dataset" for base in type(data).__mro__)


def _is_relation(data: Any) -> bool:
    """Return True for a DuckDB relation, whose query runs when its rows are read, in parts."""
    return type(data).__module__.partition(".")[0] in ("duckdb", "_duckdb")


def _computed(frame: pl.LazyFrame, rows: int) -> Generator[Batch, None, None]:
    """Yield the batches of a LazyFrame; Polars' streaming engine computes them on a thread, `_AHEAD` in advance.

    `collect_batches` does not serve: in Polars 1.35 an error ends it early, without raising.
    """
    sender: Sender[pl.DataFrame]
    receiver: Receiver[pl.DataFrame]
    sender, receiver = channel(_AHEAD)

    def compute() -> None:
        try:
            frame.sink_batches(sender.send_sync, chunk_size=rows)
        except BaseException as error:
            sender.fail(error)
        else:
            sender.close()

    thread = threading.Thread(target=compute, name="arrowstream-lazy", daemon=True)
    thread.start()
    try:
        while (part := _received(receiver)) is not None:
            yield Batch(part)
    finally:
        receiver.close()  # sending the next batch then fails, which ends the query
        thread.join()


def _received(receiver: Receiver[pl.DataFrame]) -> pl.DataFrame | None:
    """Return the next frame, or None at the end; raise the query's own error."""
    try:
        return receiver.receive_sync()
    except StopAsyncIteration:
        return None
    except PeerGone as gone:
        failure = gone.__cause__
    assert failure is not None
    raise failure
