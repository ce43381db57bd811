"""Acknowledgements: a source learns which of its rows the sinks have, so that a restart does not read them again.

Rows are acknowledged at the end of a run, once every sink has committed. While a run goes on they are acknowledged
every few seconds, but only where a crash could not lose them afterwards: no step holds rows or state, and every sink
shows a row as soon as it is written. For that, a barrier follows the rows of each source to the sinks; the positions
at a barrier that has reached every sink are acknowledged. Sinks of best effort are not waited for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from arrowstream.core.batch import Barrier
from arrowstream.core.clock import Clock
from arrowstream.core.defaults import ACKNOWLEDGE_SECONDS
from arrowstream.core.failures import FAILURES
from arrowstream.errors import SourceError
from arrowstream.operators.base import MultiInputOperator, Operator
from arrowstream.plan.physical import InputsStage, OperatorStage, Plan, Stage
from arrowstream.runtime.endpoints.sink import RunningSink
from arrowstream.runtime.endpoints.source import RunningSource
from arrowstream.runtime.failure.cleanup import in_turn
from arrowstream.runtime.task_group import task_group

END_SECONDS: Final = 10.0
"""Time at the end of a run within which a source takes the last acknowledgement, as a group that rebalances does."""

AGAIN_SECONDS: Final = 0.5
"""Time between two such tries."""

_log = logging.getLogger("arrowstream")


def passes_rows_on(plan: Plan) -> bool:
    """Return whether no step of the plan holds rows or state between two batches."""
    return all(_passes_on(stage) for stage in plan.stages)


def _passes_on(stage: Stage) -> bool:
    operator: Operator | MultiInputOperator | None = None
    if isinstance(stage, OperatorStage | InputsStage):
        operator = stage.operator
    kept = operator is not None and not (isinstance(operator, Operator) and operator.passes_rows_on)
    return not kept and all(_passes_on(inner) for line in stage.lines for inner in line.stages)


class Acknowledgements:
    """The acknowledgements of one run.

    Parameters
    ----------
    clock
        The run's monotonic clock.
    sources
        Returns the sources of the run.
    sinks
        Returns the sinks at ends, which barriers reach.
    """

    def __init__(
        self,
        clock: Clock,
        sources: Callable[[], Sequence[RunningSource]],
        sinks: Callable[[], Sequence[RunningSink]],
    ) -> None:
        self._clock = clock
        self._sources = sources
        self._sinks = sinks
        self._epoch = 0
        self._missing: set[str] = set()
        self._reached = asyncio.Event()

    @asynccontextmanager
    async def regularly(self, asked: bool) -> AsyncIterator[None]:
        """Acknowledge every few seconds until the block ends, if asked to."""
        if not asked:
            yield
            return
        async with task_group() as group:
            task = group.create_task(self._keep_on(), name="acknowledgements")
            yield
            task.cancel()

    async def at_end(self) -> None:
        """Acknowledge all rows that were read, which every sink has.

        Raises
        ------
        SourceError
            A source does not take it. Every other source has been asked too.
        """
        if not self._is_cut:
            await in_turn(partial(self._last, source) for source in self._sources())

    async def _last(self, source: RunningSource) -> None:
        """Acknowledge all rows of a source; ask again for a while if it does not take that at the moment."""
        deadline = self._clock.now_ns() + round(END_SECONDS * 1e9)
        try:
            while source.position is not None and not await source.acknowledge(source.position):
                if self._clock.now_ns() >= deadline:
                    raise SourceError(f"it did not take an acknowledgement for {END_SECONDS:.0f} s")
                await self._clock.sleep(AGAIN_SECONDS)
        except FAILURES as error:
            raise SourceError(
                "the rows are in every sink, but their source did not take note of that",
                stage=source.counters.name,
                found=str(error),
                hint="the next run may read these rows again",
            ) from error

    @property
    def _is_cut(self) -> bool:
        """True once a limit has kept rows from a sink, which are before the next barrier and the end."""
        return any(sink.counters.limited_rows for sink in self._sinks())

    def on_sink_barrier(self, name: str, epoch: int) -> None:
        """Take note of a barrier that has reached a sink."""
        self._missing.discard(name)
        if not self._missing:
            self._reached.set()

    async def _keep_on(self) -> None:
        while True:
            await self._clock.sleep(ACKNOWLEDGE_SECONDS)
            self._epoch += 1
            self._reached.clear()
            self._missing = {sink.counters.name for sink in self._sinks() if not sink.best_effort}
            for source in self._sources():
                source.inject(Barrier(self._epoch))
            if self._missing:
                await self._reached.wait()
            if self._is_cut:
                return
            for source in self._sources():
                await self._try(source)

    async def _try(self, source: RunningSource) -> None:
        """Acknowledge the rows before the last barrier; count and log a failure, which the next time makes good."""
        try:
            if source.barrier_position is not None:
                await source.acknowledge(source.barrier_position)
        except FAILURES as error:
            source.counters.record_error(error)
            _log.warning(
                "%s does not take note of the rows that the sinks have, and will be asked again: %s",
                source.counters.name,
                error,
            )
