"""Where device memory lies, for kernels that are given pointers."""

import weakref
from typing import Any

import numpy as np

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
