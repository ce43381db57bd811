"""The resources of a run: clock, threads, memory budget and snapshot store."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from arrowstream.core.clock import Clock
from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.core.snapshot_store import SnapshotStore
from arrowstream.core.step_context import StepContext
from arrowstream.runtime.threads import Threads

_LOGGER = logging.getLogger("arrowstream")


@dataclass(frozen=True, slots=True)
class Resources:
    """The resources that all parts of one run share.

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
    """

    clock: Clock
    threads: Threads
    memory: MemoryBudget = field(default_factory=MemoryBudget)
    snapshots: SnapshotStore | None = None
    on_sink_barrier: Callable[[str, int], None] = lambda name, epoch: None

    def context(self, id: str) -> StepContext:
        """Return the context of the step, source or sink with this id."""
        return StepContext(id, self.clock, self.memory, _LOGGER, self.threads)
