"""A stage while it runs: one batch in, batches out, timed and counted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

from arrowstream.core.batch import Batch, Element, Mark
from arrowstream.core.clock import Clock
from arrowstream.core.failures import FAILURES
from arrowstream.errors import ArrowstreamError
from arrowstream.metrics.counters import StageCounters
from arrowstream.plan.physical import SegmentStage
from arrowstream.runtime.call_times import INLINE_NS
from arrowstream.runtime.failure.stage_error import stage_error
from arrowstream.runtime.failure.timeout import Attempt
from arrowstream.runtime.flow.ports import OutputPort
from arrowstream.runtime.threads import Threads

_ROW_NS = 100
"""Assumed time for a row, in nanoseconds, when the steps of a failed segment are tried one by one."""


class RunningStage(ABC):
    """A stage of the plan with its counters."""

    __slots__ = ("_attempt", "_ingest_ns", "counters")

    def __init__(self, name: str) -> None:
        self._ingest_ns: int | None = None
        self.counters = StageCounters(name)
        self._attempt: Attempt = self.attempt

    @property
    def queue_capacity(self) -> int | None:
        """Input queue capacity this stage asks for, in batches; None for the default."""
        return None

    def govern(self, attempts: Callable[[Attempt], Attempt]) -> None:
        """Wrap each attempt in `attempts`, which decides how often and with which parts of a batch it is made."""
        self._attempt = attempts(self._attempt)

    async def process(self, batch: Batch) -> Iterable[Element]:
        """Process a batch under the stage's policies; return the batches and marks that come out."""
        out = await self._attempt(batch)
        counters = self.counters
        counters.rows_in += batch.num_rows
        self._ingest_ns = batch.ingest_ns
        self._count(out)
        return out

    def _count(self, out: Iterable[Element]) -> None:
        """Count output; new rows, such as a window's, get the ingest time of the batch that released them."""
        for element in out:
            if isinstance(element, Batch):
                self.counters.record_output(element)
                if element.ingest_ns is None:
                    element.ingest_ns = self._ingest_ns

    @abstractmethod
    async def attempt(self, batch: Batch) -> list[Element]:
        """Process a batch once; raise without any other effect if it fails."""

    async def open(self) -> None:
        """Prepare the stage, before the first batch."""
        return

    async def on_mark(self, mark: Mark, output: OutputPort) -> None:
        """Emit the elements that come out for a mark, with the mark itself."""
        self.counters.record_mark(mark)
        await output.send(mark)

    async def finish(self, output: OutputPort) -> None:
        """Emit the rows that the stage still holds when the stream ends."""
        return

    async def close(self) -> None:
        """Release the stage's resources; called last, also after a failure or a cancellation."""
        return


async def emit_all(out: Iterable[Element], output: OutputPort) -> None:
    """Send elements to `output`, without batches that have no rows."""
    for element in out:
        if not isinstance(element, Batch) or element.num_rows:
            await output.send(element)


class RunningSegment(RunningStage):
    """Fused expressions, each batch on the backend that their placement chooses."""

    __slots__ = ("_clock", "_stage", "_threads")

    def __init__(self, stage: SegmentStage, clock: Clock, threads: Threads) -> None:
        super().__init__(stage.name)
        self._stage = stage
        self._clock = clock
        self._threads = threads

    async def attempt(self, batch: Batch) -> list[Element]:
        stage, counters, clock = self._stage, self.counters, self._clock
        rows = batch.num_rows
        choice = stage.placement.choose(rows)
        evaluate = stage.evaluators[choice.backend]
        begin = clock.now_ns()
        try:
            if choice.predicted_us * 1000 < INLINE_NS:
                result = evaluate(batch)
            else:
                result = await self._threads.call(evaluate, batch)
        except FAILURES as error:
            counters.errors += 1
            raise await self._named(batch, error) from error
        taken = clock.now_ns() - begin
        stage.placement.observe(choice, rows, taken / 1e9)
        counters.record_batch(choice.backend, rows, taken, taken)
        return [result]

    async def _named(self, batch: Batch, error: BaseException) -> ArrowstreamError:
        if batch.num_rows * _ROW_NS < INLINE_NS:
            return _failure(self._stage, batch, error)
        return await self._threads.call(_failure, self._stage, batch, error)


def _failure(stage: SegmentStage, batch: Batch, error: BaseException) -> ArrowstreamError:
    """Return the error with the name of the failing step, found by running the steps one at a time."""
    name = stage.name
    if len(stage.segment.steps) > 1:
        frame = batch.polars()
        for step in stage.segment.steps:
            try:
                frame = step.apply(frame)
            except FAILURES:
                name = f"{stage.name}, in {step.describe()}"
                break
    return stage_error(name, batch, error)
