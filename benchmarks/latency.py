"""How long one record takes from source to sink: in a busy stream, and after a silence.

After a silence the caches are cold and the processor dozes, which slows the two kernels alone as much as
the engine; and a timer is late by what the machine and the event loop do to anybody. All of that is
measured in turn, in the same loop, so that the engine's own part can be told from the machine's.
"""

from __future__ import annotations

import asyncio
import gc
import time
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa

from arrowstream import Pipeline, Receiver, Sender, Sink, Source, channel
from benchmarks.data import by_arrow, record, steps
from benchmarks.harness import Figure, Scale, Section, percentile

_BLOCKS = {"full": 50, "quick": 10, "tiny": 2}
_BLOCK = {"full": 100, "quick": 100, "tiny": 2}
_SILENCE = 0.001


@dataclass(frozen=True, slots=True)
class Samples:
    """Microseconds, a list for each thing measured."""

    busy: list[float] = field(default_factory=list)
    busy_kernels: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    timer: list[float] = field(default_factory=list)
    late_kernels: list[float] = field(default_factory=list)


class Probe:
    """A running pipeline that one record at a time is sent through."""

    def __init__(self) -> None:
        self._sender: Sender[pa.RecordBatch]
        receiver: Receiver[pa.RecordBatch]
        self._sender, receiver = channel()
        self._arrived = asyncio.Event()
        self._arrived_ns = 0
        self._record = record(1)
        source = Source.from_channel(receiver, schema={"x": pl.Int64, "y": pl.Float64})
        pipeline = steps(Pipeline.builder().source(source)).sink(Sink.to_fn(self._arrive)).build()
        self._running = asyncio.create_task(pipeline.run())

    def _arrive(self, batch: pa.RecordBatch) -> None:
        self._arrived_ns = time.perf_counter_ns()
        self._arrived.set()

    async def send(self) -> float:
        """Send a record and give the microseconds until the sink had it."""
        sent_ns = time.perf_counter_ns()
        self._sender.send_nowait(self._record)
        await self._arrived.wait()
        self._arrived.clear()
        return (self._arrived_ns - sent_ns) / 1e3

    def kernels(self) -> float:
        """The microseconds that the two kernels take alone."""
        begin_ns = time.perf_counter_ns()
        by_arrow(self._record)
        return (time.perf_counter_ns() - begin_ns) / 1e3

    async def end(self) -> None:
        self._sender.close()
        await self._running


def run(scale: Scale) -> Section:
    """p50 and p99 of each, in microseconds."""
    samples = asyncio.run(_measure(_BLOCKS[scale], _BLOCK[scale]))
    timer = percentile(samples.timer, 99)
    limit = max(100.0, timer + 70)
    allowed = "budget: 100 us, or the timer's p99 + 70 us"
    return Section(
        "Latency of one record, source to sink (map + filter)",
        (
            Figure("busy stream, p50", percentile(samples.busy, 50), "us", at_most=40),
            Figure("busy stream, p99", percentile(samples.busy, 99), "us", at_most=limit, note=allowed),
            Figure("... the two kernels alone, p50", percentile(samples.busy_kernels, 50), "us"),
            Figure("after 1 ms of silence, p50", percentile(samples.late, 50), "us"),
            Figure(
                "after 1 ms of silence, p99", percentile(samples.late, 99), "us", at_most=limit, note=allowed
            ),
            Figure("... the two kernels alone, p50", percentile(samples.late_kernels, 50), "us"),
            Figure("... the two kernels alone, p99", percentile(samples.late_kernels, 99), "us"),
            Figure("... a bare asyncio timer is late by, p50", percentile(samples.timer, 50), "us"),
            Figure("... a bare asyncio timer is late by, p99", timer, "us"),
        ),
    )


async def _measure(blocks: int, block: int) -> Samples:
    probe, samples = Probe(), Samples()
    for _ in range(block):
        await probe.send()
    gc.collect()
    for _ in range(blocks):
        for _ in range(block):
            samples.busy.append(await probe.send())
            samples.busy_kernels.append(probe.kernels())
        for _ in range(block):
            samples.timer.append(await _silence())
            samples.late.append(await probe.send())
            await _silence()
            samples.late_kernels.append(probe.kernels())
    await probe.end()
    return samples


async def _silence() -> float:
    """Sleep, and give the microseconds by which the timer was late."""
    begin_ns = time.perf_counter_ns()
    await asyncio.sleep(_SILENCE)
    return (time.perf_counter_ns() - begin_ns) / 1e3 - _SILENCE * 1e6
