"""Files on disk that bytes are appended to."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from arrowstream.io.files.output import output_file, write_back
from arrowstream.io.files.output.output_file import OutputFile
from arrowstream.io.files.sink_errors import sink_errors


class GrowingFile(OutputFile):
    """A file on disk; it is open only while it is written to.

    Parameters
    ----------
    place
        Returns the path to write, after making its folder.
    shown
        Final name of the file, for errors.
    """

    __slots__ = ("_begun", "_path", "_place", "_size", "_unsafe")

    def __init__(self, place: Callable[[], str | Path], shown: Path) -> None:
        super().__init__(shown, output_file.CHUNK)
        self._place = place
        self._path: Path | None = None
        self._size = 0
        self._begun = 0
        self._unsafe: OSError | None = None

    @property
    def nbytes(self) -> int:
        """Number of bytes of the file so far, about: the encoder's thread adds to them."""
        return self._size + super().nbytes

    def write(self) -> None:
        if self._path is None:
            self._path = Path(self._place())
        with sink_errors("cannot write", self._shown):
            with self._path.open("ab") as file:
                file.truncate(self._size)
                file.writelines(self._waiting)
                file.flush()
                size = file.tell()
                if self._ended:
                    self._sync(file.fileno())
                elif size - self._begun >= write_back.BYTES:
                    write_back.start_write_back(file.fileno(), self._begun, size - self._begun)
                    self._begun = size
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


def write_file(path: str, content: bytes, shown: str, durable: bool) -> None:
    """Write a whole file; a call after a failure begins again.

    Parameters
    ----------
    path
        The path to write, in a folder that exists.
    content
        Bytes of the file.
    shown
        Final name of the file, for errors.
    durable
        Whether the call waits until the bytes are on disk; otherwise the caller does that, for many files at once.

    Raises
    ------
    SinkError
        The operating system refuses.
    """
    with sink_errors("cannot write", shown):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(handle, rest) :]
            if durable:
                os.fsync(handle)
        finally:
            os.close(handle)  # may report too that bytes were not written
