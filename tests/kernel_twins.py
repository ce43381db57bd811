"""Python twins of kernels for the fake GPU: they get what a kernel gets, as arrays of NumPy by parameter."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import polars as pl

from arrowstream.gpu import GpuProcessor
from arrowstream.gpu.custom.compile import compile_kernels
from arrowstream.gpu.custom.compiled import HOPPER, CompiledKernel

Twin = Callable[..., None]


def give(machine: Any, processor: GpuProcessor, schema: Any, *twins: Twin) -> tuple[CompiledKernel, ...]:
    """Let twins compute the kernels of a processor, in their order."""
    compiled = compile_kernels(processor, pl.Schema(schema), HOPPER)
    for each, twin in zip(compiled, twins, strict=True):
        machine.kernels[each.entry] = _decoding(each, twin)
    return compiled


def _decoding(compiled: CompiledKernel, twin: Twin) -> Callable[..., None]:
    """Make the function that is called with what the kernel is given: its arguments, one by one."""

    def call(*raw: Any) -> None:
        if compiled.arguments == "pointers":
            *pointers, rows = raw
        else:
            arrays = list(zip(*[iter(raw)] * 7, strict=True))
            pointers, rows = [array[4] for array in arrays], raw[2]
            for (meminfo, parent, size, width, _, shape, step), one in zip(
                arrays, compiled.parameters, strict=True
            ):
                wide = np.dtype(one.element.in_numpy).itemsize
                assert (meminfo, parent, size, width, shape, step) == (0, 0, rows, wide, rows, wide)
        twin(*_views(compiled, pointers, int(rows)))

    return call


def _views(compiled: CompiledKernel, pointers: Iterable[np.ndarray], rows: int) -> Iterable[np.ndarray]:
    columns = [one for one in compiled.parameters if one.role != "count"]
    for one, found in zip(columns, pointers, strict=True):
        kind = np.dtype(one.element.in_numpy)
        values = found[: rows * kind.itemsize].view(kind)
        values.flags.writeable = one.written
        yield values
