"""What a step gets from a run, for tests that start operators by themselves."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.core.step_context import StepContext
from arrowstream.testing import ManualClock

T = TypeVar("T")


class NoThreads:
    """Worker threads that call on the caller's thread."""

    workers = 1

    async def call(self, function: Callable[..., T], *arguments: object) -> T:
        return function(*arguments)


def context(step: str = "step", memory: MemoryBudget | None = None) -> StepContext:
    """The context of one step, with a budget of its own unless one is given."""
    return StepContext(
        step, ManualClock(), memory or MemoryBudget(), logging.getLogger("arrowstream"), NoThreads()
    )
