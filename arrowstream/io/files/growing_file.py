"""Files that rows are appended to, and what of them could not be written yet.

A disk may be full for a while, or a server away. So that a handler can have a write tried again, a failure
takes no row away and doubles none: what could not be written waits in memory, and is written before anything
else, over what a failed write has left of it.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import polars as pl

from arrowstream.errors import SinkError
from arrowstream.io.files.encoders import Encoded, Encoder
from arrowstream.io.files.sink_errors import sink_errors


class OutputFile(ABC):
    """A file that rows are appended to.

    Parameters
    ----------
    shown
        Its final name, for errors.
    encoder
        A fresh encoder of its format.
    """

    __slots__ = ("_encoder", "_ended", "_shown", "_waiting", "rows")

    def __init__(self, shown: Path, encoder: Encoder) -> None:
        self._shown = shown
        self._encoder = encoder
        self._waiting: list[Encoded] = []
        self._ended = False
        self.rows = 0

    def append(self, frame: pl.DataFrame) -> None:
        """Encode these rows; `write` writes them."""
        self._waiting += self._encoder.encode(frame)
        self.rows += frame.height

    def end(self) -> None:
        """No more rows come; the next `write` also waits until everything is on disk."""
        self._waiting += self._encoder.finish()
        self._ended = True

    @abstractmethod
    def write(self) -> None:
        """Write the encoded bytes that wait; what cannot be written waits on.

        Raises
        ------
        SinkError
            The operating system refuses.
        """


class GrowingFile(OutputFile):
    """A file on disk; it is open only while rows are appended.

    Parameters
    ----------
    place
        Gives the path where it is written; its folder is made then.
    shown
        Its final name, for errors.
    encoder
        A fresh encoder of its format.
    """

    __slots__ = ("_path", "_place", "_size", "_unsafe")

    def __init__(self, place: Callable[[], Path], shown: Path, encoder: Encoder) -> None:
        super().__init__(shown, encoder)
        self._place = place
        self._path: Path | None = None
        self._size = 0
        self._unsafe: OSError | None = None

    def write(self) -> None:
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
            # Only now: closing, too, may report that something was not written.
            self._size, self._waiting = size, []

    def _sync(self, handle: int) -> None:
        """Wait for what earlier openings wrote, too, and report their failures."""
        # A failure is reported once, and the data may be lost: a second try would succeed and prove nothing.
        if self._unsafe is not None:
            raise self._unsafe
        try:
            os.fsync(handle)
        except OSError as error:
            self._unsafe = error
            raise


class Backlog:
    """The files of one writer, each with what may still wait to be written.

    A failure to write is raised by the next `check`: the rows at hand have been taken, and a caller that sees a
    failure gives the same rows again, or puts them aside.
    """

    __slots__ = ("_behind", "_broken", "_late")

    def __init__(self) -> None:
        self._behind: list[OutputFile] = []
        self._late: SinkError | None = None
        self._broken: BaseException | None = None

    def append(self, file: OutputFile, rows: pl.DataFrame) -> None:
        """Append rows to a file."""
        file.append(rows)
        self._write(file)

    def end(self, file: OutputFile) -> None:
        """End a file."""
        file.end()
        self._write(file)

    def give_up(self, failure: BaseException) -> None:
        """Rows were lost by `failure` between being taken and being encoded: nothing can go on."""
        self._broken = failure

    def check(self) -> None:
        """Raise what has failed since the last call; if nothing has, write what still waits.

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

    def _write(self, file: OutputFile) -> None:
        self._behind.append(file)
        try:
            self._catch_up()
        except SinkError as error:
            self._late = error

    def _catch_up(self) -> None:
        while self._behind:
            self._behind[-1].write()
            self._behind.pop()
