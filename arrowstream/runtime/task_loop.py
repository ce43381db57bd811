"""The loops of one task: read an element, run the stage, send the result."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from arrowstream.core.batch import Barrier, Batch, Element, Mark
from arrowstream.core.channel import Receiver, Sender, channel
from arrowstream.core.clock import Clock
from arrowstream.core.failures import FAILURES
from arrowstream.runtime.failure.cleanup import despite
from arrowstream.runtime.failure.timeout import end_tasks
from arrowstream.runtime.flow.port_queue import PortQueue
from arrowstream.runtime.flow.ports import InputPort, OutputPort
from arrowstream.runtime.inputs_stage import RunningInputs
from arrowstream.runtime.operator_stage import RunningAsync, RunningTimed
from arrowstream.runtime.stage import RunningStage, emit_all
from arrowstream.runtime.task_group import task_group

TURN_SECONDS = 0.005
"""Seconds for which a task runs without waiting before the loop's other tasks get a turn.

A task between a source and a sink in memory never waits: `stop`, timers and other tasks on the loop would starve.
"""


async def run_task(source: InputPort, stage: RunningStage | None, output: OutputPort, clock: Clock) -> None:
    """Move elements from `source` through `stage` to `output` until the stream ends, then end `output`.

    Marks keep their place among the batches. Batches without rows are not passed on. After a failure, `output` is
    not ended: the next task must never take a failure for the end of the stream.

    Parameters
    ----------
    source
        The input.
    stage
        The stage; None to pass elements on as they are.
    output
        The output.
    clock
        The run's monotonic clock, for stages with deadlines.
    """
    if stage is None:
        await _pass_on(source, output)
        await output.end()
    elif isinstance(stage, RunningTimed):
        await _run_stage(stage, lambda: _drive_timed(source, stage, output, clock), output)
    elif isinstance(stage, RunningAsync) and stage.concurrency > 1:
        await _run_stage(stage, lambda: _drive_concurrent(source, stage, output), output)
    else:
        await _run_stage(stage, lambda: _drive(source, stage, output), output)


async def run_inputs(source: PortQueue, stage: RunningInputs, output: OutputPort) -> None:
    """Move elements through a stage with several inputs, as `run_task` does for one input."""
    await _run_stage(stage, lambda: _drive_inputs(source, stage, output), output)


async def _run_stage(stage: RunningStage, drive: Callable[[], Awaitable[None]], output: OutputPort) -> None:
    try:
        await stage.open()
        await drive()
        await stage.end(output)
    except FAILURES as failure:
        await despite(failure, [stage.close])
        raise
    except BaseException:
        await stage.close()
        raise
    await stage.close()
    await output.end()


async def _drive_inputs(source: PortQueue, stage: RunningInputs, output: OutputPort) -> None:
    turns = _Turns()
    while (item := await source.receive()) is not None:
        await stage.take(item, output)
        await turns.yield_if_due()


async def _pass_on(source: InputPort, output: OutputPort) -> None:
    turns = _Turns()
    while (element := await source.receive()) is not None:
        await output.send(element)
        await turns.yield_if_due()


async def _drive(source: InputPort, stage: RunningStage, output: OutputPort) -> None:
    # One coroutine for all batches: receive, process and send make others only where something waits.
    turns = _Turns()
    while True:
        element = source.begin_receive()
        if not isinstance(element, Batch) and isinstance(element, Awaitable):
            stage.counters.on_waiting()
            if output.counters is not None:
                output.counters.on_waiting()
            element = await element
        if isinstance(element, Batch):
            out = stage.begin_process(element)
            if not isinstance(out, Batch):
                await emit_all(await out, output)
            elif out.num_rows and (rest := output.begin_send(out)) is not None:
                await rest
            del out  # the next batch can have its memory, which is still in the processor's caches
        elif element is not None:
            await stage.pass_mark(element, output)
        else:
            return
        if turns.are_over():
            await turns.start()


async def _drive_timed(source: InputPort, stage: RunningTimed, output: OutputPort, clock: Clock) -> None:
    """Drive a stage that also emits at deadlines, and that may refuse input for a while."""
    reading: asyncio.Task[Element | None] | None = None
    try:
        while True:
            if stage.accepts_input and reading is None:
                reading = asyncio.ensure_future(source.receive())
                stage.on_waiting()
            deadline = None if stage.halted else stage.deadline_ns
            await _wait_until(deadline, reading if stage.accepts_input else None, clock)
            if deadline is not None and clock.now_ns() >= deadline:
                await stage.on_timer(output)
                if reading is not None and not reading.done():
                    stage.on_waiting()
            if stage.accepts_input and reading is not None and reading.done():
                element, reading = reading.result(), None
                if element is None:
                    return
                await _through(element, stage, output)
    finally:
        if reading is not None:
            await end_tasks(reading)


async def _wait_until(deadline_ns: int | None, reading: asyncio.Task[Any] | None, clock: Clock) -> None:
    """Wait for the deadline or the next element, whichever comes first; either may be None."""
    alarm = None
    if deadline_ns is not None:
        alarm = asyncio.ensure_future(clock.sleep(max(deadline_ns - clock.now_ns(), 0) / 1e9))
    try:
        tasks = [task for task in (reading, alarm) if task is not None]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if alarm is not None:
            await end_tasks(alarm)


async def _through(element: Element, stage: RunningStage, output: OutputPort) -> None:
    """Give an element to a stage and send the result to `output`."""
    if isinstance(element, Batch):
        await emit_all(await stage.process(element), output)
    else:
        await stage.pass_mark(element, output)


async def _drive_concurrent(source: InputPort, stage: RunningAsync, output: OutputPort) -> None:
    """Drive a stage that works on several batches at a time; results go out in the order of the batches.

    At a barrier no batch is begun before all earlier ones are done and the state is saved.
    """
    free = asyncio.Semaphore(stage.concurrency)
    sender: Sender[Mark | asyncio.Task[Iterable[Element]]]
    receiver: Receiver[Mark | asyncio.Task[Iterable[Element]]]
    sender, receiver = channel(stage.concurrency)
    passed = asyncio.Event()

    async def process(batch: Batch) -> Iterable[Element]:
        try:
            return await stage.process(batch)
        finally:
            free.release()

    async def begin() -> None:
        while (element := await source.receive()) is not None:
            if isinstance(element, Batch):
                await free.acquire()
                await sender.send(group.create_task(process(element)))
            else:
                await sender.send(element)
            if isinstance(element, Barrier):
                await passed.wait()
                passed.clear()
        sender.close()

    async with task_group() as group:
        group.create_task(begin())
        async for item in receiver:
            if isinstance(item, asyncio.Task):
                await emit_all(await item, output)
            else:
                await stage.pass_mark(item, output)
                if isinstance(item, Barrier):
                    passed.set()


class _Turns:
    """The turns of a task, which yields to the loop's other tasks every `TURN_SECONDS`."""

    __slots__ = ("_ends", "_time")

    def __init__(self) -> None:
        self._time = asyncio.get_running_loop().time
        self._ends = self._time() + TURN_SECONDS

    def are_over(self) -> bool:
        """Return whether the loop's other tasks are due."""
        return self._time() >= self._ends

    async def start(self) -> None:
        """Start another turn, after those of other tasks."""
        await asyncio.sleep(0)
        self._ends = self._time() + TURN_SECONDS

    async def yield_if_due(self) -> None:
        if self.are_over():
            await self.start()
