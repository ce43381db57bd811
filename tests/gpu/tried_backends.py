"""Backends that run one segment over records: the Arrow backend, Polars, and GPUs, made of numpy or real."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from arrowstream.backends.arrow.backend import ArrowBackend
from arrowstream.backends.base import Backend
from arrowstream.backends.polars import PolarsBackend
from arrowstream.core.batch import Batch
from arrowstream.expressions.program import Program, Refusal
from arrowstream.gpu.presence import missing
from arrowstream.plan.segment import Segment


@dataclass(frozen=True)
class Outcome:
    """Rows, or None if the backend leaves them to Polars, because a value may be in doubt."""

    rows: pa.RecordBatch | None


Compute = Callable[[pa.RecordBatch], Outcome]


class TriedBackend(ABC):
    """A backend under test."""

    name: str
    leaves_errors: ClassVar[bool] = False
    """True if rows for which Polars raises are left to Polars."""

    @abstractmethod
    def prepare(self, segment: Segment, program: Program | Refusal) -> Compute | Refusal:
        """What computes the segment, or the reasons why it is refused."""


class OnCpu(TriedBackend):
    """A backend that computes in host memory."""

    def __init__(self, backend: Backend) -> None:
        self.name, self._backend = backend.name, backend

    def prepare(self, segment: Segment, program: Program | Refusal) -> Compute | Refusal:
        evaluate = self._backend.prepare(segment, program)
        if isinstance(evaluate, Refusal):
            return evaluate
        return lambda record: Outcome(evaluate(Batch(record)).arrow())


class OnGpu(TriedBackend):
    """Programs on a device, without the CPU behind it, so that no failure is hidden."""

    name = "gpu"
    leaves_errors = True

    def __init__(self, device: Any, machine: Any = None) -> None:
        self.device, self.machine = device, machine

    def prepare(self, segment: Segment, program: Program | Refusal) -> Compute | Refusal:
        return program if isinstance(program, Refusal) else self.compiled(program)

    def compiled(self, program: Program) -> Compute | Refusal:
        """What computes a program, or the reasons why it is refused."""
        from arrowstream.gpu.download import in_host_memory
        from arrowstream.gpu.program import compile_program
        from arrowstream.gpu.rows import DeviceRows

        compiled = compile_program(program)
        if isinstance(compiled, Refusal):
            return compiled

        def compute(record: pa.RecordBatch) -> Outcome:
            def work() -> pa.RecordBatch | None:
                rows = DeviceRows.of(record, self.device).with_resident(compiled.reads)
                self.device.retain(rows)
                found = compiled(rows)
                return None if found is None else in_host_memory(found)

            return Outcome(self.device.run(work))

        return compute


@contextmanager
def fake_gpu() -> Iterator[OnGpu]:
    """A GPU made of numpy; at the end nothing was done that a device minds."""
    from fake_gpu import Machine

    from arrowstream.gpu import libraries
    from arrowstream.gpu.device import Device

    machine = Machine()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("plc", "rmm", "cupy", "cupyx"):
            patch.setattr(libraries, name, getattr(machine, name))
        device = Device(memory_mb=4096)
        yield OnGpu(device, machine)
        device.run(device.synchronize)
    assert machine.violations == [], machine.violations[:3]


@contextmanager
def real_gpu() -> Iterator[OnGpu]:
    """The GPU of this machine."""
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    from arrowstream.gpu.device import device_of_process

    yield OnGpu(device_of_process(0))


@contextmanager
def on_arrow() -> Iterator[OnCpu]:
    """The Arrow backend."""
    yield OnCpu(ArrowBackend())


@contextmanager
def on_polars() -> Iterator[OnCpu]:
    """Polars itself, which keeps the comparison honest."""
    yield OnCpu(PolarsBackend())


BACKENDS = [
    pytest.param(on_arrow, id="arrow"),
    pytest.param(on_polars, id="polars"),
    # It computes the programs that the Arrow backend computes on the oldest Polars, too, and nothing of Polars.
    pytest.param(fake_gpu, id="fake-gpu", marks=pytest.mark.once),
    pytest.param(real_gpu, id="gpu", marks=pytest.mark.gpu),
]
