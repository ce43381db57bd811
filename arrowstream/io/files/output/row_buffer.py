"""Buffer of rows that are encoded together once there are enough of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import polars as pl

from arrowstream.state.owned_rows import owned

UNIT_BYTES: Final = 64 << 20
"""Most bytes of a unit, about: rows that take as many are encoded, however few they are."""

_RUN: Final = 64
FRAME_BYTES: Final = 1024
"""Memory of a frame in addition to its values, about, in bytes."""


class RowBuffer:
    """Buffer of frames of one schema, returned in units of `rows` rows, or of fewer that take `UNIT_BYTES`.

    Parameters
    ----------
    rows
        Number of rows of a full unit.

    Examples
    --------
    >>> buffer = RowBuffer(rows=2)
    >>> [unit.height for unit in buffer.add(pl.DataFrame({"x": [1, 2, 3, 4, 5]}), nbytes=40)]
    [2, 2]
    >>> buffer.take().height
    1
    """

    __slots__ = ("_frames", "_rows", "_small", "height", "nbytes")

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._frames: list[pl.DataFrame] = []
        self._small: list[pl.DataFrame] = []
        self.height = 0
        self.nbytes = 0

    def add(self, frame: pl.DataFrame, nbytes: int) -> Iterator[pl.DataFrame]:
        """Add rows that take `nbytes` (see `frame_bytes`), and yield the units that are now full."""
        if frame.height:
            self.keep(frame, nbytes)
        while self.height >= self._rows or self.nbytes >= UNIT_BYTES:
            nbytes = self.nbytes
            rows = self.take()
            count = max(1, min(self._rows, rows.height * UNIT_BYTES // nbytes))
            if count < rows.height:
                self._keep(rows.slice(count), nbytes - nbytes * count // rows.height)
            yield rows.head(count)

    def keep(self, frame: pl.DataFrame, nbytes: int) -> None:
        """Add rows that take `nbytes`, whatever number the buffer holds."""
        self._keep(frame, nbytes + FRAME_BYTES)

    def peek(self) -> pl.DataFrame:
        """Return all rows in one frame; the buffer must not be empty."""
        frames = [*self._frames, *self._small]
        return frames[0] if len(frames) == 1 else pl.concat(frames)

    def take(self) -> pl.DataFrame:
        """Remove all rows and return them in one frame; the buffer must not be empty."""
        rows = self.peek()
        self._frames, self._small = [], []
        self.height = self.nbytes = 0
        return rows

    def _keep(self, frame: pl.DataFrame, nbytes: int) -> None:
        self.height += frame.height
        self.nbytes += nbytes
        self._small.append(frame)
        # Many small frames take more memory than their rows and are slow to encode. Joined in two steps,
        # a row is copied about frames / _RUN**2 times, instead of once per frame that is added.
        if len(self._small) == _RUN:
            self.own()

    def own(self) -> None:
        """Copy the rows that have come since the last call, which may keep the memory of many others."""
        if not self._small:
            return
        self._frames.append(owned(pl.concat(self._small, rechunk=True)))
        self._small = []
        if len(self._frames) == _RUN:
            self._frames = [pl.concat(self._frames, rechunk=True)]


def frame_bytes(frame: pl.DataFrame) -> int:
    """Return the bytes that the values of a frame take, without a query: a file of few rows would notice one."""
    return sum(_column_bytes(column) for column in frame.get_columns())


def _column_bytes(column: pl.Series) -> int:
    # Polars counts the characters of its strings, without their views of 16 bytes each.
    views = 16 * column.len() if column.dtype in (pl.String, pl.Binary) else 0
    return views + int(column.estimated_size())
