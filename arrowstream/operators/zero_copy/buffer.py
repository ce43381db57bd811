"""Memory that is written by NumPy, read by Arrow, and used again once nobody looks at it any more."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from arrowstream.core.checks import check_whole

ALIGNMENT = 64
"""Arrow wants every buffer to begin at a multiple of so many bytes."""


class ZeroCopyBuffer:
    """Reusable memory for columns: NumPy writes into it and Arrow reads it without a copy.

    Parameters
    ----------
    nbytes
        Its size in bytes, at least 0. It begins at a multiple of 64.

    Raises
    ------
    PlanError
        `nbytes` is no whole number of at least 0.

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
        """Where it begins in memory."""
        return self._address

    @property
    def in_use(self) -> bool:
        """Whether any array or Arrow buffer made from it, or made from one of those, is still alive."""
        return self._whole is not None and self._whole() is not None

    def array(self, dtype: npt.DTypeLike, length: int, offset: int = 0) -> npt.NDArray[Any]:
        """A writable view of `length` values of `dtype` from byte `offset` on.

        Raises
        ------
        ValueError
            The values do not fit.
        """
        dtype = np.dtype(dtype)
        return self._part(offset, length * dtype.itemsize).view(dtype)

    def arrow(self, offset: int, nbytes: int) -> pa.Buffer:
        """Bytes ``[offset, offset + nbytes)`` as a buffer that Arrow reads but never writes.

        Raises
        ------
        ValueError
            They do not fit.
        """
        part = self._part(offset, nbytes)
        return pa.foreign_buffer(self._address + offset, nbytes, base=part)

    def _part(self, offset: int, nbytes: int) -> npt.NDArray[Any]:
        if offset < 0 or nbytes < 0 or offset + nbytes > self._nbytes:
            raise ValueError(f"bytes {offset} to {offset + nbytes} of a buffer of {self.nbytes}")
        # Every view of an array keeps the array it was cut from alive, and so do Arrow buffers over it. Whether
        # the one they are all cut from still lives tells whether anybody looks at the memory.
        whole = None if self._whole is None else self._whole()
        if whole is None:
            whole = np.frombuffer(self._memory, np.uint8)
            self._whole = weakref.ref(whole)
        return whole[offset : offset + nbytes]
