"""Work on the device. What the device cannot compute, for its memory or its arithmetic, the CPU computes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Generic, Protocol, TypeVar

import pyarrow as pa

from arrowstream.backends.base import Evaluator
from arrowstream.core.batch import Batch, joined_batch
from arrowstream.gpu.device import Device
from arrowstream.gpu.rows import DeviceRows

_LOG = logging.getLogger("arrowstream.gpu")

LEAST_ROWS = 1_024
"""Batches of fewer rows are not halved when the device's memory does not suffice: the CPU computes them."""


class DeviceWork(Protocol):
    """What a device computes: a compiled program, or kernels of the user."""

    @property
    def reads(self) -> frozenset[str]:
        """The columns of the input that it reads, and does not only pass on."""
        ...

    def __call__(self, rows: DeviceRows) -> DeviceRows | None:
        """Return the result, or None if a row is in doubt; called on the device's thread."""
        ...


Work = TypeVar("Work", bound=DeviceWork)


class _Left(threading.local):
    """Number of rows that the CPU has computed in calls from a thread."""

    rows = 0


class DeviceCall(Generic[Work]):
    """Work on the device, batch by batch, with the CPU behind it.

    Parameters
    ----------
    form
        Name of the form of rows on the device.
    device
        Returns the device.
    memory_mb
        Limit of the device's memory, in MiB.
    work
        What the device computes.
    on_cpu
        The same on the CPU.

    Attributes
    ----------
    wanted : frozenset of str
        The columns that are brought to the device.
    """

    def __init__(
        self,
        form: str,
        device: Callable[[], Device],
        memory_mb: int,
        work: Work,
        on_cpu: Evaluator,
    ) -> None:
        self._form = form
        self._device = device
        self._memory_mb = memory_mb
        self._work = work
        self._on_cpu = on_cpu
        self._absent = False
        self.wanted = work.reads
        self._left = _Left()

    @property
    def left_to_host(self) -> int:
        """Number of rows that the CPU has computed so far, in calls from this thread."""
        return self._left.rows

    def __call__(self, batch: Batch) -> Batch:
        device = self.opened() if batch.num_rows else None
        if device is None or not device.breaker.lets_through():
            return self._leave(batch)
        try:
            try:
                found = self._on_device(device, batch)
            except (MemoryError, OverflowError) as failed:  # the second one: a column of text is too long
                # Without the calls that it came through, which hold what they had made.
                too_large: Exception = failed.with_traceback(None)
            else:
                device.breaker.worked()
                return found
            device.run(device.synchronize)
        except RuntimeError as error:
            return self._after_failure(device, batch, error.with_traceback(None))
        return self._in_halves(device, batch, too_large)

    def opened(self) -> Device | None:
        """Return the device with its limit of memory; None if it cannot be opened."""
        if self._absent:
            return None
        try:
            device = self._device()
        except Exception as error:  # drivers fail in many ways
            self._absent = True
            _LOG.warning("the GPU cannot be opened, the CPU goes on without it: %s", error)
            return None
        device.limit_memory(self._memory_mb)
        return device

    def _on_device(self, device: Device, batch: Batch) -> Batch:
        rows = self._rows(device, batch)

        def compute() -> DeviceRows | pa.RecordBatch | None:
            there = rows.with_resident(self.wanted)
            found = device.using(there, lambda: self._work(there))
            return None if found is None else self._ended(found)

        found = device.run(compute)
        if found is None:
            return self._leave(batch)
        if isinstance(found, DeviceRows):
            found = replace(found, steps=(*rows.steps, self._leave))
        return batch.with_rows(found)

    def _rows(self, device: Device, batch: Batch) -> DeviceRows:
        """Return the rows of a batch in the form that the device computes with."""
        rows: DeviceRows = batch.form(self._form)
        return rows

    def _ended(self, rows: DeviceRows) -> DeviceRows | pa.RecordBatch:
        """Return what becomes of a result; called on the device's thread."""
        return rows

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
        return self._leave(batch)

    def _leave(self, batch: Batch) -> Batch:
        """Leave a batch, or a part of one, to the CPU."""
        self._left.rows += batch.num_rows
        return self._on_cpu(batch)
