"""Partitions whose rows are held back, and which of them are written together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import polars as pl

from arrowstream.io.files.output.row_buffer import RowBuffer
from arrowstream.io.files.output.streaming_sink import StreamingSink

_TOGETHER: Final = 512
"""Most files that are encoded by one query; one for each would cost twice as much as the encoding."""

_TOGETHER_BYTES: Final = 8 << 20
"""Bytes of the rows of such files."""


def groups(partitions: Iterable[HeldPartition]) -> Iterator[list[HeldPartition]]:
    """Yield partitions whose files are encoded together; one that has spilled rows is alone."""
    group: list[HeldPartition] = []
    nbytes = 0
    for partition in partitions:
        size = partition.nbytes if partition.rows == partition.held_rows else _TOGETHER_BYTES
        if group and (len(group) == _TOGETHER or nbytes + size > _TOGETHER_BYTES):
            yield group
            group, nbytes = [], 0
        group.append(partition)
        nbytes += size
    if group:
        yield group


class HeldPartition:
    """One partition: its rows held back, in memory and in spill files, and the file that grows at the moment."""

    __slots__ = ("_buffer", "_spilled", "_spilled_rows", "folder", "number", "sink")

    def __init__(self, folder: str, unit_rows: int) -> None:
        self.folder = folder
        self.number = 0
        self.sink: StreamingSink | None = None
        self._buffer = RowBuffer(unit_rows)
        self._spilled: list[pl.DataFrame] = []
        self._spilled_rows = 0

    @property
    def nbytes(self) -> int:
        """Bytes held back in memory."""
        return self._buffer.nbytes

    @property
    def held_rows(self) -> int:
        """Rows held back in memory."""
        return self._buffer.height

    @property
    def rows(self) -> int:
        """Rows held back."""
        return self._buffer.height + self._spilled_rows

    def add(self, rows: pl.DataFrame, nbytes: int) -> None:
        """Hold rows back."""
        self._buffer.keep(rows, nbytes)

    def own(self) -> None:
        """Copy the rows in memory, which share it with those of other partitions that came at the same time."""
        self._buffer.own()

    def held(self) -> pl.DataFrame:
        """Return the rows in memory."""
        return self._buffer.peek()

    def replace(self, mapped: pl.DataFrame) -> None:
        """Hold the rows in memory no longer, but the same rows in a file."""
        self._buffer.take()
        self._spilled.append(mapped)
        self._spilled_rows += mapped.height

    def peek(self) -> list[pl.DataFrame]:
        """Return all rows held back."""
        return [*self._spilled, *([self._buffer.peek()] if self._buffer.height else [])]

    def take(self) -> list[pl.DataFrame]:
        """Remove and return all rows held back."""
        taken = self.peek()
        self._spilled, self._spilled_rows = [], 0
        if self._buffer.height:
            self._buffer.take()
        return taken
