"""Kernels at work: columns of the device in, launches on its stream, and new columns out.

Nothing is copied: a kernel reads the memory of the columns. What it writes begins as zeros, so that what it leaves
out does not depend on what the memory held before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from arrowstream.backends.base import Evaluator
from arrowstream.core.batch import Batch
from arrowstream.errors import StageError
from arrowstream.gpu import libraries as cuda
from arrowstream.gpu.call import DeviceCall
from arrowstream.gpu.custom.compiled import CompiledKernel
from arrowstream.gpu.custom.parameters import Parameter
from arrowstream.gpu.device import Device
from arrowstream.gpu.download import in_host_memory
from arrowstream.gpu.form import register
from arrowstream.gpu.rows import DeviceRows

if TYPE_CHECKING:
    import pylibcudf as plc

    from arrowstream.gpu.custom.processor import GpuProcessor

FORM = "gpu"
"""The form of rows on the first device, that of the backend."""


def on_device(
    device: Device,
    processor: GpuProcessor,
    compiled: Sequence[CompiledKernel],
    output: pa.Schema,
    memory_mb: int,
    on_cpu: Evaluator | None,
    *,
    leaves: bool,
) -> Evaluator:
    """Return what computes batches on the device.

    Parameters
    ----------
    device
        The device.
    processor, compiled
        The kernels, and their code in the same order.
    output
        The schema of the result.
    memory_mb
        Limit of the device's memory, in MiB.
    on_cpu
        What computes a batch that the device cannot compute; None for an error.
    leaves
        Whether rows are left on the device, which then is the first one, for the next step.
    """
    launches = Launches(device, processor, compiled, output)
    otherwise = on_cpu or _Failing(device)
    if leaves:
        register(FORM, lambda: device)
        return LeavingCall(FORM, lambda: device, memory_mb, launches, otherwise)
    return KernelCall(FORM, lambda: device, memory_mb, launches, otherwise)


class Launches:
    """The kernels of a processor, loaded onto a device.

    Parameters
    ----------
    device
        The device.
    processor, compiled
        The kernels, and their code in the same order.
    output
        The schema of the result.

    Attributes
    ----------
    reads : frozenset of str
        As `arrowstream.gpu.call.DeviceWork` has it.
    """

    def __init__(
        self, device: Device, processor: GpuProcessor, compiled: Sequence[CompiledKernel], output: pa.Schema
    ) -> None:
        self.reads = frozenset(processor.inputs)
        self._written = frozenset(processor.outputs)
        self._compiled = tuple(compiled)
        self._block = processor.threads
        self._output = output
        self._functions = device.run(lambda: [_loaded(each) for each in compiled])
        # Joins the calls of CuPy to the stream that all others are on.
        self._stream = device.run(lambda: cuda.cupy.cuda.Stream.from_external(device.compute))

    def __call__(self, rows: DeviceRows) -> DeviceRows:
        """Return the rows with the outputs of all kernels; called on the device's thread."""
        columns = dict(rows.resident)
        for compiled, function in zip(self._compiled, self._functions, strict=True):
            columns |= self._launch(compiled, function, columns, rows)
        unchanged = {name: source for name, source in rows.unchanged.items() if name not in self._written}
        return replace(rows, schema=self._output, resident=columns, unchanged=unchanged)

    def _launch(
        self, compiled: CompiledKernel, function: Any, columns: Mapping[str, plc.Column], rows: DeviceRows
    ) -> dict[str, plc.Column]:
        """Return the outputs of one kernel."""
        memory = [self._memory(one, columns, rows) for one in compiled.parameters]
        arguments = [
            argument
            for one, column in zip(compiled.parameters, memory, strict=True)
            for argument in _arguments(compiled, one, column, rows.num_rows)
        ]
        blocks = -(-rows.num_rows // self._block)
        function((blocks,), (self._block,), tuple(arguments), stream=self._stream)
        return self._outputs(compiled.parameters, memory, rows)

    def _memory(
        self, one: Parameter, columns: Mapping[str, plc.Column], rows: DeviceRows
    ) -> plc.Column | None:
        """Return the column whose memory a parameter points to."""
        stream = rows.device.compute
        if one.role == "count":
            return None
        if one.written:
            zero = rows.device.scalar(False if pa.types.is_boolean(one.dtype) else 0, one.dtype)
            return cuda.plc.Column.from_scalar(zero, rows.num_rows, stream=stream)
        column = columns[one.column]
        return cuda.plc.unary.is_valid(column, stream=stream) if one.role == "valid" else column

    def _outputs(
        self, parameters: Sequence[Parameter], memory: Sequence[plc.Column | None], rows: DeviceRows
    ) -> dict[str, plc.Column]:
        """Return the written columns with their nulls."""
        stream = rows.device.compute
        seen = {one.column for one in parameters if one.role == "valid" and not one.written}
        unseen = [
            column
            for one, column in zip(parameters, memory, strict=True)
            if column is not None and not one.written and one.column not in seen and column.null_count()
        ]
        found: dict[str, plc.Column] = {}
        for one, column in zip(parameters, memory, strict=True):
            if column is None or not one.written:
                continue
            if one.role == "values":
                found[one.column] = column
            else:
                mask, nulls = cuda.plc.transform.bools_to_mask(column, stream=stream)
                found[one.column] = found[one.column].with_mask(mask if nulls else None, nulls)
        if not unseen:
            return found
        return {name: _with_nulls_of(unseen, column, rows.device) for name, column in found.items()}


class KernelCall(DeviceCall[Launches]):
    """Kernels on a device. Each batch is waited for: a device reports failures late, and not for which batch."""

    def _rows(self, device: Device, batch: Batch) -> DeviceRows:
        # Rows are on the first device, if they are on one at all.
        if batch.has(FORM) and not device.number:
            return super()._rows(device, batch)
        return DeviceRows.of(batch.arrow(), device)

    def _ended(self, rows: DeviceRows) -> pa.RecordBatch | DeviceRows:
        """Return the result once all work for it is done; called on the device's thread."""
        return in_host_memory(rows)


class LeavingCall(KernelCall):
    """Kernels whose rows are left on the device, for the next step."""

    def _ended(self, rows: DeviceRows) -> pa.RecordBatch | DeviceRows:
        rows.device.synchronize()
        return rows


class _Failing:
    """What takes the place of a CPU twin where there is none.

    Parameters
    ----------
    device
        The device, which knows the last failure.
    """

    def __init__(self, device: Device) -> None:
        self._device = device

    def __call__(self, batch: Batch) -> Batch:
        reason = self._device.breaker.reason
        raise StageError(
            f"the GPU could not compute {batch.num_rows} rows, and process_gpu() has no function for the CPU",
            found=None if reason is None else f"{type(reason).__name__}: {reason}",
            hint="smaller batches by batch(rows=...) before it, a larger setting gpu_memory_pool_mb, or on_cpu(fn)",
        ) from reason


def _loaded(compiled: CompiledKernel) -> Any:
    """Return the function of a kernel's code; called on the device's thread."""
    module = cuda.cupy.cuda.Module()
    module.load(compiled.code)
    return module.get_function(compiled.entry)


def _arguments(compiled: CompiledKernel, one: Parameter, column: plc.Column | None, rows: int) -> list[Any]:
    """Return what is passed for a parameter."""
    if column is None:
        return [np.int64(rows)]
    data = column.data()
    assert data is not None  # only a column without rows has none
    width = np.dtype(one.element.in_numpy).itemsize
    # Not a view of the data by CuPy: pylibcudf gives data of a slice the length of the slice, but not its start.
    pointer = np.uint64(data.ptr + column.offset() * width)
    if compiled.arguments == "pointers":
        return [pointer]
    # An array of numba: two handles of the host's memory, size, size of a value, pointer, shape, strides in bytes.
    size, step = np.int64(rows), np.int64(width)
    return [np.int64(0), np.int64(0), size, step, pointer, size, step]


def _with_nulls_of(columns: Sequence[plc.Column], column: plc.Column, device: Device) -> plc.Column:
    """Return a column that is also null where one of some others is."""
    mask, nulls = cuda.plc.null_mask.bitmask_and([*columns, column], stream=device.compute)
    return column.with_mask(mask if nulls else None, nulls)
