"""The stage of a segment that a backend with its own memory can run: transfers are timed apart from the work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

from arrowstream.backends.base import DeviceEvaluator, Evaluator
from arrowstream.core.batch import Batch
from arrowstream.core.clock import Clock
from arrowstream.core.failures import FAILURES
from arrowstream.core.rows.forms import FORMS
from arrowstream.core.waiting import until_done
from arrowstream.plan.physical import SegmentStage
from arrowstream.plan.placement.choice import Choice
from arrowstream.plan.placement.device_choice import DevicePlacement
from arrowstream.plan.placement.path import HOST, Held
from arrowstream.plan.placement.transfer import TransferEdge
from arrowstream.runtime.call_times import INLINE_NS
from arrowstream.runtime.flow.joining import JoiningInput
from arrowstream.runtime.flow.ports import ChannelInput, InputPort
from arrowstream.runtime.stage import RunningSegment
from arrowstream.runtime.threads import Threads

_WAITING_BATCHES = 32
"""Queue capacity, in batches, before a stage whose device gains by joining them. The limit in bytes holds as well."""


class Transfer(NamedTuple):
    """The nanoseconds and the bytes of a transfer; zeros if none was needed or it failed."""

    ns: int = 0
    nbytes: int = 0


_NONE = Transfer()


class Evaluated(NamedTuple):
    """The result for a batch, the backend that computed it, and the work with the transfers before and after it."""

    batch: Batch
    backend: str
    arrival: Transfer
    work_ns: int
    leaving: Transfer


class RunningDeviceSegment(RunningSegment):
    """Fused expressions, in host memory or on a device, as the choice over paths says for each batch.

    Parameters
    ----------
    stage
        The stage.
    placement
        Its placement.
    clock
        The run's monotonic clock.
    threads
        The threads of the run.
    """

    __slots__ = ("_input", "_placement")

    def __init__(
        self, stage: SegmentStage, placement: DevicePlacement, clock: Clock, threads: Threads
    ) -> None:
        super().__init__(stage, clock, threads)
        self._placement = placement
        self._input: JoiningInput | None = None

    @property
    def queue_capacity(self) -> int | None:
        return _WAITING_BATCHES if self._placement.joins_up_to() else None

    def joining(self, source: InputPort) -> InputPort:
        """Return the input of the stage, which joins small batches if it is a channel."""
        if not isinstance(source, ChannelInput):
            return source
        self._input = JoiningInput(source, self._placement)
        return self._input

    def _begin(self, batch: Batch) -> Batch | Awaitable[Batch]:
        held = self._placement.link.entrance.memories(batch)
        if held is HOST and batch.num_rows < self._placement.device_from:
            return super()._begin(batch)
        choice = self._placement.choose(batch.num_rows, held)
        work = partial(self._evaluated, batch, choice.backend)
        # A device does one thing after the other, also for other stages: its work may have to wait for theirs.
        waits = None not in held or self._placement.link.memories[choice.backend] is not None
        if waits or choice.predicted_us * 1000 >= INLINE_NS:
            return self._away(batch, held, choice, work)
        begin = self._now_ns()
        try:
            done = work()
        except FAILURES as error:
            return self._raise_named(batch, error)
        return self._learn(batch, held, choice, done, self._now_ns() - begin)

    async def _away(self, batch: Batch, held: Held, choice: Choice, work: Callable[[], Evaluated]) -> Batch:
        begin = self._now_ns()
        coming = self._bring_next(choice.backend)
        try:
            done = await self._threads.call(work)
        except FAILURES as error:
            return await self._raise_named(batch, error)
        finally:
            if coming is not None:
                await until_done([coming])
                coming.exception()  # marks it as retrieved: what is wrong shows when the batch is computed
        return self._learn(batch, held, choice, done, self._now_ns() - begin)

    def _bring_next(self, backend: str) -> asyncio.Future[int] | None:
        """Begin to bring the batch that waits next to the device that computes this one; None if none does."""
        evaluate = self._stage.evaluators[backend]
        if self._input is None or not isinstance(evaluate, DeviceEvaluator):
            return None
        following = self._input.whole()
        return None if following is None else self._threads.begin(evaluate.bring, following)

    def _evaluated(self, batch: Batch, backend: str) -> Evaluated:
        """Bring a batch to where a backend computes, run it, and bring the result back if the stage is the last."""
        placement, evaluate = self._placement, self._stage.evaluators[backend]
        # So that other branches of a split, which may wait with the same batch, keep no memory of the device.
        batch = batch.apart()
        form = placement.link.memories[backend]
        if form is None:
            arrival = self._returned(batch, placement.link.entrance)
        else:
            arrival = self._brought(batch, form, evaluate)
        left = evaluate.left_to_host if isinstance(evaluate, DeviceEvaluator) else 0
        begin = self._now_ns()
        result = evaluate(batch)
        work_ns = self._now_ns() - begin
        computed = evaluate.left_to_host if isinstance(evaluate, DeviceEvaluator) else 0
        leaving = self._returned(result, placement.link.exit) if placement.link.brings_back else _NONE
        if leaving is not _NONE:
            # Without the device's form, so that its memory is free whoever keeps the batch.
            result = result.with_rows(result.arrow())
        if isinstance(evaluate, DeviceEvaluator):
            if evaluate.left_to_host != computed:  # the device failed only now: that was no transfer
                leaving = _NONE
            if (
                2 * (evaluate.left_to_host - left) > batch.num_rows
            ):  # of halves, some may have been computed there
                backend = evaluate.host
        return Evaluated(result, backend, arrival, work_ns, leaving)

    def _brought(self, batch: Batch, form: str, evaluate: Evaluator) -> Transfer:
        """Bring a batch to a device, for an evaluator there; return what that took, if its rows were not there."""
        if batch.has(form):
            return _NONE
        begin = self._now_ns()
        if isinstance(evaluate, DeviceEvaluator):
            brought = evaluate.bring(batch)
            return Transfer(self._now_ns() - begin, brought) if brought else _NONE
        try:
            rows = batch.form(form)
        except MemoryError:  # the evaluator is called all the same: it may divide the batch
            return _NONE
        taken_ns = self._now_ns() - begin
        return Transfer(taken_ns, FORMS[form].nbytes(rows))

    def _returned(self, batch: Batch, edge: TransferEdge) -> Transfer:
        """Bring a batch to host memory; return what that took, if it was not there."""
        if None in edge.memories(batch):
            return _NONE
        begin = self._now_ns()
        batch.arrow()
        taken_ns = self._now_ns() - begin
        return Transfer(taken_ns, int(batch.arrow().select(list(edge.returned)).nbytes))

    def _learn(self, batch: Batch, held: Held, choice: Choice, done: Evaluated, latency_ns: int) -> Batch:
        """Count a batch, and learn what its parts took; return the result."""
        placement, rows, result = self._placement, batch.num_rows, done.batch
        (arrival_ns, arrived), (leaving_ns, left) = done.arrival, done.leaving
        placement.observe(choice, rows, done.work_ns / 1e9)
        placement.link.observe_kept(rows, result.num_rows)
        if done.arrival is not _NONE:
            placement.observe_arrival(choice, held, rows, arrived, arrival_ns / 1e9)
        if done.leaving is not _NONE:
            placement.observe_leaving(choice, result.num_rows, left, leaving_ns / 1e9)
        busy_ns = arrival_ns + done.work_ns + leaving_ns
        self.counters.record_batch(done.backend, rows, busy_ns, latency_ns)
        return result
