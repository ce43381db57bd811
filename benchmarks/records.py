"""One record at a time, at a steady rate, next to other libraries: how long until the sink has it.

All of them run in turn in one process, on one thread that looks for the next record all the time. The pace and the
latencies are read from the thread's CPU clock, so that other work on the machine delays no record. A record's latency
counts from the moment at which it is due: records that pile up show.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import Any

import polars as pl
import pyarrow as pa

from arrowstream import Pipeline, Receiver, Sender, Sink, Source, channel
from benchmarks.data import DOUBLED, LARGE
from benchmarks.harness import ROUNDS, Figure, Scale, Section, percentile

_RATES = (1_000, 5_000)
_SECONDS = {"full": 1.0, "quick": 0.3, "tiny": 0.005}
_SCHEMA = {"x": pl.Int64, "y": pl.Float64}
_LIMIT = 1.2
_now_ns = time.thread_time_ns

Row = dict[str, Any]


class Paced:
    """Records that are due at a steady rate, and when each of them arrived."""

    def __init__(self, count: int, rate: int) -> None:
        self._count = count
        self._gap_ns = 1_000_000_000 // rate
        self._start_ns = 0
        self._next = 0
        self.micros: list[float] = []
        """The latency of each record, in microseconds."""

    def due(self) -> Row | None:
        """The next record if it is due; raises StopIteration after the last one."""
        number, now_ns = self._next, _now_ns()
        if number == self._count:
            raise StopIteration
        if not number:
            self._start_ns = now_ns
        if now_ns < self._start_ns + number * self._gap_ns:
            return None
        self._next += 1
        return _row(number)

    def rows(self) -> list[Row]:
        """Every record, before the first is due."""
        return [_row(number) for number in range(self._count)]

    async def send_all(self, send: Callable[[Row], Awaitable[object]]) -> None:
        """Send every record when it is due, and give the loop's other tasks their turns meanwhile."""
        while self._next < self._count:
            row = self.due()
            await (asyncio.sleep(0) if row is None else send(row))

    def arrived(self, number: float) -> None:
        """Called by the sink, with the `y` of the record."""
        self.micros.append((_now_ns() - self._start_ns - int(number) * self._gap_ns) / 1e3)


def _row(number: int) -> Row:
    return {"x": 51 + number % 40, "y": float(number)}


def doubled(row: Row) -> Row:
    """The map of the rivals."""
    return {**row, "x": row["x"] * 2}


def large(row: Row) -> bool:
    """The filter of the rivals."""
    return bool(row["x"] > 100)


async def arrowstream(paced: Paced, items: list[Any]) -> None:
    """A channel, two steps, a function; `items` are the records in the form in which they are sent."""
    sender: Sender[Any]
    receiver: Receiver[Any]
    sender, receiver = channel()

    def sink(batch: pa.RecordBatch) -> None:
        for number in batch.column(1).to_pylist():
            paced.arrived(number)

    steps = Pipeline.builder().source(Source.from_channel(receiver, schema=_SCHEMA))
    steps = steps.with_columns(x=DOUBLED).filter(LARGE)
    running = asyncio.create_task(steps.sink(Sink.to_fn(sink)).build().run())
    for _ in range(100):  # the pipeline opens its source
        await asyncio.sleep(0)
    await paced.send_all(lambda row: sender.send(items[int(row["y"])]))
    sender.close()
    await running


def as_record(row: Row) -> pa.RecordBatch:
    """A record batch of one row."""
    return pa.RecordBatch.from_pylist([row], schema=_RECORD_SCHEMA)


_RECORD_SCHEMA = pa.schema([("x", pa.int64()), ("y", pa.float64())])


async def queues(paced: Paced) -> None:
    """A task for each step, with asyncio queues between them."""
    first, second, third = (asyncio.Queue[Row | None]() for _ in range(3))

    async def step(source: asyncio.Queue[Row | None], work: Callable[[Row], Awaitable[None]]) -> None:
        while (row := await source.get()) is not None:
            await work(row)

    async def to_third(row: Row) -> None:
        if large(row):
            await third.put(row)

    async def sink(row: Row) -> None:
        paced.arrived(row["y"])

    works = ((first, lambda row: second.put(doubled(row))), (second, to_third), (third, sink))
    tasks = [asyncio.create_task(step(source, work)) for source, work in works]
    await paced.send_all(first.put)
    for (source, _), task in zip(works, tasks, strict=True):
        await source.put(None)
        await task


async def streamz(paced: Paced) -> None:
    """Callbacks of streamz, one calling the next."""
    from streamz import Stream

    stream = Stream(asynchronous=True)
    stream.map(doubled).filter(large).sink(lambda row: paced.arrived(row["y"]))
    await paced.send_all(stream.emit)


def bytewax(paced: Paced) -> None:
    """A Bytewax dataflow with one worker, whose source is asked for the next record all the time."""
    import bytewax.operators as steps
    from bytewax.dataflow import Dataflow
    from bytewax.inputs import DynamicSource, StatelessSourcePartition
    from bytewax.outputs import DynamicSink, StatelessSinkPartition
    from bytewax.testing import run_main

    class Partition(StatelessSourcePartition[Row]):
        def next_batch(self) -> list[Row]:
            row = paced.due()
            return [] if row is None else [row]

    class Rows(DynamicSource[Row]):
        def build(self, *_: object) -> Partition:
            return Partition()

    class Arrivals(StatelessSinkPartition[Row]):
        def write_batch(self, items: list[Row]) -> None:
            for row in items:
                paced.arrived(row["y"])

    class Out(DynamicSink[Row]):
        def build(self, *_: object) -> Arrivals:
            return Arrivals()

    flow = Dataflow("records")
    stream = steps.map("double", steps.input("in", flow, Rows()), doubled)
    steps.output("out", steps.filter("large", stream, large), Out())
    run_main(flow)


ENGINES: dict[str, Callable[[Paced], None]] = {
    "arrowstream, a dict": lambda paced: asyncio.run(arrowstream(paced, paced.rows())),
    "arrowstream, a record batch": lambda paced: asyncio.run(
        arrowstream(paced, [as_record(row) for row in paced.rows()])
    ),
    "bytewax": bytewax,
    "asyncio queues": lambda paced: asyncio.run(queues(paced)),
    "streamz": lambda paced: asyncio.run(streamz(paced)),
}


def run(scale: Scale) -> Section:
    """p50 and p99 of every engine at each rate; the budget is relative to Bytewax, if it is installed."""
    missing = [name for name in ("bytewax", "streamz") if find_spec(name) is None]
    engines = {name: run_one for name, run_one in ENGINES.items() if name not in missing}
    figures = []
    for rate in _RATES:
        micros = _measured(engines, rate, scale)
        for name, values in micros.items():
            for percent in (50, 99):
                budget = None
                if name.startswith("arrowstream") and "bytewax" in micros:
                    budget = _LIMIT * percentile(micros["bytewax"], percent)
                what = f"{rate:,} records/s, {name}, p{percent}"
                figures.append(Figure(what, percentile(values, percent), "us", at_most=budget))
    notes = [f"{name} is not installed: pip install 'arrowstream[bench]'" for name in missing]
    title = "One record at a time, next to other libraries (map + filter, CPU time of the thread)"
    return Section(title, tuple(figures), tuple(notes))


def _measured(engines: dict[str, Callable[[Paced], None]], rate: int, scale: Scale) -> dict[str, list[float]]:
    count = int(rate * _SECONDS[scale])
    micros: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(ROUNDS[scale]):
        for name, run_one in engines.items():
            gc.collect()
            paced = Paced(count, rate)
            run_one(paced)
            assert len(paced.micros) == count, f"{name} gave {len(paced.micros)} of {count} records"
            micros[name] += paced.micros
    return micros
