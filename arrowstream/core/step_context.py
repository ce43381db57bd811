"""The context that the runtime gives a step at its start: id, clock, memory budget, logger and threads."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from arrowstream.core.checkpoints.context import CheckpointContext
from arrowstream.core.clock import Clock
from arrowstream.core.memory_budget import MemoryBudget

T = TypeVar("T")


class WorkerThreads(Protocol):
    """The worker threads of a run, for calls that block."""

    @property
    def workers(self) -> int:
        """Maximum number of calls that run at the same time."""
        ...

    async def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Run ``function(*arguments)`` on a worker thread and wait until it returns, even if cancelled meanwhile."""
        ...


@dataclass(frozen=True, slots=True)
class StepContext:
    """The services of a run that an operator, source or sink gets when it starts.

    Parameters
    ----------
    id
        The step's stable id in the pipeline, used in errors, metrics, snapshots and the memory budget.
    clock
        The run's monotonic clock.
    memory
        The budget for state, which all steps of the pipeline share.
    logger
        The logger of the step.
    threads
        The run's worker threads.
    checkpoint
        The checkpoints of the run, for a sink; None for other steps, and in a run without them.
    """

    id: str
    clock: Clock
    memory: MemoryBudget
    logger: logging.Logger
    threads: WorkerThreads
    checkpoint: CheckpointContext | None = None
