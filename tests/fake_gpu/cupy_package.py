"""What stands for the package CuPy: streams and events."""

from types import SimpleNamespace
from typing import Any

from fake_gpu.queues import Clock


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


class Event:
    """What a queue had to do when it was recorded."""

    machine: Any = None

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self.clock: Clock | None = None

    def record(self, stream: Any = None) -> None:
        if stream is None:
            self.machine.violate("Event.record without a stream records the default stream")
        self.clock = dict(stream.queue.after)

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


def package(machine: Any) -> SimpleNamespace:
    """Make the package whose classes belong to a machine."""
    cuda = SimpleNamespace(
        **{
            kind.__name__: type(kind.__name__, (kind,), {"machine": machine, "__module__": kind.__module__})
            for kind in (Stream, Event)
        }
    )
    return SimpleNamespace(cuda=cuda)


def extras(machine: Any) -> SimpleNamespace:
    """Make what stands for the package cupyx."""
    return SimpleNamespace()
