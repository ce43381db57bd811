"""Polars' functions of dates, times and durations, as far as Arrow can give the same values."""

from __future__ import annotations

from arrowstream.backends.arrow.kernels.base import Evaluate, Kernel
from arrowstream.backends.arrow.kernels.temporal import durations, fields, moves, text, units
from arrowstream.expressions.program import Call, is_constant


def _over_a_column(kernel: Kernel) -> Kernel:
    """Return `kernel` for calls whose first argument is a column; refuse any other."""

    def checked(call: Call) -> Evaluate | str:
        return "a function of constants only" if is_constant(call.arguments[0]) else kernel(call)

    return checked


KERNELS: dict[str, Kernel] = {
    name: _over_a_column(kernel)
    for part in (fields, moves, units, text, durations)
    for name, kernel in part.KERNELS.items()
}
