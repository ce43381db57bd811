"""Files that rows are appended to, and what of them could not be written yet.

A disk may be full for a while, or a server away. So that a handler can have a write tried again, a failure
takes no row away and doubles none: what could not be written waits in memory, and is written before anything
else, over what a failed write has left of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import polars as pl

from arrowstream.errors import SinkError
from arrowstream.io.files.encoders import Encoder, Piece
from arrowstream.io.files.sink_errors import sink_errors


class GrowingFile:
    """A file that rows are appended to; it is open only while that happens.

    Parameters
    ----------
    place
        Gives the path where it is written; its folder is made then.
    shown
        The name it will have, for errors.
    encoder
        Of its format, fresh.
    """

    __slots__ = ("_encoder", "_ended", "_path", "_place", "_shown", "_size", "_unsafe", "_waiting", "rows")

    def __init__(self, place: Callable[[], Path], shown: Path, encoder: Encoder) -> None:
        self._place = place
        self._path: Path | None = None
        self._shown = shown
        self._encoder = encoder
        self._waiting: list[Piece] = []
        self._size = 0
        self._ended = False
        self._unsafe: OSError | None = None
        self.rows = 0

    def append(self, frame: pl.DataFrame) -> None:
        """Encode these rows; `write` writes them."""
        self._waiting += self._encoder.encode(frame)
        self.rows += frame.height

    def end(self) -> None:
        """No more rows come; the next `write` also waits until everything is on disk."""
        self._waiting += self._encoder.finish()
        self._ended = True

    def write(self) -> None:
        """Write what waits; where that fails, it goes on waiting.

        Raises
        ------
        SinkError
            The operating system refuses.
        """
        if self._path is None:
            self._path = self._place()
        with sink_errors("cannot write", self._shown):
            with self._path.open("ab") as file:
                file.truncate(self._size)
                file.writelines(self._waiting)
                file.flush()
                size = file.tell()
                if self._ended:
                    self._sync(file.fileno())
            # Only now: closing, too, may tell that something was not written.
            self._size, self._waiting = size, []

    def _sync(self, handle: int) -> None:
        """Wait for what earlier openings wrote, too, and report their failures."""
        # A failure is told once, and what it is about may be lost: a second try would succeed and prove nothing.
        if self._unsafe is not None:
            raise self._unsafe
        try:
            os.fsync(handle)
        except OSError as error:
            self._unsafe = error
            raise


class Backlog:
    """The files of one writer, each with what may still wait to be written.

    A failure to write is told by the next `check`: the rows at hand have been taken, and who is told of a failure
    gives the same rows again, or puts them aside.
    """

    __slots__ = ("_behind", "_broken", "_late")

    def __init__(self) -> None:
        self._behind: list[GrowingFile] = []
        self._late: SinkError | None = None
        self._broken: BaseException | None = None

    def append(self, file: GrowingFile, rows: pl.DataFrame) -> None:
        """Append rows to a file."""
        file.append(rows)
        self._write(file)

    def end(self, file: GrowingFile) -> None:
        """End a file."""
        file.end()
        self._write(file)

    def give_up(self, failure: BaseException) -> None:
        """Rows were lost by `failure` between being taken and being encoded: nothing can go on."""
        self._broken = failure

    def check(self) -> None:
        """Tell what has failed since the last time; if nothing has, write what still waits.

        Raises
        ------
        SinkError
            Something could not be written; it waits on, and nothing else should be taken.
        """
        if self._broken is not None:
            raise SinkError(
                "what was written cannot be continued after a failure",
                found=f"{type(self._broken).__name__}: {self._broken}",
                hint="no handler can make up for that: the run ends without a result",
            ) from self._broken
        if self._late is not None:
            late, self._late = self._late, None
            raise late
        self._catch_up()

    def _write(self, file: GrowingFile) -> None:
        self._behind.append(file)
        try:
            self._catch_up()
        except SinkError as error:
            self._late = error

    def _catch_up(self) -> None:
        while self._behind:
            self._behind[-1].write()
            self._behind.pop()
