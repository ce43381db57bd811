"""How fast rows come to the device and back, next to bare copies of pinned memory."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

from arrowstream.gpu import libraries as cuda
from arrowstream.gpu.rows import DeviceRows
from benchmarks.gpu.subject import Subject, rows
from benchmarks.harness import ROUNDS, Figure, Scale, Section, in_turn, timed

ROWS = {"full": 16_000_000, "quick": 1_000_000, "tiny": 1_000}
NUMBERS = ("x", "y", "k")


def run(subject: Subject, scale: Scale) -> tuple[Section, dict[str, float]]:
    """Return the section, and bytes a second by direction, ``up`` and ``down``, of bare copies."""
    device = subject.device
    record = rows(ROWS[scale]).select(NUMBERS)
    size = record.nbytes
    table = device.upload(record)
    there = DeviceRows.of(record, device).with_resident(NUMBERS)
    device.run(device.synchronize)

    def upload() -> None:
        device.upload(record)
        device.run(device.synchronize)

    def download() -> None:
        device.run(lambda: device.download([there.resident[name] for name in NUMBERS], record.schema))

    rivals: dict[str, Callable[[], object]] = {
        "bare copy up": _bare_copy(subject, size, up=True),
        "upload of a batch": upload,
        "bare copy down": _bare_copy(subject, size, up=False),
        "download of a batch": download,
    }
    measured = in_turn({name: timed(work) for name, work in rivals.items()}, ROUNDS[scale] + 1)
    # The first round makes the pinned memory that later ones take over.
    speeds = {name: size / statistics.median(seconds[1:]) for name, seconds in measured.items()}
    del table
    figures = tuple(
        Figure(name, speed / 1e9, "GB/s", note=f"{size / 1e6:,.0f} MB") for name, speed in speeds.items()
    )
    bare = {"up": speeds["bare copy up"], "down": speeds["bare copy down"]}
    return Section("Transfers", figures), bare


def _bare_copy(subject: Subject, size: int, *, up: bool) -> Callable[[], None]:
    """Return a copy between pinned memory and the device, which ends when it is done."""
    cupy = cuda.cupy
    kinds = cupy.cuda.runtime.memcpyHostToDevice, cupy.cuda.runtime.memcpyDeviceToHost
    host = cuda.cupyx.empty_pinned((size,), dtype=np.uint8)
    stream = subject.device.compute

    def memory() -> Any:
        with cupy.cuda.Stream.from_external(stream):
            return cupy.empty((size,), dtype=np.uint8)

    device = subject.device.run(memory)
    pointers = (device.data.ptr, host.ctypes.data) if up else (host.ctypes.data, device.data.ptr)

    def copy() -> None:
        cupy.cuda.runtime.memcpyAsync(*pointers, size, kinds[0 if up else 1], stream.__cuda_stream__()[1])
        stream.synchronize()

    return lambda: subject.device.run(copy)
