"""A segment on the device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from arrowstream.backends.base import DeviceEvaluator
from arrowstream.core.batch import Batch
from arrowstream.gpu.call import DeviceCall
from arrowstream.gpu.program import DeviceProgram
from arrowstream.gpu.rows import DeviceRows
from arrowstream.gpu.types import device_type


class DeviceSegment(DeviceCall[DeviceProgram], DeviceEvaluator):
    """The evaluator of a segment: calls of a compiled program, which says what it reads and passes on."""

    @property
    def reads(self) -> frozenset[str]:
        return self._work.reads

    @property
    def passed(self) -> Mapping[str, str]:
        return self._work.passed

    def look_ahead(self, names: Iterable[str]) -> None:
        types = {field.name: field.type for field in self._work.input}
        self.ahead = frozenset(name for name in names if device_type(types[name]) is not None)
        self.wanted = self.reads | self.ahead

    def bring(self, batch: Batch) -> int:
        device = self.opened() if batch.num_rows else None
        if device is None or device.breaker.is_open:
            return 0
        rows: DeviceRows = batch.form(self._form)
        try:
            there = rows.with_resident(self.wanted)
        except (MemoryError, OverflowError, RuntimeError):
            # The call with the batch meets the same, and says so.
            return 0
        batch.keep(there)
        return there.device_bytes - rows.device_bytes
