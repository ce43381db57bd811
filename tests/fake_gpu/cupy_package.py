"""What stands for the packages CuPy and cupyx: streams, events, arrays, and kernels with Python twins."""

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np

from fake_gpu.cupy_arrays import Module, RawKernel, RawModule, asarray, empty, ndarray, zeros
from fake_gpu.queues import Clock

_CURRENT = threading.local()


class Stream:
    """A handle on a queue of work; of CuPy, so that `record` and `wait_event` are here."""

    machine: Any = None

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False) -> None:
        self.queue = self.machine.queue()

    @classmethod
    def from_external(cls, external: Any) -> "Stream":
        if external.queue.machine is not cls.machine:
            raise ValueError("a stream of another machine")
        stream = cls.__new__(cls)
        stream.queue = external.queue
        return stream

    @property
    def ptr(self) -> int:
        return self.queue.number

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.queue.number

    def record(self, event: "Event | None" = None) -> "Event":
        event = event if event is not None else self.machine.cupy.cuda.Event()
        event.record(self)
        return event

    def wait_event(self, event: "Event") -> None:
        if event.clock is None:
            self.machine.violate("wait_event of an event that was never recorded: it waits for nothing")
        self.queue.wait(event.clock)

    def synchronize(self) -> None:
        self.queue.synchronize()

    def use(self) -> "Stream":
        _stack()[-1:] = [self]
        return self

    def __enter__(self) -> "Stream":
        _stack().append(self)
        return self

    def __exit__(self, *error: object) -> None:
        _stack().pop()


def _stack() -> list[Stream | None]:
    if not hasattr(_CURRENT, "streams"):
        _CURRENT.streams = [None]
    return _CURRENT.streams  # type: ignore[no-any-return]


class Event:
    """What a queue had to do when it was recorded."""

    machine: Any = None

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self.clock: Clock | None = None

    def record(self, stream: Any = None) -> None:
        if stream is None:
            self.machine.violate("Event.record without a stream records the default stream")
        self.clock = stream.queue.clock()

    def synchronize(self) -> None:
        if self.clock is None:
            self.machine.violate(
                "Event.synchronize of an event that was never recorded: it waits for nothing"
            )
        self.machine.wait(self.clock)

    @property
    def done(self) -> bool:
        """Whether its work is finished: known only once the host has waited for it."""
        return self.clock is not None and all(
            self.machine.host.get(number, 0) >= position for number, position in self.clock.items()
        )


class Device:
    """The one GPU."""

    def __init__(self, device: int | None = None) -> None:
        if device not in (None, 0):
            raise ValueError(
                f"cudaErrorInvalidDevice: invalid device ordinal ({device}): the machine has one GPU"
            )
        self.id = 0
        self.compute_capability = "90"

    def use(self) -> "Device":
        return self

    def __enter__(self) -> "Device":
        return self

    def __exit__(self, *error: object) -> None:
        return None


def package(machine: Any) -> SimpleNamespace:
    """Make the package whose classes belong to a machine."""

    def owned(kind: type) -> type:
        return type(kind.__name__, (kind,), {"machine": machine, "__module__": kind.__module__})

    def current_stream() -> Stream | None:
        found = _stack()[-1]
        return found if found is None or found.queue.machine is machine else None

    machine.current_stream = current_stream
    cuda = SimpleNamespace(
        Stream=owned(Stream),
        Event=owned(Event),
        Device=Device,
        get_current_stream=current_stream,
        Module=owned(Module),
        runtime=SimpleNamespace(
            getDeviceCount=lambda: 1,
            deviceSynchronize=lambda: synchronize(machine),
            memcpyHostToDevice=1,
            memcpyDeviceToHost=2,
            # For measurements, which look at no byte.
            memcpyAsync=lambda dst, src, size, kind, stream: None,
        ),
        set_allocator=lambda allocator=None: None,
    )
    return SimpleNamespace(
        cuda=cuda,
        ndarray=ndarray,
        asarray=asarray(machine),
        empty=empty(machine),
        zeros=zeros(machine),
        RawKernel=owned(RawKernel),
        RawModule=owned(RawModule),
        **{name: getattr(np, name) for name in _TYPES},
    )


def synchronize(machine: Any) -> None:
    """Wait for all streams."""
    for queue in machine.queues:
        queue.synchronize()


_TYPES = [
    "bool_",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float32",
    "float64",
]


def extras(machine: Any) -> SimpleNamespace:
    """Make what stands for the package cupyx: host memory is pinned by nothing here."""

    def empty_pinned(shape: Any, dtype: Any = float, order: str = "C") -> np.ndarray:
        array = np.empty(shape, dtype, order)  # type: ignore[call-overload]
        # What is not written is anything.
        array.view(np.uint8)[...] = 0xA5
        return array

    return SimpleNamespace(empty_pinned=empty_pinned)
