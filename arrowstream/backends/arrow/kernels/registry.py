"""All kernels of the Arrow backend, by the names of their functions in programs."""

from __future__ import annotations

from arrowstream.backends.arrow.kernels import arithmetic, comparison, conversion, logic, mathematics
from arrowstream.backends.arrow.kernels.base import Kernel
from arrowstream.backends.arrow.kernels.strings import functions as strings
from arrowstream.backends.arrow.kernels.temporal import functions as temporal

KERNELS: dict[str, Kernel] = {
    **arithmetic.KERNELS,
    **mathematics.KERNELS,
    **comparison.KERNELS,
    **logic.KERNELS,
    **conversion.KERNELS,
    **strings.KERNELS,
    **temporal.KERNELS,
}
