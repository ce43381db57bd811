"""The GPU backend and `GpuProcessor`; CUDA's libraries are imported only in this folder, once a GPU is asked for."""

from arrowstream.gpu.custom.processor import GpuProcessor

__all__ = ["GpuProcessor"]
