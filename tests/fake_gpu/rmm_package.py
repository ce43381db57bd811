"""What stands for the package rmm: streams, memory resources."""

import math
from types import SimpleNamespace
from typing import Any

from rmm.pylibrmm.stream import CudaStreamFlags

from fake_gpu.memory import Memory, Resource
from fake_gpu.plc.gpumemoryview import DeviceBuffer


class Stream:
    """A handle on a queue of work."""

    machine: Any = None

    def __init__(self, obj: Any | None = None, flags: CudaStreamFlags = CudaStreamFlags.SYNC_DEFAULT) -> None:
        self.queue = self.machine.queue() if obj is None else obj.queue
        self.flags = flags

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.queue.number

    def synchronize(self) -> None:
        self.queue.synchronize()

    def is_default(self) -> bool:
        return False

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Stream) and self.queue is other.queue

    def __hash__(self) -> int:
        return hash(self.queue)


class DeviceMemoryResource:
    machine: Any = None
    pool: Resource

    def allocate(self, nbytes: int, stream: Any = None) -> int:
        raise NotImplementedError("the fake allocates by columns and buffers only")

    def deallocate(self, ptr: int, nbytes: int, stream: Any = None) -> None:
        raise NotImplementedError("the fake frees what nothing refers to")


class UpstreamResourceAdaptor(DeviceMemoryResource):
    def __init__(self, upstream_mr: DeviceMemoryResource, *args: Any, **kwargs: Any) -> None:
        self.upstream_mr = upstream_mr

    def get_upstream(self) -> DeviceMemoryResource:
        return self.upstream_mr


class CudaMemoryResource(DeviceMemoryResource):
    def __init__(self) -> None:
        self.pool = self.machine.device_memory


class CudaAsyncMemoryResource(DeviceMemoryResource):
    def __init__(
        self,
        initial_pool_size: int | str | None = None,
        release_threshold: int | None = None,
        enable_ipc: bool = False,
        enable_fabric: bool = False,
    ) -> None:
        self.pool = self.machine.device_memory


class LimitingResourceAdaptor(UpstreamResourceAdaptor):
    def __init__(self, upstream_mr: DeviceMemoryResource, allocation_limit: int) -> None:
        super().__init__(upstream_mr)
        self.pool = Resource(allocation_limit, upstream_mr.pool)

    def get_allocated_bytes(self) -> int:
        return self.pool.held

    def get_allocation_limit(self) -> int:
        return int(self.pool.limit)


class StatisticsResourceAdaptor(UpstreamResourceAdaptor):
    def __init__(self, upstream_mr: DeviceMemoryResource) -> None:
        super().__init__(upstream_mr)
        self.pool = Resource(math.inf, upstream_mr.pool)  # type: ignore[arg-type]

    @property
    def allocation_counts(self) -> Any:
        return SimpleNamespace(current_bytes=self.pool.held, peak_bytes=self.pool.most)


class _Current:
    """The resource that a machine's functions allocate from."""

    def __init__(self, machine: Any, first: DeviceMemoryResource) -> None:
        self._machine = machine
        self._resource = first

    def set_current_device_resource(self, mr: DeviceMemoryResource) -> None:
        if mr.machine is not self._machine:
            raise ValueError("a memory resource of another machine")
        self._resource = mr
        self._machine.resource = mr.pool

    def set_per_device_resource(self, device: int, mr: DeviceMemoryResource) -> None:
        if device != 0:
            raise ValueError("the machine has one GPU, number 0")
        self.set_current_device_resource(mr)

    def get_per_device_resource(self, device: int) -> DeviceMemoryResource:
        return self._resource

    def get_current_device_resource(self) -> DeviceMemoryResource:
        return self._resource

    def available_device_memory(self) -> tuple[int, int]:
        return self._machine.limit - self._machine.held, self._machine.limit


def package(machine: Any) -> SimpleNamespace:
    """Make the package whose classes belong to a machine."""

    def owned(kind: type) -> type:
        return type(kind.__name__, (kind,), {"machine": machine, "__module__": kind.__module__})

    stream = owned(Stream)
    resources = {
        kind.__name__: owned(kind)
        for kind in (
            CudaMemoryResource,
            CudaAsyncMemoryResource,
            LimitingResourceAdaptor,
            StatisticsResourceAdaptor,
        )
    }
    current = _Current(machine, resources["CudaMemoryResource"]())
    mr = SimpleNamespace(
        DeviceMemoryResource=DeviceMemoryResource,
        **resources,
        set_current_device_resource=current.set_current_device_resource,
        set_per_device_resource=current.set_per_device_resource,
        get_per_device_resource=current.get_per_device_resource,
        get_current_device_resource=current.get_current_device_resource,
        available_device_memory=current.available_device_memory,
    )
    streams = SimpleNamespace(Stream=stream, CudaStreamFlags=CudaStreamFlags)
    return SimpleNamespace(
        mr=mr,
        pylibrmm=SimpleNamespace(stream=streams, memory_resource=mr),
        DeviceBuffer=DeviceBuffer,
        allocators=SimpleNamespace(cupy=SimpleNamespace(rmm_cupy_allocator=_rmm_cupy_allocator)),
    )


def _rmm_cupy_allocator(nbytes: int) -> Memory:
    raise NotImplementedError("given to cupy.cuda.set_allocator only")
