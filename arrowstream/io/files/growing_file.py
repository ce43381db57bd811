"""Files that rows are appended to, with the bytes that could not be written yet.

A disk may be full for a while, or a server unreachable. So that a handler can retry a write, a failure loses no
row and doubles none: bytes that could not be written wait in memory, and are written first by the next attempt,
over the remains of the failed one.
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
        Final name of the file, for errors.
    encoder
        A new encoder of its format.
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
        """Encode the end of the file; the next `write` also waits until everything is on disk."""
        self._waiting += self._encoder.finish()
        self._ended = True

    @abstractmethod
    def write(self) -> None:
        """Write the waiting bytes. Those that cannot be written wait for the next call.

        Raises
        ------
        SinkError
            The operating system refuses the write.
        """


class GrowingFile(OutputFile):
    """A file on disk; it is open only while it is written to.

    Parameters
    ----------
    place
        Returns the path to write, after making its folder.
    shown
        Final name of the file, for errors.
    encoder
        A new encoder of its format.
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
            # Only now, as closing too may report that bytes were not written.
            self._size, self._waiting = size, []

    def _sync(self, handle: int) -> None:
        """Wait until all writes are on disk, including those of earlier openings; raise their failures."""
        # fsync reports a failure once, and the data may be lost: a second call would succeed and prove nothing.
        if self._unsafe is not None:
            raise self._unsafe
        try:
            os.fsync(handle)
        except OSError as error:
            self._unsafe = error
            raise


class Backlog:
    """The files of one writer, some of which may have bytes waiting to be written.

    A failure to write is raised by the next `check`, not at once: the rows at hand have been taken, and a caller that
    sees a failure passes the same rows again, or to a dead-letter sink.
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
        """Make every later `check` fail: `failure` lost rows after they were taken and before they were encoded."""
        self._broken = failure

    def check(self) -> None:
        """Raise the failure since the last call; if there was none, write the bytes that still wait.

        Raises
        ------
        SinkError
            Bytes could not be written. They still wait, and no further rows may be added.
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
