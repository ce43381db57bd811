"""Stretches of device memory: masks and data of columns."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from fake_gpu.calls import Handle
from fake_gpu.memory import Memory


class gpumemoryview(Handle):
    """A stretch of device memory; its bytes are for the fake's own functions.

    Parameters
    ----------
    data
        What owns the memory: an array of CuPy, a buffer of rmm.
    """

    def __init__(self, data: Any) -> None:
        self._obj = data
        self.memory: Memory = data.memory
        self.bytes: np.ndarray = data.bytes

    @classmethod
    def _of(cls, memory: Memory, bytes_: np.ndarray) -> Any:
        view = cls.__new__(cls)
        view._obj, view.memory, view.bytes = None, memory, bytes_
        return view

    def memories(self) -> Iterator[Memory]:
        yield self.memory

    def __len__(self) -> int:
        return self.nbytes

    @property
    def ptr(self) -> int:
        return self.memory.machine.addresses.of(self.memory, self.bytes)

    @property
    def obj(self) -> Any:
        return self._obj

    @property
    def cai(self) -> dict[str, Any]:
        return dict(self.__cuda_array_interface__)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "data": (self.ptr, False),
            "shape": (self.size,),
            "typestr": "|u1",
            "version": 3,
            "strides": None,
        }

    @property
    def nbytes(self) -> int:
        return self.bytes.nbytes

    @property
    def size(self) -> int:
        return self.bytes.nbytes


class DeviceBuffer(gpumemoryview):
    """A stretch of device memory that owns itself (of rmm)."""

    def __init__(self, *, ptr: int = 0, size: int = 0, stream: Any = None, mr: Any = None) -> None:
        if ptr:
            raise NotImplementedError("the fake copies from no pointers")
        if stream is None:
            raise AssertionError("DeviceBuffer was made without a stream")
        stream.queue.push()
        # What is not written is anything.
        self._obj, self.memory, self.bytes = None, Memory(stream.queue, size), np.full(size, 0xA5, np.uint8)


def packed(valid: np.ndarray) -> np.ndarray:
    """Give a mask's bytes: a bit a value, padded as libcudf pads masks."""
    bits = np.packbits(valid, bitorder="little")
    return np.pad(bits, (0, -len(bits) % 64))


def unpacked(mask: Any, begin: int, end: int) -> np.ndarray:
    """Give which values a mask says are valid.

    Raises
    ------
    ValueError
        The mask has fewer bits.
    """
    if end > 8 * mask.bytes.nbytes:
        raise ValueError(f"a mask of {8 * mask.bytes.nbytes} bits is too short for {end} values")
    return np.unpackbits(mask.bytes.view(np.uint8), count=end, bitorder="little")[begin:].astype(np.bool_)
