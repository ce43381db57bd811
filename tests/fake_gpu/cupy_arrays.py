"""Arrays of CuPy over device memory, and kernels, which Python twins given by a test compute."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from fake_gpu.calls import Handle
from fake_gpu.memory import Memory


class ndarray(Handle):
    """An array of one dimension on the device; `host` is for twins of kernels."""

    def __init__(self, memory: Memory, host: np.ndarray, owner: Any = None) -> None:
        self.memory = memory
        self.host = host
        self._owner = owner

    def memories(self) -> Iterator[Memory]:
        yield self.memory

    @property
    def bytes(self) -> np.ndarray:
        return self.host.view(np.uint8)

    @property
    def dtype(self) -> np.dtype:
        return self.host.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.host.shape

    @property
    def size(self) -> int:
        return self.host.size

    @property
    def nbytes(self) -> int:
        return self.host.nbytes

    @property
    def data(self) -> Any:
        return SimpleNamespace(ptr=self.memory.machine.addresses.of(self.memory, self.bytes), mem=self.memory)

    def __len__(self) -> int:
        return len(self.host)

    def view(self, dtype: Any = None) -> "ndarray":
        return ndarray(self.memory, self.host.view(dtype), self)

    def __getitem__(self, key: slice) -> "ndarray":
        if not isinstance(key, slice) or key.step not in (None, 1):
            raise NotImplementedError("the fake's arrays give slices only")
        return ndarray(self.memory, self.host[key], self)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "data": (id(self.memory), False),
            "shape": self.shape,
            "typestr": self.dtype.str,
            "version": 3,
            "strides": None,
        }


def _queue(machine: Any, what: str) -> Any:
    stream = machine.current_stream()
    if stream is None:
        machine.violate(f"{what} outside of `with stream:` runs on the default stream")
    return stream.queue


def asarray(machine: Any) -> Callable[..., ndarray]:
    """Make `cupy.asarray`: of device memory only, without a copy."""

    def asarray(a: Any, dtype: Any = None, order: Any = None, *, blocking: bool = False) -> ndarray:
        if isinstance(a, ndarray):
            return a
        if not hasattr(a, "memory"):
            raise NotImplementedError("the fake's asarray is for device memory, not for uploads")
        return ndarray(a.memory, a.bytes.view(np.uint8), a)

    return asarray


def empty(machine: Any) -> Callable[..., ndarray]:
    """Make `cupy.empty`: memory on the current stream, with anything in it."""

    def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
        queue = _queue(machine, "cupy.empty")
        queue.push()
        host = np.empty(shape, dtype)
        host.view(np.uint8)[...] = 0xA5
        return ndarray(Memory(queue, host.nbytes), host)

    return empty


def zeros(machine: Any) -> Callable[..., ndarray]:
    """Make `cupy.zeros`."""

    def zeros(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
        queue = _queue(machine, "cupy.zeros")
        queue.push()
        host = np.zeros(shape, dtype)
        return ndarray(Memory(queue, host.nbytes), host)

    return zeros


class RawKernel:
    """A CUDA kernel: launches are logged, and computed by the twin `machine.kernels[name]`, a function.

    The twin is called with what the kernel is given; into arrays, which are NumPy's, it writes. Pointers are
    numbers of 64 bits without a sign, for which it gets the bytes that they point to. A part of the name will do as
    a key.
    """

    machine: Any = None

    def __init__(
        self,
        code: str,
        name: str,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        translate_cucomplex: bool = False,
        *,
        enable_cooperative_groups: bool = False,
        jitify: bool = False,
    ) -> None:
        self.code = code
        self.name = name
        self.options = options

    def compile(self, log_stream: Any = None) -> None:
        """Nothing: the twin is Python."""

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: Any, *, shared_mem: int = 0
    ) -> None:
        queue = _queue(self.machine, f"kernel {self.name}")
        _launch(self.machine, self.name, queue, tuple(grid), tuple(block), tuple(args))


class Module:
    """Compiled code of several kernels."""

    machine: Any = None

    def __init__(self) -> None:
        self.code = b""

    def load(self, cubin: bytes) -> None:
        if not cubin:
            raise RuntimeError("CUDA_ERROR_INVALID_IMAGE: device kernel image is invalid")
        self.code = cubin

    def get_function(self, name: str) -> "Function":
        if not self.code:
            raise RuntimeError("CUDA_ERROR_INVALID_HANDLE: no code is loaded")
        return Function(self, name)


class Function:
    """A kernel of a module; launched as a `RawKernel` is, or on a stream that is given."""

    def __init__(self, module: Module, funcname: str) -> None:
        self.module = module
        self.name = funcname

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: Any,
        shared_mem: int = 0,
        stream: Any = None,
        enable_cooperative_groups: bool = False,
    ) -> None:
        machine = self.module.machine
        queue = stream.queue if stream is not None else _queue(machine, f"kernel {self.name}")
        _launch(machine, self.name, queue, tuple(grid), tuple(block), tuple(args))


class RawModule:
    """CUDA source of several kernels."""

    machine: Any = None

    def __init__(
        self,
        code: str | None = None,
        *,
        path: str | None = None,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
        name_expressions: Any = None,
        jitify: bool = False,
    ) -> None:
        self.code = code or ""

    def get_function(self, name: str) -> RawKernel:
        return self.machine.cupy.RawKernel(self.code, name)  # type: ignore[no-any-return]


def _launch(
    machine: Any, name: str, queue: Any, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...]
) -> None:
    """Log a launch, and let the kernel's twin compute it."""
    threads = int(np.prod(block))
    if not 1 <= threads <= 1024 or not all(0 < size < 2**31 for size in grid):
        raise RuntimeError(f"CUDA_ERROR_INVALID_VALUE: kernel {name} with grid {grid} of blocks {block}")
    if queue.machine is not machine:
        raise ValueError(f"kernel {name} is launched on a stream of another machine")
    queue.push()
    values = []
    for arg in args:
        if isinstance(arg, ndarray):
            if arg.memory.machine is not machine:
                raise ValueError(f"kernel {name} is given an array of another machine")
            arg.memory.use(queue, f"kernel {name}")
            values.append(arg.host)
        elif isinstance(arg, np.uint64):
            # A pointer: its twin gets the bytes from there on.
            memory, found = machine.addresses.at(int(arg))
            if memory is None:
                machine.violate(f"use after free: kernel {name} is given memory that was let go")
            memory.use(queue, f"kernel {name}")
            values.append(found)
        elif isinstance(arg, np.generic | int | float):
            values.append(arg)
        else:
            raise TypeError(f"Unsupported type {type(arg)}")
    machine.log.launches.append((name, grid, block, args))
    # Names of Python kernels are mangled.
    twin = machine.kernels.get(name) or next(
        (twin for key, twin in machine.kernels.items() if key in name), None
    )
    if twin is None:
        raise NotImplementedError(f"the test must give a Python twin: machine.kernels[{name!r}] = ...")
    twin(*values)
