"""The GPU backend: segments on pylibcudf, with the CPU behind it.

This module imports no CUDA library, so that it can be registered wherever a GPU may be.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Self

from arrowstream.backends.base import Backend, Evaluator, Frames, TransferCost
from arrowstream.backends.polars import PolarsBackend
from arrowstream.backends.registry import register_backend
from arrowstream.config.settings import Settings
from arrowstream.expressions.program import Program, Refusal
from arrowstream.gpu.presence import missing

if TYPE_CHECKING:
    from arrowstream.gpu.device import Device


class GpuBackend(Backend):
    """The backend that runs lowered segments on an NVIDIA GPU; it refuses those whose results could differ.

    Parameters
    ----------
    device
        Returns the device; called when the first batch is given to it.
    """

    name = "gpu"
    form = "gpu"
    # Assumed, as no GPU has been measured yet: a few launches of some 10 us each, and rows at 2 TB/s.
    start_cost = (150.0, 0.0001)
    upload_cost = TransferCost(20.0, 0.0, 1 / 20_000)
    download_cost = TransferCost(30.0, 0.0, 1 / 20_000)

    def __init__(self, device: Callable[[], Device]) -> None:
        settings = Settings()
        self._device = device
        self._memory_mb = settings.gpu_memory_pool_mb
        self.least_rows = settings.gpu_batch_size

    def with_settings(self, settings: Settings) -> Self:
        other = copy(self)
        other._memory_mb = settings.gpu_memory_pool_mb
        other.least_rows = settings.gpu_batch_size
        return other

    def prepare(self, segment: Frames, program: Program | Refusal) -> Evaluator | Refusal:
        if isinstance(program, Refusal):
            return program
        if not self._memory_mb:
            return Refusal(("the setting gpu_memory_pool_mb is 0: no memory for batches on the GPU",))
        # Imported here: with CUDA's libraries it takes half a second.
        try:
            from arrowstream.gpu.form import register
            from arrowstream.gpu.program import compile_program
            from arrowstream.gpu.segment import DeviceSegment
        # A broken installation of CUDA fails in many ways.
        except (ImportError, OSError, RuntimeError) as error:
            return Refusal((f"CUDA's libraries cannot be imported: {error}",))

        compiled = compile_program(program)
        if isinstance(compiled, Refusal):
            return compiled
        register(self.form or self.name, self._device)
        on_cpu = PolarsBackend().prepare(segment, program)
        return DeviceSegment(self.form or self.name, self._device, self._memory_mb, compiled, on_cpu)


def register_if_present() -> None:
    """Register the backend if this machine has a GPU and the libraries for it."""
    if missing() is None:
        register_backend(GpuBackend(_first_device))


def _first_device() -> Device:
    from arrowstream.gpu.device import device_of_process

    return device_of_process(0)
