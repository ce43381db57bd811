"""All kernels of the GPU backend, by the names of their functions in programs."""

from __future__ import annotations

from arrowstream.gpu.kernels import arithmetic, comparison, conversion, division, logic, mathematics, strings
from arrowstream.gpu.kernels.base import Kernel
from arrowstream.gpu.kernels.temporal import functions as temporal

KERNELS: dict[str, Kernel] = {
    **arithmetic.KERNELS,
    **division.KERNELS,
    **mathematics.KERNELS,
    **comparison.KERNELS,
    **logic.KERNELS,
    **conversion.KERNELS,
    **strings.KERNELS,
    **temporal.KERNELS,
}

REFUSED: dict[str, str] = {
    **mathematics.REFUSED,
    **logic.REFUSED,
    **strings.REFUSED,
    **temporal.REFUSED,
}
"""The functions of other backends that are left to the CPU, and why."""
