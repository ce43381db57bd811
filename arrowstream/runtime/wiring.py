"""The tasks for the stages of a plan, and the channels between them.

A source that does not block shares a task with the stage after it, and a sink that does not block
with the stage before it: passing a batch between tasks costs some 10 us, which pays only if the
two sides can work at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeAlias

import polars as pl

from arrowstream.metrics.counters import Queue, StageCounters
from arrowstream.plan.physical import (
    Input,
    InputsStage,
    Line,
    OperatorStage,
    Plan,
    SegmentStage,
    SinkBinding,
    SplitStage,
    Stage,
)
from arrowstream.plan.placement.device_choice import DevicePlacement
from arrowstream.runtime.apply_policies import govern
from arrowstream.runtime.device_stage import RunningDeviceSegment
from arrowstream.runtime.endpoints.sink import RunningSink
from arrowstream.runtime.endpoints.sinks import RunningSinks
from arrowstream.runtime.endpoints.source import RunningSource
from arrowstream.runtime.failure.stage_error import stage_error
from arrowstream.runtime.flow.best_effort import BestEffortQueue, BestEffortSink
from arrowstream.runtime.flow.merge import RunningMerge
from arrowstream.runtime.flow.port_queue import PortQueue
from arrowstream.runtime.flow.ports import Broadcast, ChannelLimits, InputPort, OutputPort
from arrowstream.runtime.flow.router import RunningRouter
from arrowstream.runtime.inputs_stage import RunningInputs
from arrowstream.runtime.operator_stage import RunningAsync, start_operator
from arrowstream.runtime.resources import Resources
from arrowstream.runtime.stage import RunningSegment, RunningStage
from arrowstream.runtime.task_group import Tasks, task_group
from arrowstream.runtime.task_loop import run_inputs, run_task


class Wiring:
    """The running form of a plan, made before its tasks are started.

    Parameters
    ----------
    resources
        The resources of the run.
    sinks
        The sinks of the run.
    open_source
        Opens the source of another input.
    open_sink
        Opens a sink at an end, given the exit that it is a sink of: those of a fan-out are one exit.
    limits
        Capacity of the channel between two stages.
    """

    def __init__(
        self,
        resources: Resources,
        sinks: RunningSinks,
        open_source: Callable[[str, Input], Awaitable[RunningSource]],
        open_sink: Callable[[SinkBinding, object], RunningSink],
        limits: ChannelLimits,
    ) -> None:
        self._resources = resources
        self._sinks = sinks
        self._open_source = open_source
        self._open_sink = open_sink
        self._limits = limits
        self.stages: list[RunningStage | RunningRouter] = []
        self.queues: list[Queue] = []
        self._tasks: list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]] = []
        self._started: set[asyncio.Task[None]] = set()
        self._loads: Sequence[asyncio.Task[None]] = ()
        self._ending = False
        """True if a task has failed or the run has cancelled one, which ends the others."""

    async def load(self, *, needed: bool) -> None:
        """Load what stages need, such as tables of joins, at the same time; call it before a source is read.

        Parameters
        ----------
        needed
            True if rows have been read all the same: then `give_up_loads` does nothing.
        """
        stages = [stage for stage in self.stages if isinstance(stage, RunningAsync)]
        if not stages:
            return
        async with task_group() as group:
            loads = [group.create_task(stage.load(), name=stage.counters.name) for stage in stages]
            self._loads = () if needed else loads
        self._loads = ()

    def give_up_loads(self) -> None:
        """End `load` with what it has."""
        for load in self._loads:
            load.cancel()

    def start(self, group: Tasks, before: int) -> None:
        """Start every task.

        Parameters
        ----------
        group
            The group of the tasks.
        before
            Number of requests to cancel the task of the run before the run began: a later one is the run's, also if
            it has come in the step that starts the tasks, as that of Ctrl-C may.
        """
        runner = asyncio.current_task()
        assert runner is not None

        def is_ending() -> bool:
            return self._ending or runner.cancelling() > before

        for name, work in self._tasks:
            task = group.create_task(self._run(name, work, is_ending), name=name)
            self._started.add(task)
            task.add_done_callback(self._started.discard)
        self._tasks.clear()

    async def _run(
        self, name: str, work: Callable[[], Coroutine[Any, Any, None]], is_ending: Callable[[], bool]
    ) -> None:
        """Run a task's work; raise an error for a cancellation by other code than the run.

        The task group would take the task for ended, and the others would wait for it for ever.
        """
        try:
            await work()
        except BaseException as error:
            ours = is_ending()
            self._ending = True
            if ours or not isinstance(error, asyncio.CancelledError):
                raise
            raise stage_error(name, None, error) from error

    def cancel(self) -> None:
        """Cancel every task; call it once no sink takes more rows."""
        self._ending = True
        for task in list(self._started):
            task.cancel()

    async def wire(self, source: InputPort, plan: Plan) -> None:
        """Make the tasks and channels from the first source to the sinks."""
        if isinstance(source, RunningSource):
            self._bad_rows(source, plan.input)
        await self._line(source, plan.stages, None if plan.sink is None else self._sink(plan.sink, object()))

    async def _line(self, source: InputPort, stages: Sequence[Stage], output: OutputPort | None) -> None:
        """Wire the stages from `source` to `output`, which is None if the last stage leads to sinks."""
        started: list[RunningStage] = []
        for number, stage in enumerate(stages):
            if (start := _STARTS.get(type(stage))) is not None:
                started.append(start(self, stage))
                continue
            # A line ends at a stage with lines inside: the task of its last stage sends to those.
            after = await _JUNCTIONS[type(stage)](self, source, started, stage)
            if after is not None:
                await self._line(after, stages[number + 1 :], output)
            return
        assert output is not None
        self._tasks_of(source, started, output)

    def _bad_rows(self, source: RunningSource, start: Input) -> None:
        """Open the sink of rows that a source cannot read, if it has one."""
        if start.bad_rows is not None:
            source.bad_rows.port = self._sinks.shared_side_output(start.bad_rows)

    def _sink(self, binding: SinkBinding, exit_: object) -> RunningSink:
        sink = self._open_sink(binding, exit_)
        govern(
            sink,
            binding.policies,
            binding.schema,
            self._resources.clock,
            self._sinks,
            self._resources.threads,
        )
        return sink

    def _segment(self, stage: SegmentStage) -> RunningStage:
        placement, clock, threads = stage.placement, self._resources.clock, self._resources.threads
        if isinstance(placement, DevicePlacement):
            return self._governed(RunningDeviceSegment(stage, placement, clock, threads), stage)
        return self._governed(RunningSegment(stage, clock, threads), stage)

    def _operator(self, stage: OperatorStage) -> RunningStage:
        late = self._late_rows(stage, stage.schema)
        running = start_operator(stage, self._resources, None if late is None else late.send)
        running.sides += [] if late is None else [late]
        return self._governed(running, stage)

    def _late_rows(self, stage: OperatorStage | InputsStage, schema: pl.Schema) -> OutputPort | None:
        """Open the sink of late rows of a stage, if it has one."""
        if stage.policies.late is None:
            return None
        return self._sinks.side_output(SinkBinding(f"late rows of {stage.name}", stage.policies.late, schema))

    def _governed(self, running: RunningStage, stage: SegmentStage | OperatorStage) -> RunningStage:
        govern(
            running, stage.policies, stage.schema, self._resources.clock, self._sinks, self._resources.threads
        )
        self.stages.append(running)
        return running

    def _tasks_of(self, source: InputPort, stages: Sequence[RunningStage], output: OutputPort) -> None:
        """Add a task for each stage; a source or sink that does not block shares its neighbour's."""
        if source.queue is not None:
            self._count(source.queue, stages[0].counters if stages else output.counters)
        tasks: list[RunningStage | None] = list(stages)
        if source.blocking or not tasks or stages[0].queue_capacity is not None:
            tasks.insert(0, None)
        if output.blocking and (source.blocking or stages):
            tasks.append(None)
        *before, last = tasks
        for stage, after in zip(before, tasks[1:], strict=True):
            sender, receiver = self._limits.channel(None if after is None else after.queue_capacity)
            self._count(receiver.queue, output.counters if after is None else after.counters)
            self._task(source, stage, sender)
            source = receiver
        self._task(source, last, output)

    def _count(self, queue: Queue, before: StageCounters | None) -> None:
        """Add a queue to the counters of the run, and to those of the stage or sink that takes its elements."""
        self.queues.append(queue)
        if before is not None:
            before.queues.append(queue)

    def _task(self, source: InputPort, stage: RunningStage | None, output: OutputPort) -> None:
        name = stage.counters.name if stage is not None else "end"
        if isinstance(stage, RunningDeviceSegment):
            source = stage.joining(source)
        self._tasks.append((name, lambda: run_task(source, stage, output, self._resources.clock)))

    async def _split(
        self, source: InputPort, before: Sequence[RunningStage], stage: SplitStage
    ) -> InputPort | None:
        """Wire each branch of a split as a line; return the port where those that go on meet, or None."""
        going_on = [branch for branch in stage.branches if not branch.ended]
        sender, receiver = self._limits.channel()
        merge = RunningMerge(len(going_on), sender)
        place = len(self.stages)
        branches: dict[str, OutputPort] = {}
        fan_out = object() if stage.route is None else None
        for branch in stage.branches:
            after = None if branch.ended else merge.port(going_on.index(branch))
            branches[branch.name] = await self._branch(branch, after, fan_out or object())
        if stage.route is None:
            self._tasks_of(source, before, Broadcast(list(branches.values())))
        else:
            router = RunningRouter(stage.name, stage.route, branches, self._resources)
            self.stages.insert(place, router)
            self._tasks_of(source, before, router)
        return receiver if going_on else None

    async def _branch(self, branch: Line, after: OutputPort | None, exit_: object) -> OutputPort:
        if branch.sink is None:
            sender, receiver = self._limits.channel()
            await self._line(receiver, branch.stages, after)
            return sender
        sink = self._sink(branch.sink, exit_)
        if branch.sink.best_effort_capacity is None:
            sender, receiver = self._limits.channel()
            await self._line(receiver, branch.stages, sink)
            return sender
        queue = BestEffortQueue(sink.counters, branch.sink.best_effort_capacity)
        await self._line(queue, branch.stages, BestEffortSink(sink))
        return queue

    async def _inputs(
        self, source: InputPort, before: Sequence[RunningStage], stage: InputsStage
    ) -> InputPort:
        """Wire each other input as a line; return the port after the place where they meet this stream."""
        sender, receiver = self._limits.channel()
        count = 1 + len(stage.inputs)
        meeting = RunningMerge(count, sender) if stage.operator is None else self._ports(stage, sender)
        self._tasks_of(source, before, meeting.port(0))
        for number, line in enumerate(stage.inputs, 1):
            assert line.input is not None
            other = await self._open_source(line.input.name, line.input)
            self._bad_rows(other, line.input)
            await self._line(other, line.stages, meeting.port(number))
        return receiver

    def _ports(self, stage: InputsStage, output: OutputPort) -> PortQueue:
        """Add a task for an operator with several inputs; return the queue before it."""
        late = self._late_rows(stage, stage.late)
        running = RunningInputs(stage, self._resources, None if late is None else late.send)
        running.sides += [] if late is None else [late]
        ports = PortQueue(1 + len(stage.inputs), self._limits)
        self.stages.append(running)
        self._count(ports.queue, running.counters)
        self._tasks.append((stage.name, lambda: run_inputs(ports, running, output)))
        return ports


_Start: TypeAlias = Callable[[Wiring, Any], RunningStage]
_STARTS: dict[type, _Start] = {SegmentStage: Wiring._segment, OperatorStage: Wiring._operator}
"""The method that starts a stage with one input and one output, by the kind of stage."""

_Junction: TypeAlias = Callable[
    [Wiring, InputPort, Sequence[RunningStage], Any], Coroutine[Any, Any, InputPort | None]
]
_JUNCTIONS: dict[type, _Junction] = {SplitStage: Wiring._split, InputsStage: Wiring._inputs}
"""The method that wires a stage with lines inside, by the kind of stage; it returns the port after the stage."""
