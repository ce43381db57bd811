"""The GPU backend: segments on pylibcudf, with the CPU behind it."""

from __future__ import annotations

from functools import cache

from arrowstream.backends.base import Backend, Evaluator, Frames
from arrowstream.backends.polars import PolarsBackend
from arrowstream.core.batch import Batch
from arrowstream.core.rows.forms import Form, register_form
from arrowstream.expressions.program import Program, Refusal
from arrowstream.gpu.device import Device
from arrowstream.gpu.program import DeviceProgram, compile_program
from arrowstream.gpu.rows import DeviceRows


class GpuBackend(Backend):
    """The backend that runs lowered segments on an NVIDIA GPU; it refuses those whose results could differ.

    Parameters
    ----------
    device
        The device.
    name
        The name of the backend, and of its form of rows.
    """

    start_cost = (150.0, 0.0001)

    def __init__(self, device: Device, name: str = "gpu") -> None:
        self.name = name  # type: ignore[misc]
        self._device = device
        register_form(
            Form(
                name,
                DeviceRows,
                from_arrow=lambda record: DeviceRows.of(record, device),
                to_arrow=lambda rows: device.run(rows.in_host_memory),
                num_rows=lambda rows: rows.num_rows,
                nbytes=lambda rows: rows.nbytes,
                slice=lambda rows, offset, length: device.run(lambda: rows.sliced(offset, length)),
            )
        )

    def prepare(self, segment: Frames, program: Program | Refusal) -> Evaluator | Refusal:
        if isinstance(program, Refusal):
            return program
        compiled = compile_program(program)
        if isinstance(compiled, Refusal):
            return compiled
        return DeviceSegment(self.name, self._device, compiled, PolarsBackend().prepare(segment, program))


class DeviceSegment:
    """A segment on the device; what the device cannot compute, for its memory or its arithmetic, the CPU does."""

    def __init__(self, form: str, device: Device, program: DeviceProgram, on_cpu: Evaluator) -> None:
        self._form = form
        self._device = device
        self._program = program
        self._on_cpu = on_cpu
        self.ahead: frozenset[str] = frozenset()
        """Columns that the stages after this one read on the device, to be brought there by the same upload."""

    @property
    def reads(self) -> frozenset[str]:
        """The columns that it reads."""
        return self._program.reads

    def __call__(self, batch: Batch) -> Batch:
        breaker = self._device.breaker
        if breaker.is_open:
            return self._on_cpu(batch)
        try:
            found = self._on_device(batch)
        except MemoryError as error:
            return self._in_halves(batch, error)
        breaker.worked()
        return found

    def _on_device(self, batch: Batch) -> Batch:
        rows: DeviceRows = batch.form(self._form)
        found = self._device.run(lambda: self._program(rows.with_resident(self._program.reads | self.ahead)))
        return self._on_cpu(batch) if found is None else batch.with_rows(found)

    def _in_halves(self, batch: Batch, error: MemoryError) -> Batch:
        raise NotImplementedError


@cache
def shared_device() -> Device:
    """Return the device of this process."""
    return Device()
