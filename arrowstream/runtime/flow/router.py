"""A split while it runs: a counted stage with several outputs."""

from __future__ import annotations

from collections.abc import Mapping

from arrowstream.core.batch import Batch, Element
from arrowstream.core.failures import FAILURES
from arrowstream.metrics.counters import StageCounters
from arrowstream.plan.physical import Route
from arrowstream.runtime.call_times import CallTimes
from arrowstream.runtime.failure.stage_error import stage_error
from arrowstream.runtime.flow.ports import Broadcast, OutputPort, WaitingOutput
from arrowstream.runtime.resources import Resources
from arrowstream.runtime.threads import measured


class RunningRouter(WaitingOutput):
    """An output that sends each row to its branch, and every mark to all branches.

    It is the output of the stage before it and shares that stage's task; a large batch is divided on a worker thread.

    Parameters
    ----------
    name
        The stage's name.
    route
        Divides a batch into one for each branch that gets rows of it.
    branches
        The ports of the branches, by the names that `route` gives.
    resources
        The run's clock and threads.
    """

    __slots__ = ("_all", "_branches", "_clock", "_route", "_threads", "_times", "counters")

    blocking = False

    def __init__(
        self, name: str, route: Route, branches: Mapping[str, OutputPort], resources: Resources
    ) -> None:
        self.counters = StageCounters(name)
        self.counters.rows_by_branch = dict.fromkeys(branches, 0)
        self._route = route
        self._branches = branches
        self._all = Broadcast(list(branches.values()))
        self._clock = resources.clock
        self._threads = resources.threads
        self._times = CallTimes()

    async def send(self, element: Element) -> None:
        """Divide a batch among the branches; send a mark to all of them."""
        if not isinstance(element, Batch):
            self.counters.record_mark(element)
            await self._all.send(element)
            return
        for name, part in await self._divided(element):
            self.counters.record_output(part)
            self.counters.rows_by_branch[name] += part.num_rows
            await self._branches[name].send(part)

    async def end(self) -> None:
        """End every branch."""
        await self._all.end()

    async def _divided(self, batch: Batch) -> list[tuple[str, Batch]]:
        rows, begin = batch.num_rows, self._clock.now_ns()
        try:
            if self._times.runs_inline(rows):
                parts, busy_ns = measured(self._clock.now_ns, self._route, batch)
            else:
                parts, busy_ns = await self._threads.call(measured, self._clock.now_ns, self._route, batch)
        except FAILURES as error:
            self.counters.record_error(error)
            raise stage_error(self.counters.name, batch, error) from error
        self._times.observe(rows, busy_ns)
        self.counters.rows_in += rows
        self.counters.record_batch("split", rows, busy_ns, self._clock.now_ns() - begin)
        return parts
