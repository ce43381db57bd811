"""All kernels of the Arrow backend, by the name programs give their functions."""

from __future__ import annotations

from arrowstream.backends.kernels import (
    arithmetic,
    comparison,
    conversion,
    logic,
    mathematics,
    strings,
    temporal,
)
from arrowstream.backends.kernels.base import Kernel

KERNELS: dict[str, Kernel] = {
    **arithmetic.KERNELS,
    **mathematics.KERNELS,
    **comparison.KERNELS,
    **logic.KERNELS,
    **conversion.KERNELS,
    **strings.KERNELS,
    **temporal.KERNELS,
}
