"""Tasks for the stages of a plan, and channels between them.

A source that does not block shares a task with the stage after it, and a sink that does not block
with the stage before it: passing a batch between tasks costs some 10 us, which only pays where the
two sides can really work at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from arrowstream.core.batch import Batch, Element
from arrowstream.core.channel import Receiver, Sender, channel
from arrowstream.core.clock import Clock
from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.metrics.counters import Queue, StageCounters
from arrowstream.plan.physical import (
    BranchPlan,
    Input,
    OperatorStage,
    Outlet,
    Route,
    SegmentStage,
    SplitStage,
    Stage,
    UnionStage,
)
from arrowstream.runtime.apply_policies import govern
from arrowstream.runtime.failure.stage_error import FAILURES, stage_error
from arrowstream.runtime.merge import Merge
from arrowstream.runtime.operator_stage import start_operator
from arrowstream.runtime.ports import Feed, Goal, Room, close, nothing, receive
from arrowstream.runtime.running_sink import RunningSink
from arrowstream.runtime.running_source import RunningSource
from arrowstream.runtime.sinks import BestEffortQueue, RunningSinks
from arrowstream.runtime.stage import Emit, RunningSegment, RunningStage
from arrowstream.runtime.task_loop import End, Read, run_section
from arrowstream.runtime.threads import Threads


class Wiring:
    """The running form of a plan, made before its tasks are started.

    Parameters
    ----------
    outlets
        The sinks of the run.
    open_source, open_end
        Open a further source, and a sink at an end.
    room
        What may wait between two stages.
    memory
        The budget for the state of all steps.
    """

    def __init__(
        self,
        clock: Clock,
        threads: Threads,
        outlets: RunningSinks,
        open_source: Callable[[str, Input], RunningSource],
        open_end: Callable[[Outlet], RunningSink],
        room: Room,
        memory: MemoryBudget,
    ) -> None:
        self._clock = clock
        self._threads = threads
        self._outlets = outlets
        self._open_source = open_source
        self._open_end = open_end
        self._room = room
        self._memory = memory
        self.stages: list[RunningStage] = []
        self.queues: list[Queue] = []
        self._tasks: list[tuple[str, Callable[[], Awaitable[None]]]] = []
        self._started: list[asyncio.Task[None]] = []

    def start(self, group: asyncio.TaskGroup) -> None:
        """Start every task."""
        self._started = [group.create_task(_run(work), name=name) for name, work in self._tasks]

    def cancel(self) -> None:
        """End every task as it is: nobody wants what is still under way."""
        for task in self._started:
            task.cancel()

    def line(self, feed: Feed, stages: Sequence[Stage], goal: Goal | None) -> None:
        """Everything from `feed` to `goal`; None if a split at the end leads to sinks."""
        part: list[RunningStage] = []
        for number, stage in enumerate(stages):
            if isinstance(stage, SegmentStage | OperatorStage):
                part.append(self._start(stage))
                continue
            # What comes before a split or a union ends there, in a task that hands its elements on.
            rest = stages[number + 1 :]
            meet = self._meeting(feed, part, stage)
            if meet is not None:
                self.line(meet, rest, goal)
            return
        assert goal is not None
        self._tasks_of(feed, part, goal)

    def goal(self, outlet: Outlet) -> Goal:
        """The way into a sink at an end, which is opened."""
        sink = self._sink(outlet)
        return Goal(sink.write, nothing, sink.blocking, sink.tally)

    def _sink(self, outlet: Outlet) -> RunningSink:
        sink = self._open_end(outlet)
        govern(sink, outlet.policies, outlet.schema, self._clock, self._outlets)
        return sink

    def _start(self, stage: SegmentStage | OperatorStage) -> RunningStage:
        running: RunningStage
        if isinstance(stage, SegmentStage):
            running = RunningSegment(stage, self._clock, self._threads)
        else:
            late = stage.policies.late
            write = None
            if late is not None:
                outlet = Outlet(f"late rows of {stage.name}", late, stage.schema)
                write = self._outlets.side_output(outlet).write
            running = start_operator(stage, self._clock, self._threads, self._memory, write)
        schema = stage.segment.schema if isinstance(stage, SegmentStage) else stage.schema
        govern(running, stage.policies, schema, self._clock, self._outlets)
        self.stages.append(running)
        return running

    def _tasks_of(self, feed: Feed, stages: Sequence[RunningStage], goal: Goal) -> None:
        """A task for each stage; an end that does not block shares its neighbour's."""
        read, blocks = feed.read, feed.blocks
        if feed.queue is not None:
            self._count(feed.queue, stages[0].tally if stages else goal.counters)
        sections: list[RunningStage | None] = list(stages)
        if blocks or not sections or stages[0].room is not None:
            sections.insert(0, None)
        if goal.blocks and (blocks or stages):
            sections.append(None)
        *before, last = sections
        for stage, after in zip(before, sections[1:], strict=True):
            room = after.room if after is not None else None
            sender, receiver = self._channel(room)
            self._count(receiver.statistics, after.tally if after is not None else goal.counters)
            self._task(read, stage, sender.send, partial(close, sender))
            read = partial(receive, receiver)
        self._task(read, last, goal.emit, goal.end)

    def _channel(self, room: int | None = None) -> tuple[Sender[Element], Receiver[Element]]:
        return channel(room or self._room.batches, nbytes=self._room.nbytes)

    def _count(self, queue: Queue, before: StageCounters | None) -> None:
        """Let what waits in a channel be seen: in all, and before the stage or sink that takes it."""
        self.queues.append(queue)
        if before is not None:
            before.queues.append(queue)

    def _task(self, read: Read, stage: RunningStage | None, emit: Emit, end: End) -> None:
        name = stage.tally.name if stage is not None else "end"
        self._tasks.append((name, lambda: run_section(read, stage, emit, end, self._clock)))

    def _meeting(
        self, feed: Feed, before: Sequence[RunningStage], stage: SplitStage | UnionStage
    ) -> Feed | None:
        """What goes on after several ways or inputs; None if nothing does."""
        if isinstance(stage, SplitStage):
            return self._split(feed, before, stage)
        return self._union(feed, before, stage)

    def _split(self, feed: Feed, before: Sequence[RunningStage], stage: SplitStage) -> Feed | None:
        """The branches of a split, each with a line of its own; gives what comes out where they meet."""
        on = [branch for branch in stage.branches if not branch.ended]
        merge, meet = self._merge(len(on)) if on else (None, None)
        ways: dict[str, tuple[Emit, End]] = {}
        for branch in stage.branches:
            goal = None
            if not branch.ended:
                assert merge is not None
                number = on.index(branch)
                goal = Goal(partial(merge.send, number), partial(merge.end, number), False)
            ways[branch.name] = self._branch(branch, goal)
        emit = (
            partial(_broadcast, ways)
            if stage.route is None
            else partial(_route, stage.name, stage.route, ways)
        )
        self._tasks_of(feed, before, Goal(emit, partial(_end_all, ways), False))
        return meet

    def _branch(self, branch: BranchPlan, goal: Goal | None) -> tuple[Emit, End]:
        if branch.outlet is not None and (spare := branch.outlet.sink.spare) is not None:
            sink = self._sink(branch.outlet)
            way = BestEffortQueue(sink, spare)
            goal = Goal(way.write, nothing, sink.blocking, sink.tally)
            self.line(Feed(way.read, queue=way.queue), branch.stages, goal)
            return way.offer, way.end
        sender, receiver = self._channel()
        if branch.outlet is not None:
            goal = self.goal(branch.outlet)
        self.line(Feed.of(receiver), branch.stages, goal)
        return sender.send, partial(close, sender)

    def _union(self, feed: Feed, before: Sequence[RunningStage], stage: UnionStage) -> Feed:
        """This stream and others, each with a line of its own, and where they meet."""
        merge, meet = self._merge(1 + len(stage.inputs))
        self._tasks_of(feed, before, Goal(partial(merge.send, 0), partial(merge.end, 0), False))
        for number, (start, stages) in enumerate(stage.inputs, 1):
            source = self._open_source(start.name, start)
            goal = Goal(partial(merge.send, number), partial(merge.end, number), False)
            self.line(Feed(source.read, source.blocking), stages, goal)
        return meet

    def _merge(self, inputs: int) -> tuple[Merge, Feed]:
        sender, receiver = self._channel()
        return Merge(inputs, sender), Feed.of(receiver)


async def _run(work: Callable[[], Awaitable[None]]) -> None:
    await work()


async def _broadcast(ways: dict[str, tuple[Emit, End]], element: Element) -> None:
    for emit, _ in ways.values():
        await emit(element)


async def _route(name: str, route: Route, ways: dict[str, tuple[Emit, End]], element: Element) -> None:
    if not isinstance(element, Batch):
        await _broadcast(ways, element)
        return
    try:
        parts = route(element)
    except FAILURES as error:
        raise stage_error(name, element, error) from error
    for way, part in parts:
        await ways[way][0](part)


async def _end_all(ways: dict[str, tuple[Emit, End]]) -> None:
    for _, end in ways.values():
        await end()
