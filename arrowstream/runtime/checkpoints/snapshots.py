"""Snapshots: the state of steps and positions of sources, saved and restored on worker threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Set
from itertools import chain

from arrowstream.core.failures import FAILURES
from arrowstream.core.snapshot_store import Snapshot, SnapshotStore, SourcePosition
from arrowstream.core.waiting import until_done
from arrowstream.errors import SnapshotError
from arrowstream.runtime.failure.stage_error import stage_error
from arrowstream.runtime.resources import Resources
from arrowstream.state.snapshot import POSITION
from arrowstream.state.snapshots.snapshot_batches import SnapshotBatches


class Snapshots:
    """The snapshots of one step or source.

    Parameters
    ----------
    step
        The id of the step or source, for errors.
    state_id
        The id of its saved state.
    resources
        The run's threads and snapshot store; without a store, nothing is saved or restored.
    """

    __slots__ = ("_state_id", "_step", "_store", "_threads", "_writes", "enabled")

    def __init__(self, step: str, state_id: str, resources: Resources) -> None:
        self._step = step
        self._state_id = state_id
        self._store = resources.snapshots
        self._threads = resources.threads
        self._writes = resources.state_writes
        self.enabled = resources.snapshots is not None

    async def save(self, epoch: int, snapshot: Callable[[], Snapshot]) -> None:
        """Save the snapshot of a barrier; `snapshot` is called, and its result read, on a worker thread.

        Returns once the snapshot no longer depends on the state, while the thread may still write it: a write ends,
        or fails, among `Resources.state_writes`.
        """
        if (store := self._store) is None:
            return
        loop = asyncio.get_running_loop()
        wake, apart = loop.call_soon_threadsafe, loop.create_future()

        def made() -> Snapshot:
            batches = snapshot()
            if isinstance(batches, SnapshotBatches):
                batches.when_apart(lambda: wake(apart.set_result, None))
            return batches

        saving = self._begin(store, epoch, made)
        try:
            await asyncio.wait((saving, apart), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await until_done([saving])  # it may still read the state
            raise
        if saving.done():
            saving.result()

    async def restore(self, restore: Callable[[Snapshot], None]) -> None:
        """Call `restore` on a worker thread with the state at the last complete epoch, if it has any."""
        if (store := self._store) is None:
            return

        def load() -> None:
            batches = store.load(self._state_id) or iter(())
            first = next(batches, None)
            if first is not None:
                restore(chain((first,), batches))

        await self._call(load)

    @property
    def finished(self) -> bool:
        """True if the step had given out everything before the last complete epoch."""
        return self._store is not None and self._store.is_finished(self._state_id)

    def finish(self) -> None:
        """Note that the step has given out everything, as its input has ended."""
        if self._store is not None:
            self._store.finish(self._state_id)

    def save_position(self, epoch: int, position: SourcePosition) -> None:
        """Begin to save the position of a source at a barrier, which does not change while the source goes on.

        The write ends, or fails, among `Resources.state_writes`.
        """
        if self._store is not None:
            self._begin(self._store, epoch, lambda: POSITION.write(position=dict(position)))

    async def position(self) -> SourcePosition | None:
        """Return the position of a source at the last complete epoch, or None."""
        found: list[SourcePosition] = []
        await self.restore(lambda batches: found.append(POSITION.read(batches)[0]["position"]))
        return found[0] if found else None

    def _begin(
        self, store: SnapshotStore, epoch: int, snapshot: Callable[[], Snapshot]
    ) -> asyncio.Future[None]:
        """Begin to make and save a snapshot on a worker thread."""
        saving = self._threads.begin(self._named, lambda: store.save(self._state_id, epoch, snapshot()))
        self._writes.add(saving)
        return saving

    async def _call(self, work: Callable[[], None]) -> None:
        await self._threads.call(self._named, work)

    def _named(self, work: Callable[[], None]) -> None:
        """Do work, on a worker thread; its failure names the step."""
        try:
            work()
        except FAILURES as error:
            raise stage_error(self._step, None, error) from error


async def check_saved(state_ids: Set[str], resources: Resources) -> None:
    """Check that every saved state belongs to a step of the pipeline.

    Raises
    ------
    SnapshotError
        The store holds state that no step has saved under one of `state_ids`; it would be lost.
    """
    if resources.snapshots is None:
        return
    saved = set(await resources.threads.call(lambda store: store.state_ids(), resources.snapshots))
    lost, fresh = sorted(saved - state_ids), sorted(state_ids - saved)
    if lost:
        raise SnapshotError(
            "saved state belongs to no step of the pipeline, so it would be lost",
            expected=f"steps {', '.join(lost)}",
            found=f"steps without saved state: {', '.join(fresh)}"
            if fresh
            else "only steps with saved state",
            hint=f"a changed step has another id: name it as it was, .named({_own(lost[0])!r}), or run without "
            "the snapshots",
        )


def _own(state_id: str) -> str:
    """Return a step's own part of an id, without the branches and inputs around it."""
    return state_id.rsplit("/", 1)[-1]
