"""A segment on the device. What the device cannot compute, for its memory or its arithmetic, the CPU computes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import pyarrow as pa

from arrowstream.backends.base import DeviceEvaluator, Evaluator
from arrowstream.core.batch import Batch, joined_batch
from arrowstream.gpu.device import Device
from arrowstream.gpu.rows import DeviceRows
from arrowstream.gpu.types import device_type

_LOG = logging.getLogger("arrowstream.gpu")

LEAST_ROWS = 1_024
"""Batches of fewer rows are not halved when the device's memory does not suffice: the CPU computes them."""


class DeviceWork(Protocol):
    """What a device computes: a compiled program, or kernels of the user."""

    @property
    def reads(self) -> frozenset[str]:
        """The columns of the input that it reads, and does not only pass on."""
        ...

    @property
    def passed(self) -> Mapping[str, str]:
        """The columns that come out unchanged, each with the name that it came in with."""
        ...

    @property
    def input(self) -> pa.Schema:
        """The schema of the rows that come in."""
        ...

    def __call__(self, rows: DeviceRows) -> DeviceRows | None:
        """Return the result, or None if a row is in doubt; called on the device's thread."""
        ...


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
        program: DeviceWork,
        on_cpu: Evaluator,
    ) -> None:
        self._form = form
        self._device = device
        self._memory_mb = memory_mb
        self._program = program
        self._on_cpu = on_cpu
        self._absent = False

    @property
    def reads(self) -> frozenset[str]:
        return self._program.reads

    @property
    def passed(self) -> Mapping[str, str]:
        return self._program.passed

    def look_ahead(self, names: Iterable[str]) -> None:
        types = {field.name: field.type for field in self._program.input}
        self.ahead = frozenset(name for name in names if device_type(types[name]) is not None)

    def bring(self, batch: Batch) -> int:
        device = self._usable() if batch.num_rows else None
        if device is None:
            return 0
        rows: DeviceRows = batch.form(self._form)
        try:
            there = rows.with_resident(self.reads | self.ahead)
        except (MemoryError, OverflowError, RuntimeError):
            # The call with the batch meets the same, and says so.
            return 0
        batch.keep(there)
        return there.device_bytes - rows.device_bytes

    def __call__(self, batch: Batch) -> Batch:
        device = self._usable() if batch.num_rows else None
        if device is None:
            return self._on_cpu(batch)
        try:
            found = self._on_device(device, batch)
        except (MemoryError, OverflowError) as failed:  # the second one: a column of text is too long
            # Without the calls that it came through, which hold what they had made.
            too_large: Exception = failed.with_traceback(None)
        except RuntimeError as error:
            return self._after_failure(device, batch, error)
        else:
            device.breaker.worked()
            return found
        device.run(device.synchronize)
        return self._in_halves(device, batch, too_large)

    def _usable(self) -> Device | None:
        """Return the device, unless it cannot be opened or has failed too often."""
        if self._absent:
            return None
        try:
            device = self._device()
        except Exception as error:  # drivers fail in many ways
            self._absent = True
            _LOG.warning("the GPU cannot be opened, the CPU goes on without it: %s", error)
            return None
        if device.breaker.is_open:
            return None
        device.limit_memory(self._memory_mb)
        return device

    def _on_device(self, device: Device, batch: Batch) -> Batch:
        rows: DeviceRows = batch.form(self._form)
        wanted = self.reads | self.ahead

        def compute() -> DeviceRows | None:
            there = rows.with_resident(wanted)
            try:
                return self._program(there)
            finally:
                # Its memory goes back in the order of the stream that brought it, which may be ahead of this work.
                device.retain(there)

        found = device.run(compute)
        return self._on_cpu(batch) if found is None else batch.with_rows(found)

    def _in_halves(self, device: Device, batch: Batch, error: Exception) -> Batch:
        """Compute a batch that is too large for the device in two parts, one after the other."""
        rows = batch.num_rows
        if rows < 2 * LEAST_ROWS:
            return self._after_failure(device, batch, error)
        _LOG.info("a batch of %d rows is too large for the GPU, its halves are tried: %s", rows, error)
        # From host memory: parts of rows on the device would hold all of them there.
        whole = Batch(batch.arrow(), batch.position, batch.ingest_ns)
        batch.forget(self._form)
        halves = ((0, rows // 2), (rows // 2, rows))
        return joined_batch(
            [self._in_host_memory(whole.slice(start, stop - start)) for start, stop in halves]
        )

    def _in_host_memory(self, batch: Batch) -> Batch:
        """Return the result of a part, which leaves the device before the next part comes."""
        found = self(batch)
        return Batch(found.arrow(), found.position, found.ingest_ns)

    def _after_failure(self, device: Device, batch: Batch, error: Exception) -> Batch:
        _LOG.warning("the GPU could not compute a batch of %d rows, the CPU does: %s", batch.num_rows, error)
        device.breaker.failed(error)
        return self._on_cpu(batch)
