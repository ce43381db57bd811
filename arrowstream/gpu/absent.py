"""What stands for the GPU backend where a pipeline asks for it and it is not there, so that `explain()` says why."""

from __future__ import annotations

from arrowstream.backends.base import Backend, Frames
from arrowstream.config.settings import DEFAULT, Settings
from arrowstream.expressions.program import Program, Refusal

SETTINGS = ("gpu_batch_size", "gpu_memory_pool_mb")
"""The settings of the GPU: who gives one of them asks for it."""


class AbsentGpu(Backend):
    """A GPU backend that refuses every segment, for the reason why it is absent.

    Parameters
    ----------
    reason
        What is missing.
    """

    name = "gpu"
    form = "gpu"

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def prepare(self, segment: Frames, program: Program | Refusal) -> Refusal:
        return Refusal((self._reason,))


def asks_for_gpu(settings: Settings) -> bool:
    """Return whether the settings give a value for the GPU."""
    return any(settings.origin(name) != DEFAULT for name in SETTINGS)
