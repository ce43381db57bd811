"""A few of the queries as a user of Bytewax would write them: a function of Python for each row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as steps
import pyarrow as pa
import pyarrow.parquet as pq
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.operators.windowing import EventClock, TumblingWindower, count_window
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main

_BATCH = 1_000
"""Rows that the source hands out at a time."""
_WINDOW = timedelta(seconds=10)
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)

Row = dict[str, Any]


@dataclass(frozen=True)
class Query:
    """A query.

    Parameters
    ----------
    columns
        The columns that are read.
    steps
        From the stream of rows to that of the results, which are rows, too.
    schema
        Names and types of the results.
    """

    columns: tuple[str, ...]
    steps: Callable[[Any], Any]
    schema: pa.Schema


class _Partition(StatelessSourcePartition[Row]):
    def __init__(self, path: Path, columns: tuple[str, ...], rows: int) -> None:
        self._batches = pq.ParquetFile(path).iter_batches(_BATCH, columns=list(columns))
        self._left = rows

    def next_batch(self) -> list[Row]:
        batch = next(self._batches)[: self._left]
        if not len(batch):
            raise StopIteration
        self._left -= len(batch)
        rows: list[Row] = batch.to_pylist()
        return rows


class _Source(DynamicSource[Row]):
    def __init__(self, path: Path, columns: tuple[str, ...], rows: int) -> None:
        self._arguments = path, columns, rows

    def build(self, *_: object) -> _Partition:
        return _Partition(*self._arguments)


class _Writer(StatelessSinkPartition[Row]):
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._file = pq.ParquetWriter(path, schema, compression="zstd", compression_level=1)

    def write_batch(self, items: list[Row]) -> None:
        self._file.write_batch(pa.RecordBatch.from_pylist(items, self._schema))

    def close(self) -> None:
        self._file.close()


class _Sink(DynamicSink[Row]):
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._arguments = path, schema

    def build(self, *_: object) -> _Writer:
        return _Writer(*self._arguments)


def run(query: Query, bids: Path, target: Path, rows: int) -> None:
    """Run a query over the first rows of the bids."""
    flow = Dataflow("nexmark")
    stream = steps.input("bids", flow, _Source(bids, query.columns, rows))
    steps.output("found", query.steps(stream), _Sink(target, query.schema))
    run_main(flow)


def _q1(bids: Any) -> Any:
    return steps.map("euros", bids, lambda row: {**row, "price": row["price"] * 0.908})


def _q2(bids: Any) -> Any:
    return steps.filter("some", bids, lambda row: row["auction"] % 123 == 0)


def _q12(bids: Any) -> Any:
    # Time passes with the rows alone: the clock of the machine would make rows late while others are computed.
    clock: Any = EventClock(
        lambda row: row["date_time"].replace(tzinfo=UTC),
        timedelta(),
        now_getter=lambda: _BEGIN,
        to_system_utc=lambda time: None,
    )
    windower = TumblingWindower(_WINDOW, _BEGIN)
    counts = count_window("count", bids, clock, windower, lambda row: str(row["bidder"]))
    return steps.map("row", counts.down, _count)


def _count(found: tuple[str, tuple[int, int]]) -> Row:
    bidder, (window, count) = found
    start = _BEGIN + window * _WINDOW
    return {"bidder": int(bidder), "bid_count": count, "starttime": start, "endtime": start + _WINDOW}


_TIME = pa.timestamp("us")
_BID = {
    "auction": pa.int64(),
    "bidder": pa.int64(),
    "price": pa.float64(),
    "date_time": _TIME,
    "extra": pa.string(),
}
_COUNTS = {"bidder": pa.int64(), "bid_count": pa.int64(), "starttime": _TIME, "endtime": _TIME}

QUERIES: dict[str, Query] = {
    "q1": Query(tuple(_BID), _q1, pa.schema(_BID)),
    "q2": Query(("auction", "price"), _q2, pa.schema({"auction": pa.int64(), "price": pa.int64()})),
    "q12": Query(("bidder", "date_time"), _q12, pa.schema(_COUNTS)),
}
"""The queries by name."""
