"""The sinks of a run: opened one by one, and committed or aborted together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from arrowstream.core.checkpoints.failpoints import Failpoint, reach
from arrowstream.core.failures import FAILURES
from arrowstream.errors import SinkError
from arrowstream.io.sink import SinkSpec
from arrowstream.io.writer import Handle
from arrowstream.plan.physical import SinkBinding
from arrowstream.runtime.checkpoints.side_output import SideOutput
from arrowstream.runtime.endpoints.allowance import Share
from arrowstream.runtime.endpoints.epoch_sink import EpochSink
from arrowstream.runtime.endpoints.missing_floats import MissingFloats
from arrowstream.runtime.endpoints.sink import RunningSink
from arrowstream.runtime.failure.cleanup import despite, first_failure, in_turn, uninterrupted
from arrowstream.runtime.failure.stage_error import opened
from arrowstream.runtime.flow.ports import OutputPort
from arrowstream.runtime.resources import Resources
from arrowstream.runtime.task_group import task_group

END_OF_RUN = 0
"""Epoch of the one commit of a run without checkpoints."""


class RunningSinks:
    """Every sink of one run, in the order in which they were opened."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._sinks: list[RunningSink] = []
        self._side: list[RunningSink] = []
        self._shared: list[tuple[SinkBinding, SideOutput]] = []
        self._newest_handles: dict[str, Handle] = {}
        self.commit_begun = False
        """True while rows become visible, which nothing stops, and after the last commit of the run."""
        self.reached: list[SinkSpec] = []
        """The specs of the sinks that were opened, or failed to open."""

    def __iter__(self) -> Iterator[RunningSink]:
        return iter(self._sinks)

    def open(
        self, binding: SinkBinding, share: Share | None = None, on_write: Callable[[], None] | None = None
    ) -> RunningSink:
        """Open a sink.

        Parameters
        ----------
        binding
            The sink in its place.
        share
            The sink's share of the limit of rows; None for no limit.
        on_write
            Called on the loop after each batch that is written; None if nothing depends on it.

        Raises
        ------
        SinkError
            The sink could not be opened; the error names it.
        """
        self.reached.append(binding.sink)
        context = self._resources.context(binding.name)
        epochs = self._resources.checkpoint
        spec = binding.sink
        if epochs is not None:
            context = replace(context, checkpoint=epochs.context(binding.name))
            spec = spec.with_checkpoints()
        writer = opened(binding.name, SinkError, lambda: spec.open(binding.schema, context))
        sink = (RunningSink if epochs is None else EpochSink)(
            binding.name,
            spec.label,
            writer,
            self._resources,
            share=share,
            on_write=on_write,
            best_effort=binding.best_effort_capacity is not None,
            missing_floats=MissingFloats.of(spec.json_part(binding.schema), binding.schema, spec.label),
        )
        self._sinks.append(sink)
        return sink

    def side_output(self, binding: SinkBinding) -> OutputPort:
        """Open a sink for late rows of a stage, and return its port."""
        return self._open_side(binding).add()

    def shared_side_output(self, binding: SinkBinding) -> OutputPort:
        """Return a port of a sink for dead letters, which is the same one for equal sinks and schemas."""
        for known, side in self._shared:
            if known.sink is binding.sink and known.schema == binding.schema:
                return side.add()
        side = self._open_side(binding)
        self._shared.append((binding, side))
        return side.add()

    def _open_side(self, binding: SinkBinding) -> SideOutput:
        sink = self.open(binding)
        self._side.append(sink)
        return SideOutput(sink)

    @asynccontextmanager
    async def keeping_time(self) -> AsyncIterator[None]:
        """Call the writers that have a period after each of these, until the block ends."""
        timed = [sink for sink in self._sinks if sink.period_s is not None]
        if not timed:
            yield
            return
        async with task_group() as group:
            tasks = [
                group.create_task(sink.keep_time(), name=f"time of {sink.counters.name}") for sink in timed
            ]
            yield
            for task in tasks:
                task.cancel()

    def in_order(self) -> list[RunningSink]:
        """Return the sinks at ends, then side outputs, which may get rows until a sink has written its last one."""
        ends = [sink for sink in self._sinks if sink not in self._side]
        return [*ends, *self._side]

    async def commit(self) -> None:
        """Commit the rows of every sink, or of none: all prepare, then all commit, then all close.

        Once every sink has prepared, nothing stops the commits: a cancellation that comes then has no effect. Late
        rows and dead letters become visible last, and only if the rows of another sink are: a run that shows nothing
        is repeated, and would write them again.

        Raises
        ------
        SinkError
            A sink could not prepare, and no rows are visible; or one could not commit, and the error lists the sinks
            whose rows are visible and those whose rows are not.
        """
        for sink in self.in_order():
            await sink.prepare(END_OF_RUN)
        self.commit_begun = True
        await uninterrupted(self._commit_prepared())

    async def _commit_prepared(self) -> None:
        failed: dict[RunningSink, BaseException] = {}
        shown: list[RunningSink] = []
        withheld: list[RunningSink] = []
        for sink in self.in_order():
            if sink in self._side and failed and all(end.lost for end in shown):
                withheld.append(sink)
                continue
            try:
                await sink.commit()
                shown.append(sink)
            except BaseException as error:
                failed[sink] = error
        try:
            if failed:
                raise _partly_committed(shown, failed)
        except BaseException as failure:
            for sink, its_failure in (failed | dict.fromkeys(withheld, failure)).items():
                sink.on_failure(its_failure)
            aborts = (sink.abort for sink in (*failed, *withheld))
            await despite(failure, [*aborts, *(sink.close for sink in shown)])
            raise
        await in_turn(sink.close for sink in shown)

    @property
    def have_rows(self) -> bool:
        """True if any sink has got rows since its last barrier."""
        return any(sink.has_rows for sink in self._epoch_sinks())

    async def recover(self, epoch: int, handles: Mapping[str, Handle]) -> None:
        """Commit what an earlier run has prepared for the epoch that this run continues from."""
        self._newest_handles.update(handles)
        for sink in self._epoch_sinks():
            await sink.recover(epoch, handles.get(sink.counters.name))
            reach(Failpoint.SINK_RECOVERED)

    async def prepared(self, epoch: int) -> dict[str, Handle]:
        """Wait until every sink has prepared an epoch; return the handles by the names of the sinks.

        That of a best-effort sink that is lost is the newest one before: the next run recovers the sink from it.
        """
        for sink in self._epoch_sinks():
            handle = await sink.prepared(epoch)
            if handle is not None:
                self._newest_handles[sink.counters.name] = handle
        return dict(self._newest_handles)

    async def commit_epoch(self) -> None:
        """Commit the epoch that every sink has prepared, which is complete: what fails is left to the next run.

        Raises
        ------
        SinkError
            A sink could not commit; the others have.
        """
        try:
            await in_turn(sink.commit for sink in self.in_order())
        except FAILURES as failure:
            first_failure(failure).add_note(
                "the epoch is complete: a run with the same checkpoint folder commits it"
            )
            raise

    async def close(self) -> None:
        """Close every sink after the last epoch."""
        await in_turn(sink.close for sink in self.in_order())

    def _epoch_sinks(self) -> Iterator[EpochSink]:
        return (sink for sink in self.in_order() if isinstance(sink, EpochSink))

    def aborts(self, failure: BaseException) -> Iterator[Callable[[], Awaitable[None]]]:
        """Return the aborts of all sinks after `failure`; sinks that have committed keep their rows."""
        for sink in self._sinks:
            sink.on_failure(failure)
        return (sink.abort for sink in self._sinks)


def _partly_committed(
    shown: Sequence[RunningSink], failed: Mapping[RunningSink, BaseException]
) -> BaseException:
    """Return the error of a run in which some sinks could not commit; the first failure is its cause."""
    first, *others = failed.values()
    if shown:
        lost = "; ".join(f"{_named(sink)}: {error}" for sink, error in failed.items())
        error = SinkError(
            f"{len(failed)} of {len(failed) + len(shown)} sinks could not commit",
            expected="every sink of the run shows its rows",
            found=f"visible: {', '.join(map(_named, shown))}; not visible: {lost}",
            hint="delete what is visible, or run again: it is complete, but the rest is missing",
        )
        error.__cause__ = first
        return error
    for other in others:
        first.add_note(f"and: {other}")
    return first


def _named(sink: RunningSink) -> str:
    return f"{sink.counters.name} ({sink.label})"
