"""Memory that NumPy writes and Arrow reads, reused once no array or Arrow buffer over it is alive."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from arrowstream.core.checks import check_whole

ALIGNMENT = 64
"""Alignment of Arrow buffers, in bytes."""


class ZeroCopyBuffer:
    """Reusable memory for columns: NumPy writes into it and Arrow reads it without a copy.

    Parameters
    ----------
    nbytes
        Its size in bytes, at least 0. It begins at a multiple of 64.

    Raises
    ------
    PlanError
        `nbytes` isn't a whole number of at least 0.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from arrowstream import ZeroCopyBuffer
    >>> memory = ZeroCopyBuffer(24)
    >>> values = memory.array("int64", 3)
    >>> values[:] = [1, 2, 3]
    >>> column = pa.Array.from_buffers(pa.int64(), 3, [None, memory.arrow(0, 24)])
    >>> values *= 10
    >>> column.to_pylist(), memory.in_use
    ([10, 20, 30], True)
    >>> del values, column
    >>> memory.in_use
    False
    """

    __slots__ = ("_address", "_memory", "_nbytes", "_whole")

    def __init__(self, nbytes: int) -> None:
        check_whole("ZeroCopyBuffer(nbytes)", nbytes, least=0)
        self._memory = pa.allocate_buffer(nbytes)
        self._nbytes, self._address = nbytes, int(self._memory.address)
        self._whole: weakref.ref[npt.NDArray[Any]] | None = None

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return self._nbytes

    @property
    def address(self) -> int:
        """Its address in memory, in bytes."""
        return self._address

    @property
    def in_use(self) -> bool:
        """True while an array or Arrow buffer made from it, or from one of those, is alive."""
        return self._whole is not None and self._whole() is not None

    def array(self, dtype: npt.DTypeLike, length: int, offset: int = 0) -> npt.NDArray[Any]:
        """Return a writable view (length,) of `length` values of `dtype` from byte `offset` on.

        Raises
        ------
        ValueError
            The values exceed the buffer.
        """
        dtype = np.dtype(dtype)
        return self._part(offset, length * dtype.itemsize).view(dtype)

    def arrow(self, offset: int, nbytes: int) -> pa.Buffer:
        """Return bytes ``[offset, offset + nbytes)`` as a buffer that Arrow reads but never writes.

        Raises
        ------
        ValueError
            The bytes exceed the buffer.
        """
        part = self._part(offset, nbytes)
        return pa.foreign_buffer(self._address + offset, nbytes, base=part)

    def _part(self, offset: int, nbytes: int) -> npt.NDArray[Any]:
        if offset < 0 or nbytes < 0 or offset + nbytes > self._nbytes:
            raise ValueError(f"bytes {offset} to {offset + nbytes} of a buffer of {self.nbytes}")
        # Every view of an array keeps the array it was cut from alive, and so do Arrow buffers over it. So the
        # memory is in use as long as the array that they are all cut from is alive.
        whole = None if self._whole is None else self._whole()
        if whole is None:
            whole = np.frombuffer(self._memory, np.uint8)
            self._whole = weakref.ref(whole)
        return whole[offset : offset + nbytes]
