"""Pieces of files, read by background threads a little ahead of the caller."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns
from typing import Protocol, TypeVar

import polars as pl

from arrowstream.core.position import Position
from arrowstream.core.waiting import waited_outside_ns
from arrowstream.errors import ArrowstreamError
from arrowstream.io.files.remote.urls import RemotePath
from arrowstream.io.files.text.bad.bad_row import PutAside

DEPTH = 2
"""Number of pieces read ahead: one row group or block does not keep two cores busy, more only cost memory."""


class Sized(Protocol):
    """Part of a file with a known size."""

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        ...


SizedT = TypeVar("SizedT", bound=Sized)


def gathered(
    parts: Iterable[SizedT], most: int, size: Callable[[SizedT], int] = lambda part: part.nbytes
) -> Iterator[list[SizedT]]:
    """Yield consecutive parts together, as many as have `most` bytes in all; a larger part is alone.

    Parameters
    ----------
    parts
        The parts.
    most
        The most bytes.
    size
        Returns the bytes of a part; by default those that it has in its file.
    """
    group: list[SizedT] = []
    nbytes = 0
    for part in parts:
        if group and nbytes + size(part) > most:
            yield group
            group, nbytes = [], 0
        group.append(part)
        nbytes += size(part)
    if group:
        yield group


@dataclass(slots=True)
class Loss:
    """Values of a piece that its rows leave out.

    Parameters
    ----------
    first
        Returns the place of the first such value, given the number of the piece's first row in the file,
        counted from 0. Slow.
    count
        Number of such values, once the piece was read.
    """

    first: Callable[[int], str]
    count: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive rows of one file, or the rows of several small files, not read yet.

    Parameters
    ----------
    path
        Path of the file; the last one of several.
    rows
        Number of rows of the file in the piece; None if only reading shows it.
    nbytes
        Number of bytes of the file that it needs.
    read
        Reads it and returns its rows after the query. Called on a background thread.
    explain
        Makes the error to raise if `read` failed, from its exception and the number of the piece's first
        row in the file, counted from 0.
    loss
        Values that the rows leave out, for formats that allow it.
    file
        Index of the file among those read, of the last one of several; one path may be read twice.
    group
        The indexes of all files, if there are several.
    aside
        Bad rows, if they are put aside instead of raising an error.
    places
        Returns the origin of the rows if they come from several files. Call it after `read`.
    """

    path: Path | RemotePath
    rows: int | None
    nbytes: int
    read: Callable[[], pl.DataFrame]
    explain: Callable[[BaseException, int], ArrowstreamError]
    loss: Loss | None = None
    file: int = 0
    group: tuple[int, ...] = ()
    aside: PutAside | None = None
    places: Callable[[], Position] | None = None


_Ahead = Future["tuple[Piece, Future[pl.DataFrame]] | None"]


class ReadAhead:
    """Queue of pieces in order, of which `DEPTH` are always being read in the background, from the beginning on.

    One thread draws pieces one by one (opening files, cutting text into blocks), others read them.
    Memory is bounded by the size of a piece times the depth.

    Parameters
    ----------
    pieces
        The pieces. The generator runs on the drawing thread and is closed at the end.
    """

    __slots__ = ("_ahead", "_drawer", "_drawing_waited_ns", "_pieces", "_readers", "waited_ns")

    def __init__(self, pieces: Generator[Piece, None, None]) -> None:
        self._pieces = pieces
        self._drawer = ThreadPoolExecutor(1, "arrowstream-file")
        self._readers = ThreadPoolExecutor(DEPTH, "arrowstream-read")
        self._drawing_waited_ns = 0
        self.waited_ns = 0
        """Nanoseconds for which `next` has waited for a pipe."""
        # The first pieces are read while the sinks are opened.
        self._ahead: deque[_Ahead] = deque(self._drawer.submit(self._draw) for _ in range(DEPTH))

    def next(self) -> tuple[Piece, Future[pl.DataFrame]] | None:
        """Return the next piece with the future of its rows, or None at the end. Raises any error of drawing it."""
        begin, before = monotonic_ns(), self._drawing_waited_ns
        drawn = self._ahead.popleft().result()
        self.waited_ns += min(monotonic_ns() - begin, self._drawing_waited_ns - before)
        self._ahead.append(self._drawer.submit(self._draw))
        return drawn

    def _draw(self) -> tuple[Piece, Future[pl.DataFrame]] | None:
        before = waited_outside_ns()
        piece = next(self._pieces, None)
        self._drawing_waited_ns += waited_outside_ns() - before
        return None if piece is None else (piece, self._readers.submit(piece.read))

    def close(self) -> None:
        """Stop reading ahead and wait for the pieces that are being read."""
        self._drawer.shutdown(wait=True, cancel_futures=True)
        self._readers.shutdown(wait=True, cancel_futures=True)
        self._ahead.clear()
        self._pieces.close()  # closes the file it is in
