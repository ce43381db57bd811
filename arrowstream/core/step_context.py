"""What the runtime gives a step when it starts: who it is, the time, memory, a log and threads."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from arrowstream.core.clock import Clock
from arrowstream.core.memory_budget import MemoryBudget

T = TypeVar("T")


class WorkerThreads(Protocol):
    """The worker threads of a run, for calls that block."""

    @property
    def workers(self) -> int:
        """How many calls run at a time."""
        ...

    async def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Run ``function(*arguments)`` on a thread and wait for it, also when cancelled."""
        ...


@dataclass(frozen=True, slots=True)
class StepContext:
    """What an operator, source or sink gets from the run that it starts in.

    Parameters
    ----------
    id
        The step's stable name in the pipeline: in errors, metrics, snapshots and the memory budget.
    clock
        The run's monotonic clock.
    memory
        The budget for state that all steps of the pipeline share.
    logger
        Where the step logs.
    threads
        The run's worker threads.
    """

    id: str
    clock: Clock
    memory: MemoryBudget
    logger: logging.Logger
    threads: WorkerThreads
