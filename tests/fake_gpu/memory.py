"""Device memory: how much there is, who made it on which queue, and who still reads it."""

import weakref

from fake_gpu.queues import Queue

ALIGNMENT = 256
"""rmm counts allocations in multiples of this many bytes (rmm/aligned.hpp: CUDA_ALLOCATION_ALIGNMENT)."""


def aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


class Resource:
    """Where memory comes from (rmm's DeviceMemoryResource): counts bytes up to a limit."""

    def __init__(self, limit: int, upstream: "Resource | None" = None) -> None:
        self.limit = limit
        self.upstream = upstream
        self.held = 0
        self.most = 0

    def take(self, size: int) -> None:
        if self.held + size > self.limit:
            raise MemoryError(
                "std::bad_alloc: out_of_memory: Exceeded memory limit (failed to allocate"
                f" {size} bytes: {self.held} of {self.limit} are taken)"
            )
        if self.upstream is not None:
            self.upstream.take(size)
        self.held += size
        self.most = max(self.most, self.held)

    def give_back(self, size: int) -> None:
        self.held -= size
        if self.upstream is not None:
            self.upstream.give_back(size)


class Memory:
    """One allocation, made on a queue; freed on that queue once nothing refers to it.

    Parameters
    ----------
    queue
        Where it is made: what writes it is the queue's newest piece of work.
    size
        Bytes.
    """

    def __init__(self, queue: Queue, size: int) -> None:
        machine = queue.machine
        self.machine = machine
        self.size = aligned(size)
        self.queue = queue
        self.written = queue.position
        self.reads: dict[int, int] = {}
        """The newest work of other queues that reads or writes this, by number of the queue."""
        machine.allocate(self)
        weakref.finalize(self, _free, machine, machine.resource, self.size, queue, self.reads).atexit = False

    def use(self, queue: Queue, call: str) -> None:
        """Let the newest work of a queue read this memory.

        Raises
        ------
        AssertionError
            The queue has not waited for the one that writes it.
        """
        if queue is self.queue:
            return
        if not queue.knows(self.queue.number, self.written):
            self.machine.violate(
                f"race: {call} uses, on stream {queue.number}, a column that is written on stream"
                f" {self.queue.number}, for which it has not waited; record an event there and wait for it"
            )
        self.reads[queue.number] = queue.position


def _free(machine, resource: Resource, size: int, queue: Queue, reads: dict[int, int]) -> None:
    with machine.lock:
        resource.give_back(size)
        for number, position in reads.items():
            if not queue.knows(number, position):
                machine.violations.append(
                    f"use after free: memory made on stream {queue.number} was let go while stream {number} may"
                    " still use it; keep it until that stream is synchronised"
                )
