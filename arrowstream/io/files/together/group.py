"""Small files as one piece: one scan for all of them; after a failure, each alone, so that errors name the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from arrowstream.core.failures import FAILURES
from arrowstream.core.position import Position, joined
from arrowstream.errors import SourceError
from arrowstream.io.files.read_ahead import Loss, Piece
from arrowstream.io.files.remote.urls import RemotePath
from arrowstream.io.files.text.bad.bad_row import PutAside
from arrowstream.io.files.together.alike import TOGETHER_BYTES, TOGETHER_FILES, Alike, SmallFile

Finish = Callable[[pl.DataFrame, Sequence[int], Sequence[int]], pl.DataFrame]
"""Gives rows as stored their final columns and the query.

Called with the rows, the numbers of the files, and the number of rows of each.
"""


@dataclass(frozen=True, slots=True)
class Readings:
    """How the files of a source are read.

    Parameters
    ----------
    stored
        Columns inside the files.
    columns
        Names of those that are needed.
    path
        Returns the path of a file, given its number.
    alone
        Yields the pieces of one file.
    finish
        Gives rows as stored their final columns and the query.
    """

    stored: pl.Schema
    columns: tuple[str, ...]
    path: Callable[[int], Path | RemotePath]
    alone: Callable[[int], Iterator[Piece]]
    finish: Finish


@dataclass(slots=True)
class Waiting:
    """Small files to be read together."""

    files: list[SmallFile] = field(default_factory=list)
    nbytes: int = 0
    stored: int = 0

    @property
    def is_full(self) -> bool:
        """True if no further file should be read together with these."""
        return self.nbytes >= TOGETHER_BYTES or len(self.files) >= TOGETHER_FILES

    def add(self, file: SmallFile, stored: int) -> None:
        """Add a file of `stored` bytes."""
        self.files.append(file)
        self.nbytes += file.nbytes
        self.stored += stored


class FileGroup:
    """Small files that one scan reads.

    Parameters
    ----------
    readings
        How the files are read.
    alike
        Common traits of the files.
    files
        The files, in order.
    """

    __slots__ = ("_alike", "_aside", "_files", "_loss", "_readings", "_rows")

    def __init__(self, readings: Readings, alike: Alike, files: Sequence[SmallFile]) -> None:
        self._readings = readings
        self._alike = alike
        self._files = files
        self._rows: list[int] = []
        """Number of rows of each file, once they are read."""
        self._loss = Loss(lambda row: "")
        self._aside = PutAside()

    def piece(self, nbytes: int) -> Piece:
        """Return the files, which have `nbytes` bytes, as one piece."""
        last = self._readings.path(self._files[-1].number)
        known = [file.rows for file in self._files if file.rows is not None]
        return Piece(
            last,
            sum(known) if len(known) == len(self._files) else None,
            nbytes,
            self._read,
            lambda error, first: SourceError(
                f"{len(self._files)} files up to {last} cannot be joined", found=str(error)
            ),
            self._loss,
            file=self._files[-1].number,
            group=tuple(file.number for file in self._files),
            aside=self._aside,
            places=self._places,
        )

    def _read(self) -> pl.DataFrame:
        try:
            return self._together()
        except FAILURES:
            found = [self._alone(file.number) for file in self._files]
        self._rows = [rows for _, rows in found]
        # Cleared, because Polars 1 makes a row of constants out of a frame without columns.
        empty = self._readings.finish(pl.DataFrame(schema=self._readings.stored), [], []).clear()
        return pl.concat([empty, *(frame for frames, _ in found for frame in frames)])

    def _together(self) -> pl.DataFrame:
        frame, rows = self._alike.read(self._files, self._readings.stored, self._readings.columns)
        if frame.height != sum(rows):
            raise ValueError("the files hold more rows, or fewer, than they say")
        self._rows = [*rows]
        return self._readings.finish(frame, [file.number for file in self._files], rows)

    def _alone(self, number: int) -> tuple[list[pl.DataFrame], int]:
        """Return all rows of one file, and the number of its rows that were examined."""
        frames, looked_at = [], 0
        for piece in self._readings.alone(number):
            try:
                frame = piece.read()
            except FAILURES as error:
                raise piece.explain(error, looked_at) from error
            if piece.loss is not None and piece.loss.count:
                self._lose(piece.loss, looked_at)
            if piece.aside is not None:
                self._aside.rows += (replace(bad, row=bad.row + looked_at) for bad in piece.aside.rows)
                looked_at += len(piece.aside.rows)
            frames.append(frame)
            looked_at += frame.height if piece.rows is None else piece.rows
        return frames, looked_at

    def _lose(self, loss: Loss, row: int) -> None:
        if not self._loss.count:
            first = loss.first
            self._loss.first = lambda _: first(row)
        self._loss.count += loss.count

    def _places(self) -> Position:
        paths = (str(self._readings.path(file.number)) for file in self._files)
        places = [(rows, Position(path, 0, rows)) for path, rows in zip(paths, self._rows, strict=True)]
        return joined([place for place in places if place[0]] or places[:1])
