"""How much memory the state of a stage takes, and where it lies once that is more than it may be."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
import polars as pl

from arrowstream.errors import StageError
from arrowstream.state.arrays import Array
from arrowstream.state.spill_file import array_in_file, frame_in_file

_Kept = TypeVar("_Kept", Array, pl.DataFrame)

_SMALL = 65_536
"""Arrays of so few bytes stay in memory: a file takes whole pages and some system calls."""

PIECE = 1 << 18
"""So many rows of state are worked on at a time, where all of it has its turn."""


class StateMemory:
    """Memory for arrays and frames of state, up to a number of bytes.

    Parameters
    ----------
    max_bytes
        The most bytes in memory; None for no limit.
    spills
        Whether what would be more lies in files instead. Otherwise it is an error, at the next `check`.

    Attributes
    ----------
    held
        The bytes in memory.
    """

    __slots__ = ("_broken", "_max", "_spills", "held")

    def __init__(self, max_bytes: int | None = None, spills: bool = False) -> None:
        self._max = max_bytes
        self._spills = spills
        self._broken: Exception | None = None
        self.held = 0

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit, so that bytes must be counted."""
        return self._max is not None

    @property
    def spills(self) -> bool:
        """Whether what is more than there may be lies in files."""
        return self._spills

    @property
    def half(self) -> int:
        """Half of the bytes that there may be in memory."""
        return sys.maxsize if self._max is None else self._max // 2

    @property
    def is_short(self) -> bool:
        """Whether something should go to a file."""
        return self._is_beyond(0)

    @property
    def is_full(self) -> bool:
        """Whether there is more than there may be, and no files to put it into."""
        return self._max is not None and not self._spills and self.held > self._max

    def check(self) -> None:
        """Ask before state is changed, and before results are made of it.

        Raises
        ------
        StageError
            It is more than it may be, or what `check_whole` says.
        """
        self.check_whole()
        if self.is_full:
            raise StageError(
                "the state is larger than max_bytes allows",
                expected=f"at most {self._max:,} bytes",
                found=f"{self.held:,} bytes",
                hint='raise max_bytes, or let what is more lie in files with on_full="spill"',
            )

    def check_whole(self) -> None:
        """Ask before state is written down.

        Raises
        ------
        StageError
            It could not be spilled before, and so may have half of a batch.
        """
        if self._broken is not None:
            raise self._broken

    def takes(self, nbytes: int) -> bool:
        """Whether so many bytes more are no error."""
        return self._max is None or self._spills or self.held + nbytes <= self._max

    def array(self, shape: tuple[int, ...], dtype: Any, fill: Any = 0) -> Array:
        """An array full of one value."""
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if nbytes <= _SMALL or not self._is_beyond(nbytes):
            self.held += nbytes
            return np.full(shape, fill, dtype) if fill else np.zeros(shape, dtype)
        array = self._spilled(lambda: array_in_file(shape, dtype))
        if fill:
            array[...] = fill
        return array

    def copied(self, values: Array) -> Array:
        """An array with these values."""
        array = self.array(values.shape, values.dtype)
        array[...] = values
        return array

    def replaced(self, array: Array, values: Array) -> Array:
        """An array with these values in place of one that is not used any more."""
        self.let_go(array)
        return self.copied(values)

    def longer(self, array: Array, needed: int, fill: Any = 0) -> Array:
        """The array, or one with the same values at least twice as long where more are needed, then full of one."""
        if needed <= len(array):
            return array
        # What is given up counts no more: it is there only while it is copied.
        self.let_go(array)
        larger = self.array((max(needed, 2 * len(array)), *array.shape[1:]), array.dtype, fill)
        larger[: len(array)] = array
        return larger

    def let_go(self, array: Array) -> None:
        """An array from here is not used any more."""
        self.held -= array.nbytes if array.flags.owndata else 0

    def is_full_with(self, nbytes: int, beside: int) -> bool:
        """Whether frames of so many bytes in memory, with so many `beside` them in files, should go there, too.

        Frames in files are never joined, so none is small beside the limit or beside all that there are: some
        hundreds of them hold a hundred times the limit.
        """
        return self.is_short and nbytes >= max((self._max or 0) // 8, beside // 64, 1)

    def in_file(self, pieces: Iterable[pl.DataFrame]) -> pl.DataFrame:
        """Pieces, at least one, none without rows, as one frame that lies in a file."""
        return self._spilled(lambda: frame_in_file(pieces))

    def _is_beyond(self, more: int) -> bool:
        return self._spills and self._max is not None and self.held + more > self._max

    def _spilled(self, make: Callable[[], _Kept]) -> _Kept:
        try:
            return make()
        except Exception as error:
            self._broken = error
            raise
