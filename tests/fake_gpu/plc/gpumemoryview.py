"""Stretches of device memory: masks and data of columns."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from fake_gpu.calls import Handle
from fake_gpu.memory import Memory


class gpumemoryview(Handle):
    """A stretch of device memory; the fake's holds one value a bit, byte or number."""

    def __init__(self, data: Any) -> None:
        self.obj = data
        self.memory: Memory = data.memory
        self.values: np.ndarray = data.values

    @classmethod
    def _of(cls, memory: Memory, values: np.ndarray) -> Any:
        view = cls.__new__(cls)
        view.obj, view.memory, view.values = None, memory, values
        return view

    def memories(self) -> Iterator[Memory]:
        yield self.memory

    def __len__(self) -> int:
        return self.nbytes

    @property
    def ptr(self) -> int:
        return id(self.memory)

    @property
    def nbytes(self) -> int:
        return self.memory.size

    @property
    def size(self) -> int:
        return self.memory.size


class DeviceBuffer(gpumemoryview):
    """A stretch of device memory that owns itself (of rmm)."""
