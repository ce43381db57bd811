"""The GPU backend and `GpuProcessor`; CUDA's libraries are imported only in this folder, once a GPU is asked for."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arrowstream.gpu.custom.processor import GpuProcessor
else:

    def __getattr__(name: str) -> object:
        """Import the processor once it is used: few pipelines have kernels, and all import this package."""
        if name != "GpuProcessor":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from arrowstream.gpu.custom.processor import GpuProcessor

        return GpuProcessor


__all__ = ["GpuProcessor"]
