"""The GPU backend and `GpuProcessor`; CUDA's libraries are imported only in this folder, once a GPU is asked for."""

from typing import TYPE_CHECKING

from arrowstream.core.mistakes.explain import unknown_name

if TYPE_CHECKING:
    from arrowstream.gpu.custom.processor import GpuProcessor
else:

    def __getattr__(name: str) -> object:
        """Import the processor once it is used: few pipelines have kernels, and all import this package."""
        if name != "GpuProcessor":
            raise unknown_name("arrowstream.gpu", name, __all__, {})
        from arrowstream.gpu.custom.processor import GpuProcessor

        return GpuProcessor


__all__ = ["GpuProcessor"]
