"""What all parts of one run share: time, threads, memory and snapshots."""

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
    """What all parts of one run share.

    Parameters
    ----------
    clock
        The run's monotonic clock.
    threads
        Its worker threads.
    memory
        The budget for the state of all steps.
    snapshots
        Where state goes at a barrier, and comes from at the start; None without checkpoints.
    on_sink_barrier
        Called with a sink's name and the epoch when a barrier has reached the sink.
    """

    clock: Clock
    threads: Threads
    memory: MemoryBudget = field(default_factory=MemoryBudget)
    snapshots: SnapshotStore | None = None
    on_sink_barrier: Callable[[str, int], None] = lambda name, epoch: None

    def context(self, id: str) -> StepContext:
        """The context of the step, source or sink of this name."""
        return StepContext(id, self.clock, self.memory, _LOGGER, self.threads)
