"""Modules of machine code, as CuPy loads them; Python twins given by a test compute their kernels.

A kernel is given pointers to device memory. The fake's are those of its own memory, so that a twin gets what lies
there, as bytes.
"""

import weakref
from typing import Any

import numpy as np

from fake_gpu.cupy_arrays import _check_launch
from fake_gpu.memory import Memory


class Addresses:
    """What lies where: only memory whose address was asked for is known."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, np.ndarray]] = {}

    def of(self, memory: Memory, bytes_: np.ndarray) -> int:
        """Give the address of bytes, and remember it."""
        address = int(bytes_.ctypes.data)
        self._known.pop(address, None)  # the newest comes last
        self._known[address] = (weakref.ref(memory), bytes_)
        return address

    def at(self, address: int) -> tuple[Memory | None, np.ndarray]:
        """Give the memory at an address, None if it was let go, and the bytes from there on.

        Raises
        ------
        ValueError
            Nothing is there.
        """
        for start, (memory, bytes_) in reversed(self._known.items()):
            if start <= address <= start + bytes_.nbytes:
                return memory(), bytes_[address - start :]
        raise ValueError(f"an illegal memory access: nothing is at {address:#x}")


class Module:
    """Machine code."""

    machine: Any = None

    def __init__(self) -> None:
        self.code = b""

    def load(self, cubin: bytes) -> None:
        if not cubin.startswith(b"\x7fELF"):
            raise RuntimeError("CUDA_ERROR_INVALID_IMAGE: device kernel image is invalid")
        self.code = cubin

    def get_function(self, name: str) -> "Function":
        if name.encode() not in self.code:
            raise RuntimeError("CUDA_ERROR_NOT_FOUND: named symbol not found")
        return Function(self, name)


class Function:
    """A kernel of a module: launches are logged, and computed by the twin `machine.kernels[name]`.

    Pointers are numbers of 64 bits without a sign, for which the twin gets the bytes that they point to.
    """

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
        machine, what = self.module.machine, f"kernel {self.name}"
        if stream is None:
            machine.violate(f"{what} was launched without a stream")
        if stream.queue.machine is not machine:
            raise ValueError(f"{what} is launched on a stream of another machine")
        _check_launch(machine, self.name, grid, block)
        stream.queue.push()
        values = []
        for arg in args:
            if not isinstance(arg, np.generic):
                raise TypeError(f"Unsupported type {type(arg)}")
            if isinstance(arg, np.uint64):
                memory, found = machine.addresses.at(int(arg))
                if memory is None:
                    machine.violate(f"use after free: {what} is given memory that was let go")
                memory.use(stream.queue, what)
                values.append(found)
            else:
                values.append(arg)
        machine.log.launches.append((self.name, tuple(grid), tuple(block), tuple(args)))
        twin = machine.kernels.get(self.name)
        if twin is None:
            raise NotImplementedError(f"the test must give a twin: machine.kernels[{self.name!r}] = ...")
        twin(*values)
