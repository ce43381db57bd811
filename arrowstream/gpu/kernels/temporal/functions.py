"""Polars' functions of dates, times and durations, as far as libcudf can give the same values."""

from __future__ import annotations

from arrowstream.expressions.program import Call
from arrowstream.gpu.kernels.base import Kernel
from arrowstream.gpu.kernels.temporal import fields, moves, units
from arrowstream.gpu.kernels.tree import Constant, Node


def _over_a_column(kernel: Kernel) -> Kernel:
    """Return `kernel` for calls whose first argument is a column; refuse any other."""

    def checked(call: Call, first: Node, *others: Node) -> Node | str:
        return "a function of constants only" if isinstance(first, Constant) else kernel(call, first, *others)

    return checked


KERNELS: dict[str, Kernel] = {
    name: _over_a_column(kernel) for part in (fields, moves, units) for name, kernel in part.KERNELS.items()
}

REFUSED = {
    "dt.time": "times of day stay in host memory",
    "dt.combine": "times of day stay in host memory",
    "dt.to_string": "the GPU writes dates and times differently",
}
"""Functions that are left to the CPU, and why."""
