"""Batches that are slices of one frame, next to which the others wait for the same consumer."""

from __future__ import annotations

from functools import cached_property

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.position import Position
from arrowstream.io.files.output.trimmed import is_trimmed


class SlicedFrame:
    """Frame that is handed out in slices.

    Parameters
    ----------
    rows
        All rows.
    """

    def __init__(self, rows: pl.DataFrame) -> None:
        self._rows = rows

    @cached_property
    def is_trimmed(self) -> bool:
        """True if the rows together need the memory that each slice keeps: a copy of a slice saves nothing."""
        return is_trimmed(self._rows)


class FrameSlice(Batch):
    """Batch of consecutive rows of a frame.

    Parameters
    ----------
    rows
        The rows, which share the memory of the frame.
    position
        Where they come from.
    whole
        The frame.
    """

    __slots__ = ("whole",)

    def __init__(self, rows: pl.DataFrame, position: Position, whole: SlicedFrame) -> None:
        super().__init__(rows, position)
        self.whole = whole
