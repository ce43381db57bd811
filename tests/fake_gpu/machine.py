"""The computer of a test: one GPU with its memory, streams and log."""

import itertools
import threading

from fake_gpu import cupy_package, plc, rmm_package
from fake_gpu.addresses import Addresses
from fake_gpu.log import Log
from fake_gpu.memory import Memory, Resource
from fake_gpu.queues import Clock, Queue, merge


class Machine:
    """One GPU, with the packages that reach it.

    Parameters
    ----------
    limit
        Bytes of memory of the GPU. A limit below it is set, as on a real one, by `rmm.mr.LimitingResourceAdaptor`.

    Attributes
    ----------
    plc, rmm, cupy, cupyx
        In place of the packages.
    log
        What was asked of it.
    violations
        What a device would have answered with wrong values or a crash, in words. Empty is right.
    """

    def __init__(self, limit: int = 80 << 30) -> None:
        self.lock = threading.RLock()
        self.limit = limit
        self.log = Log()
        self.violations: list[str] = []
        self.host: Clock = {}
        """What the host has waited for."""
        self.queues: list[Queue] = []
        self.pending: list = []
        """Uploads that nobody has waited for."""
        self.device_memory = self.resource = Resource(limit)
        self._allocations_until_failure: int | None = None
        self._numbers = itertools.count(1)
        self.kernels: dict[str, object] = {}
        """Python twins of CUDA kernels, by name: see `fake_gpu.cupy_package.RawKernel`."""
        self.addresses = Addresses()
        self.plc = plc
        self.rmm = rmm_package.package(self)
        self.cupy = cupy_package.package(self)
        self.cupyx = cupy_package.extras(self)

    @property
    def held(self) -> int:
        """Bytes of device memory that are allocated now."""
        return self.device_memory.held

    @property
    def most_held(self) -> int:
        """The most bytes of device memory that were allocated at a time."""
        return self.device_memory.most

    def queue(self) -> Queue:
        """Make a queue, for a new stream."""
        queue = Queue(self, next(self._numbers))
        self.queues.append(queue)
        return queue

    def fail_next(self, n: int = 1) -> None:
        """Let the n-th allocation from now fail, as if memory had run out; those after it succeed."""
        self._allocations_until_failure = n

    def allocate(self, memory: Memory) -> None:
        with self.lock:
            if self._allocations_until_failure is not None:
                self._allocations_until_failure -= 1
                if self._allocations_until_failure == 0:
                    self._allocations_until_failure = None
                    raise MemoryError(
                        "std::bad_alloc: out_of_memory: Exceeded memory limit (the test asked for it)"
                    )
            self.resource.take(memory.size)

    def wait(self, clock: Clock) -> None:
        """The host waits: uploads that are done by then have read host memory, and may not read it again."""
        with self.lock:
            merge(self.host, clock)
            done = [upload for upload in self.pending if upload.is_done()]
            self.pending = [upload for upload in self.pending if upload not in done]
        for upload in done:
            upload.read()

    def violate(self, what: str) -> None:
        """Note a violation, and raise it.

        Raises
        ------
        AssertionError
            Always.
        """
        self.violations.append(what)
        raise AssertionError(what)
