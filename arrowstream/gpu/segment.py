"""A segment on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from arrowstream.backends.base import DeviceEvaluator, Evaluator
from arrowstream.core.batch import Batch
from arrowstream.gpu.call import DeviceCall
from arrowstream.gpu.device import Device
from arrowstream.gpu.program import DeviceProgram
from arrowstream.gpu.rows import DeviceRows
from arrowstream.gpu.types import device_type


class DeviceSegment(DeviceEvaluator):
    """The evaluator of a segment.

    Parameters
    ----------
    form
        Name of the form of rows on the device.
    device
        Returns the device.
    memory_mb
        Limit of the device's memory, in MiB.
    program
        The segment, compiled.
    on_cpu
        The same segment on the CPU.
    """

    def __init__(
        self,
        form: str,
        device: Callable[[], Device],
        memory_mb: int,
        program: DeviceProgram,
        on_cpu: Evaluator,
    ) -> None:
        self._form = form
        self._program = program
        self._call = DeviceCall(form, device, memory_mb, program, on_cpu)

    @property
    def reads(self) -> frozenset[str]:
        return self._program.reads

    @property
    def passed(self) -> Mapping[str, str]:
        return self._program.passed

    def look_ahead(self, names: Iterable[str]) -> None:
        types = {field.name: field.type for field in self._program.input}
        self.ahead = frozenset(name for name in names if device_type(types[name]) is not None)
        self._call.wanted = self.reads | self.ahead

    def bring(self, batch: Batch) -> int:
        device = self._call.opened() if batch.num_rows else None
        if device is None or device.breaker.is_open:
            return 0
        rows: DeviceRows = batch.form(self._form)
        try:
            there = rows.with_resident(self._call.wanted)
        except (MemoryError, OverflowError, RuntimeError):
            # The call with the batch meets the same, and says so.
            return 0
        batch.keep(there)
        return there.device_bytes - rows.device_bytes

    def __call__(self, batch: Batch) -> Batch:
        before = self._call.left_to_cpu
        found = self._call(batch)
        self.left_to_host += self._call.left_to_cpu != before
        return found
