"""The memory of a step's state: bytes counted against limits, and files for what exceeds them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
import polars as pl

from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.errors import StageError
from arrowstream.state.arrays import Array
from arrowstream.state.spill_file import SpillFile, array_in_file, spill_file

_Kept = TypeVar("_Kept", Array, SpillFile)

_SMALL = 65_536
"""Bytes up to which an array is never spilled: a file takes whole pages and some system calls."""

PIECE = 1 << 18
"""Rows of state that are processed at a time when all of it is read or written."""


class StateMemory:
    """Memory for the arrays and frames of one step's state, within the step's limit and the pipeline's budget.

    Bytes are those of arrays and frames; Python objects are not counted. Bytes in files do not count.

    Parameters
    ----------
    max_bytes
        The most bytes in memory; None for no limit of the step.
    spills
        Whether state beyond a limit is spilled to files. Otherwise the next `check` raises.
    budget
        The budget shared by the steps of the pipeline; by default a private one without limit.
    step
        The step's name in the budget.

    Attributes
    ----------
    held
        The bytes held in memory.
    """

    __slots__ = ("_broken", "_budget", "_max", "_spills", "_step", "held")

    def __init__(
        self,
        max_bytes: int | None = None,
        spills: bool = False,
        budget: MemoryBudget | None = None,
        step: str = "state",
    ) -> None:
        self._max = max_bytes
        self._spills = spills
        self._budget = budget or MemoryBudget()
        self._step = step
        self._broken: Exception | None = None
        self.held = 0

    @property
    def is_limited(self) -> bool:
        """True if there is a limit, so that bytes must be counted."""
        return self._max is not None or self._budget.limit is not None

    @property
    def spills(self) -> bool:
        """True if state beyond a limit is spilled to files."""
        return self._spills

    @property
    def half(self) -> int:
        """Half of the bytes that the step may hold in memory."""
        return self._most // 2

    @property
    def is_short(self) -> bool:
        """True if a limit is exceeded and state should be spilled."""
        return self._spills and not self._fits(0)

    @property
    def is_full(self) -> bool:
        """True if a limit is exceeded and state is not spilled, so that `check` raises."""
        return not self._spills and not self._fits(0)

    def check(self) -> None:
        """Raise if the state exceeds a limit. Call before changing state or emitting results from it.

        Raises
        ------
        StageError
            The state is larger than `max_bytes`, or the state of all steps is larger than the budget.
        Exception
            An earlier failure to spill, as for `check_whole`.
        """
        self.check_whole()
        if not self.is_full:
            return
        if self._max is not None and self.held > self._max:
            raise StageError(
                "the state is larger than max_bytes allows",
                expected=f"at most {self._max:,} bytes",
                found=f"{self.held:,} bytes",
                hint='raise max_bytes, or let what is more lie in files with on_full="spill"',
            )
        holders = ", ".join(f"{step} {nbytes:,}" for step, nbytes in self._budget.holders().items())
        raise StageError(
            f"the state of all steps is larger than state_memory_mb allows, as {self._step} found",
            expected=f"at most {self._budget.limit:,} bytes in the pipeline",
            found=f"{self._budget.held:,} bytes: {holders}",
            hint='raise the setting state_memory_mb, or give a step max_bytes and on_full="spill"',
        )

    def check_whole(self) -> None:
        """Raise if spilling failed earlier, so that state may hold half of a batch. Call before a snapshot.

        Raises
        ------
        Exception
            The earlier failure, most often a StageError.
        """
        if self._broken is not None:
            raise self._broken

    def takes(self, nbytes: int) -> bool:
        """Return whether `nbytes` more may be reserved without an error at the next `check`."""
        return self._spills or self._fits(nbytes)

    def reserve(self, nbytes: int) -> None:
        """Count `nbytes` more as held; a negative number releases bytes."""
        self.held += nbytes
        self._budget.reserve(self._step, nbytes)

    def close(self) -> None:
        """Release all bytes; arrays and frames made here are not used afterwards."""
        self.reserve(-self.held)

    def array(self, shape: tuple[int, ...], dtype: Any, fill: Any = 0) -> Array:
        """Return an array filled with one value, in memory or, beyond the limit, in a file.

        Raises
        ------
        StageError
            The disk has no room for it.
        """
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if nbytes <= _SMALL or not self._spills or self._fits(nbytes):
            self.reserve(nbytes)
            return np.full(shape, fill, dtype) if fill else np.zeros(shape, dtype)
        array = self._spilled(lambda: array_in_file(shape, dtype))
        if fill:
            array[...] = fill
        return array

    def longer(self, array: Array, needed: int, fill: Any = 0) -> Array:
        """Return the array, or a longer copy if it has fewer than `needed` rows.

        Parameters
        ----------
        array
            An array from `array` (rows, ...). It is not used afterwards if a copy is returned.
        needed
            The least number of rows.
        fill
            The value of the new rows.

        Returns
        -------
        numpy.ndarray
            The array itself, or one at least twice as long, of the same dtype.
        """
        if needed <= len(array):
            return array
        # The old array is not counted: it lives only until it is copied.
        self.let_go(array)
        larger = self.array((max(needed, 2 * len(array)), *array.shape[1:]), array.dtype, fill)
        larger[: len(array)] = array
        return larger

    def let_go(self, array: Array) -> None:
        """Release the bytes of an array made here; the array is not used afterwards."""
        if array.flags.owndata:
            self.reserve(-array.nbytes)

    def is_full_with(self, nbytes: int, filed: int) -> bool:
        """Return whether `nbytes` of frames in memory should be spilled, where `filed` bytes of theirs already are.

        Frames in files are never joined, so a file takes at least 1/8 of the memory and at least 1/64 of `filed`:
        a few hundred files hold a hundred times the limit.
        """
        return self.is_short and nbytes >= max(self._most // 8, filed // 64, 1)

    def in_file(self, pieces: Iterable[pl.DataFrame]) -> SpillFile:
        """Write pieces to a file, and return it.

        Parameters
        ----------
        pieces
            At least one frame; each has at least one row.

        Raises
        ------
        StageError
            The disk has no room for it.
        """
        return self._spilled(lambda: spill_file(pieces))

    @property
    def _most(self) -> int:
        """The bytes that the step may hold: its limit, or less if the other steps leave less of the budget."""
        most = sys.maxsize if self._max is None else self._max
        if self._budget.limit is not None:
            most = min(most, max(self._budget.limit - (self._budget.held - self.held), 0))
        return most

    def _fits(self, more: int) -> bool:
        return (self._max is None or self.held + more <= self._max) and self._budget.fits(more)

    def _spilled(self, make: Callable[[], _Kept]) -> _Kept:
        try:
            return make()
        except Exception as error:
            self._broken = error
            raise
