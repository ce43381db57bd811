"""The coordinator of checkpoints: barriers into the sources, one epoch at a time, and its commit.

The order of an epoch: a barrier goes into every source; each step saves its state and each sink prepares as the
barrier passes; the states are flushed and the manifest gets its name, which is the commit point; the sinks commit;
the sources hear which of their rows are safe.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar

from arrowstream.checkpoints.folder import CheckpointFolder
from arrowstream.checkpoints.layout import naming_folder
from arrowstream.core.batch import Barrier
from arrowstream.core.clock import Clock
from arrowstream.core.failures import FAILURES
from arrowstream.errors import CheckpointError
from arrowstream.io.writer import Handle
from arrowstream.metrics.checkpoints import CheckpointMetrics
from arrowstream.runtime.checkpoints.state_writes import StateWrites
from arrowstream.runtime.endpoints.sinks import RunningSinks
from arrowstream.runtime.endpoints.source import RunningSource
from arrowstream.runtime.failure.cleanup import uninterrupted
from arrowstream.runtime.task_group import task_group
from arrowstream.runtime.threads import Threads

T = TypeVar("T")

_log = logging.getLogger("arrowstream")


class Coordinator:
    """The checkpoints of one run.

    Parameters
    ----------
    folder
        The folder that keeps them.
    every_s
        Seconds between the beginnings of two epochs.
    clock
        The run's monotonic clock.
    threads
        The run's worker threads.
    sources
        Returns the sources of the run.
    sinks
        The sinks of the run.
    states
        The states that are being written.
    """

    def __init__(
        self,
        folder: CheckpointFolder,
        every_s: float,
        clock: Clock,
        threads: Threads,
        sources: Callable[[], Sequence[RunningSource]],
        sinks: RunningSinks,
        states: StateWrites,
    ) -> None:
        self._folder = folder
        self._every_s = every_s
        self._clock = clock
        self._threads = threads
        self._sources = sources
        self._sinks = sinks
        self._states = states
        self._stopping = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._begin_ns = clock.now_ns()
        self._acknowledged = True
        """False if a source is to be asked again to acknowledge its position."""
        self.metrics = CheckpointMetrics()
        self.halted = False
        """True once the last barrier of a gentle stop is in the sources: nothing follows it."""

    async def recover(self) -> None:
        """Commit what an earlier run had prepared for the epoch that this run continues from.

        Raises
        ------
        CheckpointError
            The earlier run had prepared rows of sinks that the pipeline does not have any more.
        """
        restored = self._folder.restored
        handles = {} if restored is None else restored.handles
        self._check_sinks(handles)
        # From the beginning, too, later epochs of earlier runs are known by their numbers.
        epoch = self._folder.epoch if restored is None else restored.epoch
        await self._sinks.recover(epoch, handles)
        if restored is not None:
            self.metrics = replace(self.metrics, restored=restored.epoch)
            await self._on_disk(lambda: self._folder.mark_committed(restored.epoch))

    def _check_sinks(self, handles: Mapping[str, Handle]) -> None:
        names = {sink.counters.name for sink in self._sinks}
        if gone := sorted(handles.keys() - names):
            raise CheckpointError(
                "the checkpoint has rows of sinks that the pipeline does not have",
                expected=f"the sinks {', '.join(sorted(handles))}",
                found=f"no {', '.join(gone)}",
                hint="give the pipeline these sinks again, use another folder, or start from the beginning: "
                "from_checkpoint='ignore'",
            )

    @asynccontextmanager
    async def regularly(self) -> AsyncIterator[None]:
        """Take checkpoints until the block ends; one that has begun is completed."""
        async with task_group() as group:
            task = group.create_task(self._keep_on(), name="checkpoints")
            yield
            async with self._one_at_a_time:
                task.cancel()

    def stop(self) -> None:
        """Take a last checkpoint, after which the sources stop: what steps hold stays for the next run."""
        self._stopping.set()

    async def end(self) -> None:
        """Complete the last epoch, once every stream has ended, and close the sinks."""
        if not self.halted:
            await self._take(ended=True)
        await self._sinks.close()

    async def _keep_on(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        while not self.halted:
            # A stop that has come before the sources are read is in front of every row.
            if not self._stopping.is_set():
                waited = self._clock.now_ns() - self._begin_ns
                await self._wait(max(self._every_s - waited / 1e9, 0))
            async with self._one_at_a_time:
                if self._stopping.is_set() or await self._has_news():
                    await self._take(last=self._stopping.is_set())
                else:
                    self._begin_ns = self._clock.now_ns()
            if task.cancelling():
                # It came during the commit, which it does not interrupt.
                raise asyncio.CancelledError

    async def _wait(self, seconds: float) -> None:
        """Wait until the next epoch is due, or the run is to stop."""
        sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((sleeping, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            stopping.cancel()
            await asyncio.gather(sleeping, stopping, return_exceptions=True)

    async def _has_news(self) -> bool:
        """Return whether an epoch would commit anything: else the one before says where the next run begins."""
        if not self.metrics.epochs or not self._acknowledged or self._sinks.have_rows:
            return True
        positions = [(source.position, source.barrier_position) for source in self._sources()]
        # Some are made when they are compared.
        return await self._threads.call(lambda: any(now != before for now, before in positions))

    async def _take(self, *, last: bool = False, ended: bool = False) -> None:
        self._begin_ns = self._clock.now_ns()
        epoch = self._folder.begin()
        self.halted = last
        for source in self._sources():
            if not source.inject(Barrier(epoch, last)):
                source.save_position(epoch)
            elif last:
                source.halt()
        handles = await self._sinks.prepared(epoch)
        lacking = [source.counters.name for source in self._sources() if source.saved_epoch != epoch]
        if lacking:
            raise CheckpointError(
                f"epoch {epoch} lacks the position of {', '.join(lacking)}, so it is not completed",
                hint="this is a defect of arrowstream; the next run goes on from the epoch before",
            )
        await self._states.done()
        manifest = await self._on_disk(lambda: self._folder.complete(epoch, handles, ended=ended))
        self._sinks.commit_begun = True
        try:
            await uninterrupted(self._commit(epoch))
        finally:
            # After the last commit, the run ends by itself.
            self._sinks.commit_begun = last or ended
        seconds, before = (self._clock.now_ns() - self._begin_ns) / 1e9, self.metrics
        self.metrics = replace(
            before,
            epochs=before.epochs + 1,
            last=epoch,
            nbytes=manifest.nbytes,
            seconds=seconds,
            total_seconds=before.total_seconds + seconds,
            written_bytes=before.written_bytes + self._folder.written_bytes,
        )

    async def _on_disk(self, work: Callable[[], T]) -> T:
        """Do work in the checkpoint folder on a worker thread; name the folder in its failure."""
        with naming_folder(self._folder.path):
            return await self._threads.call(work)

    async def _commit(self, epoch: int) -> None:
        await self._sinks.commit_epoch()
        await self._on_disk(lambda: self._folder.mark_committed(epoch))
        self._acknowledged = True
        for source in self._sources():
            try:
                if source.barrier_position is not None:
                    self._acknowledged &= await source.acknowledge(source.barrier_position)
            except FAILURES as error:
                self._acknowledged = False
                # The position is in the checkpoint; what the source's own system knows is for others to look at.
                _log.warning("%s: epoch %d was not acknowledged: %s", source.counters.name, epoch, error)
