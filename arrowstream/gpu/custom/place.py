"""Where the kernels of a step run: on its GPU, or for some reason not there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from arrowstream.errors import PlanError
from arrowstream.gpu.presence import missing

if TYPE_CHECKING:
    from arrowstream.gpu.device import Device


@dataclass(frozen=True, slots=True)
class Place:
    """A GPU that kernels can run on, or why there is none.

    Parameters
    ----------
    absent
        Why there is none, or None.
    device
        The GPU.
    capability
        Its compute capability.
    """

    absent: str | None = None
    device: Device | None = None
    capability: tuple[int, int] | None = None


@lru_cache(maxsize=16)
def _capability(device: Device) -> tuple[int, int]:
    """Return what a GPU can do, asked once: later its thread may be busy, and `explain()` must not wait for it."""
    from arrowstream.gpu import libraries as cuda

    text = device.run(lambda: cuda.cupy.cuda.Device(device.number).compute_capability)
    return int(text[:-1]), int(text[-1])


def place(number: int, memory_mb: int) -> Place:
    """Return the GPU with this number, opened if there is one.

    Parameters
    ----------
    number
        The number of the GPU.
    memory_mb
        The memory that batches may take on it, in MiB; 0 for none at all.

    Raises
    ------
    PlanError
        There are GPUs, but fewer.
    """
    if not memory_mb:
        return Place("the setting 'gpu_memory_pool_mb' is 0")
    reason = missing()
    if reason is not None:
        return Place(reason)
    # Imported here: with CUDA's libraries it takes half a second.
    try:
        from arrowstream.gpu import libraries as cuda
        from arrowstream.gpu.device import device_of_process

        count = cuda.cupy.cuda.runtime.getDeviceCount()
        if number < count:
            device = device_of_process(number)
            return Place(None, device, _capability(device))
    except (ImportError, OSError, RuntimeError) as error:  # a broken installation of CUDA fails in many ways
        return Place(f"the GPU cannot be opened: {error}")
    raise PlanError(
        f"GpuProcessor(device={number}) names a GPU that is not there",
        expected=f"a number from 0 to {count - 1}",
        found=str(number),
    )
