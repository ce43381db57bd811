"""The memory of a step's state: how much it takes, and files for what is over the limit."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
import polars as pl

from arrowstream.core.memory_budget import MemoryBudget
from arrowstream.errors import StageError
from arrowstream.state.arrays import Array
from arrowstream.state.spill_file import array_in_file, frame_in_file

_Kept = TypeVar("_Kept", Array, pl.DataFrame)

_SMALL = 65_536
"""Bytes up to which an array stays in memory: a file takes whole pages and some system calls."""

PIECE = 1 << 18
"""Rows of state that are worked on at a time, where all of it is read or written."""


class StateMemory:
    """Memory for arrays and frames of one step's state, within a limit of its own and the budget of the pipeline.

    Parameters
    ----------
    max_bytes
        The most bytes in memory; None for no limit of its own.
    spills
        Whether what is over a limit lies in files. Otherwise it is an error, at the next `check`.
    budget
        The budget that it shares with the other steps of the pipeline; by default an unlimited one of its own.
    step
        The name that its bytes are counted under in the budget.

    Attributes
    ----------
    held
        The bytes in memory.
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
        """Whether there is a limit, so that bytes must be counted."""
        return self._max is not None or self._budget.limit is not None

    @property
    def spills(self) -> bool:
        """Whether what is over the limit lies in files."""
        return self._spills

    @property
    def half(self) -> int:
        """Half of the bytes that this step may hold in memory."""
        return self._most // 2

    @property
    def is_short(self) -> bool:
        """Whether something should go to a file."""
        return self._spills and not self._fits(0)

    @property
    def is_full(self) -> bool:
        """Whether a limit is exceeded, and there are no files for what is over it."""
        return not self._spills and not self._fits(0)

    def check(self) -> None:
        """Raise if the state is over a limit. Call before state is changed, and before results are made of it.

        Raises
        ------
        StageError
            The state is larger than `max_bytes`, that of all steps is larger than the budget, or what
            `check_whole` says.
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
        """Raise if spilling failed before, so that state may have half of a batch. Call before a snapshot.

        Raises
        ------
        StageError
            The failure from before.
        """
        if self._broken is not None:
            raise self._broken

    def takes(self, nbytes: int) -> bool:
        """Whether this many bytes more are no error."""
        return self._spills or self._fits(nbytes)

    def reserve(self, nbytes: int) -> None:
        """Count bytes that are held from now on; a negative number is given back."""
        self.held += nbytes
        self._budget.reserve(self._step, nbytes)

    def close(self) -> None:
        """Give back all bytes: nothing from here is used any more."""
        self.reserve(-self.held)

    def array(self, shape: tuple[int, ...], dtype: Any, fill: Any = 0) -> Array:
        """An array full of one value."""
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if nbytes <= _SMALL or not self._spills or self._fits(nbytes):
            self.reserve(nbytes)
            return np.full(shape, fill, dtype) if fill else np.zeros(shape, dtype)
        array = self._spilled(lambda: array_in_file(shape, dtype))
        if fill:
            array[...] = fill
        return array

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
        if array.flags.owndata:
            self.reserve(-array.nbytes)

    def is_full_with(self, nbytes: int, filed: int) -> bool:
        """Whether frames of `nbytes` in memory should go to a file, where `filed` bytes of the same kind lie already.

        Frames in files are never joined, so a file takes at least an eighth of the memory or 1/64 of what is filed:
        some hundreds of files hold a hundred times the limit.
        """
        return self.is_short and nbytes >= max(self._most // 8, filed // 64, 1)

    def in_file(self, pieces: Iterable[pl.DataFrame]) -> pl.DataFrame:
        """Pieces, at least one, none without rows, as one frame that lies in a file."""
        return self._spilled(lambda: frame_in_file(pieces))

    @property
    def _most(self) -> int:
        """The bytes that this step may hold: its limit, or what the other steps leave of the budget."""
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
