"""Pieces of files, read by background threads a little ahead of the one who asks for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from arrowstream.errors import ArrowstreamError

DEPTH = 2
"""Pieces read ahead: one row group or block alone does not keep two cores busy, more only cost memory."""


@dataclass(slots=True)
class Loss:
    """Values of a piece that have no place in its rows.

    Parameters
    ----------
    first
        Where the first one stands, given the number of the piece's first row in the file, counted from 0. Slow.
    count
        Their number, once the piece was read.
    """

    first: Callable[[int], str]
    count: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive rows of one file, not read yet.

    Parameters
    ----------
    path
        The file.
    rows
        How many rows of the file it covers, or None where only reading will tell.
    nbytes
        Bytes of the file it needs.
    read
        Reads it; what comes out is what the query makes of its rows.
    explain
        The error to raise if `read` failed: given its exception and the number of the piece's first
        row in the file, counted from 0.
    loss
        Values that are left out, where the format allows that.
    file
        Number of the file among those read; one path may be read twice.
    """

    path: Path
    rows: int | None
    nbytes: int
    read: Callable[[], pl.DataFrame]
    explain: Callable[[BaseException, int], ArrowstreamError]
    loss: Loss | None = None
    file: int = 0


_Ahead = Future["tuple[Piece, Future[pl.DataFrame]] | None"]


class ReadAhead:
    """Hands out pieces in order; two of them are always being read in the background.

    One thread draws pieces one by one (opening files, cutting text into blocks), others read them.
    Memory is bounded by the size of a piece times the depth.
    """

    __slots__ = ("_ahead", "_drawer", "_pieces", "_readers")

    def __init__(self, pieces: Generator[Piece, None, None]) -> None:
        self._pieces = pieces
        self._drawer = ThreadPoolExecutor(1, "arrowstream-file")
        self._readers = ThreadPoolExecutor(DEPTH, "arrowstream-read")
        self._ahead: deque[_Ahead] = deque()

    def next(self) -> tuple[Piece, Future[pl.DataFrame]] | None:
        """The next piece with its rows in the making, or None at the end. Raises what drawing it raised."""
        while len(self._ahead) < DEPTH:
            self._ahead.append(self._drawer.submit(self._draw))
        drawn = self._ahead.popleft().result()
        if drawn is not None:
            self._ahead.append(self._drawer.submit(self._draw))
        return drawn

    def _draw(self) -> tuple[Piece, Future[pl.DataFrame]] | None:
        piece = next(self._pieces, None)
        return None if piece is None else (piece, self._readers.submit(piece.read))

    def close(self) -> None:
        """Stop reading ahead and wait for what is being read."""
        self._drawer.shutdown(wait=True, cancel_futures=True)
        self._readers.shutdown(wait=True, cancel_futures=True)
        self._ahead.clear()
        self._pieces.close()  # closes the file it is in
