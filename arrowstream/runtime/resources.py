"""The resources of a run: clock, threads, memory budget and snapshot store."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from arrowstream.checkpoints.folder import CheckpointFolder
from arrowstream.core.clock import Clock
from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.core.snapshot_store import SnapshotStore
from arrowstream.core.step_context import StepContext
from arrowstream.runtime.checkpoints.state_writes import StateWrites
from arrowstream.runtime.threads import Threads

_LOGGER = logging.getLogger("arrowstream")


@dataclass(slots=True)
class Resources:
    """The resources that all parts of one run share.

    `snapshots` and `checkpoint` are set before the first source is opened; nothing changes after that.

    Parameters
    ----------
    clock
        The run's monotonic clock.
    threads
        The run's worker threads.
    memory
        The memory budget of the state of all steps.
    snapshots
        The store of positions and state, saved at each barrier and restored at the start; None without checkpoints.
    on_sink_barrier
        Called on the loop with a sink's name and the epoch, for each barrier that reaches a sink.
    checkpoint
        The folder of checkpoints, which is also the snapshot store; None without checkpoints.
    state_writes
        The states that are still being written to the snapshot store.
    """

    clock: Clock
    threads: Threads
    memory: MemoryBudget = field(default_factory=MemoryBudget)
    snapshots: SnapshotStore | None = None
    on_sink_barrier: Callable[[str, int], None] = lambda name, epoch: None
    checkpoint: CheckpointFolder | None = None
    state_writes: StateWrites = field(default_factory=StateWrites)

    def context(self, id: str) -> StepContext:
        """Return the context of the step, source or sink with this id."""
        return StepContext(id, self.clock, self.memory, _LOGGER, self.threads)
