"""A stage while it runs: one batch in, batches out, timed and counted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Iterator

from arrowstream.backends.base import Evaluator
from arrowstream.core.batch import Barrier, Batch, Element, Mark
from arrowstream.core.clock import Clock
from arrowstream.core.failures import FAILURES
from arrowstream.errors import ArrowstreamError
from arrowstream.metrics.counters import StageCounters
from arrowstream.metrics.inner import RunsPipeline
from arrowstream.plan.physical import SegmentStage
from arrowstream.plan.placement.choice import Choice
from arrowstream.runtime.call_times import INLINE_NS
from arrowstream.runtime.failure.stage_error import ON_ERROR, stage_error
from arrowstream.runtime.failure.timeout import Attempt
from arrowstream.runtime.flow.ports import OutputPort
from arrowstream.runtime.threads import Threads, measured

_ROWS_AT_A_TIME = 65_536
"""Number of rows that a process makes at a mark or at the end before they are passed on."""

_ROW_NS = 100
"""Assumed time for a row, in nanoseconds, when the steps of a failed segment are tried one by one."""


class RunningStage(ABC):
    """A stage of the plan with its counters."""

    __slots__ = (
        "_attempt",
        "_governed",
        "_ingest_ns",
        "advice",
        "counters",
        "finished",
        "halted",
        "inner",
        "sides",
    )

    def __init__(self, name: str) -> None:
        self._ingest_ns: int | None = None
        self.counters = StageCounters(name)
        self._attempt: Attempt = self.attempt
        self._governed = False
        self.inner: RunsPipeline | None = None
        """What runs a pipeline of its own."""
        self.advice: str | None = None
        """The hint of an error that suggests none."""
        self.sides: list[OutputPort] = []
        """The ports of sinks for its late rows and dead letters, which get its barriers, too."""
        self.halted = False
        """True once the last barrier of a run has passed: nothing comes out any more, the next run goes on."""
        self.finished = False
        """True while an earlier run has finished the stage, and no row has come since."""

    @property
    def queue_capacity(self) -> int | None:
        """Input queue capacity this stage asks for, in batches; None for the default."""
        return None

    def govern(self, attempts: Callable[[Attempt], Attempt]) -> None:
        """Wrap each attempt in `attempts`, which decides how often and with which parts of a batch it is made."""
        self._attempt = attempts(self._attempt)
        self._governed = True

    async def process(self, batch: Batch) -> Iterable[Element]:
        """Process a batch under the stage's policies; return the batches and marks that come out."""
        out = await self._attempt(batch)
        counters = self.counters
        counters.rows_in += batch.num_rows
        self._ingest_ns = batch.ingest_ns
        self._count(out)
        return out

    def begin_process(self, batch: Batch) -> Batch | Awaitable[Iterable[Element]]:
        """Return the one batch that comes out if that needs no wait, else an awaitable of the result of `process`."""
        return self.process(batch)

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

    async def pass_mark(self, mark: Mark, output: OutputPort) -> None:
        """Emit what comes out for a mark, and pass barriers on to the side outputs."""
        await self.on_mark(mark, output)
        if isinstance(mark, Barrier):
            for side in self.sides:
                await side.send(mark)

    async def end(self, output: OutputPort) -> None:
        """Emit the rows that the stage still holds, unless the next run does, and end the side outputs."""
        if not self.halted and not self.finished:
            await self.finish(output)
        for side in self.sides:
            await side.end()

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


def begun(make: Callable[[], Iterable[Element]]) -> Iterator[Element]:
    """Yield the elements that `make` returns; it is called when the first one is read."""
    yield from make()


def some_of(made: Iterator[Element]) -> tuple[list[Element], bool]:
    """Return the next elements, of about `_ROWS_AT_A_TIME` rows, and True if more may follow."""
    out: list[Element] = []
    rows = 0
    for element in made:
        out.append(element)
        rows += element.num_rows if isinstance(element, Batch) else 0
        if rows >= _ROWS_AT_A_TIME:
            return out, True
    return out, False


class RunningSegment(RunningStage):
    """Fused expressions, each batch on the backend that their placement chooses."""

    __slots__ = ("_now_ns", "_stage", "_threads")

    def __init__(self, stage: SegmentStage, clock: Clock, threads: Threads) -> None:
        super().__init__(stage.name)
        self._stage = stage
        self._now_ns = clock.now_ns
        self._threads = threads

    def begin_process(self, batch: Batch) -> Batch | Awaitable[Iterable[Element]]:
        if self._governed:
            return self.process(batch)
        result = self._begin(batch)
        if not isinstance(result, Batch):
            return self._end_process(batch, result)
        counters = self.counters
        counters.rows_in += batch.num_rows
        counters.record_output(result)
        return result

    async def _end_process(self, batch: Batch, rest: Awaitable[Batch]) -> list[Element]:
        out = await rest
        self.counters.rows_in += batch.num_rows
        self.counters.record_output(out)
        return [out]

    async def attempt(self, batch: Batch) -> list[Element]:
        result = self._begin(batch)
        return [result if isinstance(result, Batch) else await result]

    def _begin(self, batch: Batch) -> Batch | Awaitable[Batch]:
        """Return the result for a batch, or an awaitable of it if it is computed on a worker thread."""
        stage, rows = self._stage, batch.num_rows
        choice = stage.placement.choose(rows)
        evaluate = stage.evaluators[choice.backend]
        if choice.predicted_us * 1000 >= INLINE_NS:
            return self._on_thread(batch, choice, evaluate)
        begin = self._now_ns()
        try:
            result = evaluate(batch)
        except FAILURES as error:
            return self._raise_named(batch, error)
        taken = self._now_ns() - begin
        stage.placement.observe(choice, rows, taken / 1e9)
        self.counters.record_batch(choice.backend, rows, taken, taken)
        return result

    async def _on_thread(self, batch: Batch, choice: Choice, evaluate: Evaluator) -> Batch:
        begin = self._now_ns()
        try:
            result: Batch
            result, busy_ns = await self._threads.call(measured, self._now_ns, evaluate, batch)
        except FAILURES as error:
            return await self._raise_named(batch, error)
        self._stage.placement.observe(choice, batch.num_rows, busy_ns / 1e9)
        self.counters.record_batch(choice.backend, batch.num_rows, busy_ns, self._now_ns() - begin)
        return result

    async def _raise_named(self, batch: Batch, error: BaseException) -> Batch:
        """Raise the error that names the failing step; looking for it in a large batch takes a worker thread."""
        self.counters.record_error(error)
        if batch.num_rows * _ROW_NS < INLINE_NS:
            named = _failure(self._stage, batch, error)
        else:
            named = await self._threads.call(_failure, self._stage, batch, error)
        raise named from error


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
    return stage_error(name, batch, error, advice=None if stage.policies.handlers else ON_ERROR)
