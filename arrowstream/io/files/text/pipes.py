"""Pipes and terminals as files.

Their bytes can be read only once. Bytes read to find the columns are kept for the run that reads the rows. What comes
is read without waiting long for more, so that rows of an endless pipe flow.
"""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from select import POLLIN, poll
from threading import Lock

from arrowstream.core.waiting import waits_outside
from arrowstream.errors import SourceError

_Key = tuple[int, int]


class _Pipe:
    """A pipe that is open or has been read."""

    __slots__ = ("file", "kept", "taken")

    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_RDONLY)
        self.kept = bytearray()
        """Bytes kept by earlier readers."""
        self.taken = False


_pipes: dict[_Key, _Pipe] = {}
"""Pipes by device and inode, because a pipe has several names: ``/dev/stdin``, ``/dev/fd/0``."""

_taking = Lock()
"""Held while a reader takes a pipe: two sources may do that on two threads."""


def is_pipe(path: Path) -> bool:
    """Return True if the bytes at `path` can be read only once, from beginning to end."""
    mode = path.stat().st_mode
    return not (stat.S_ISREG(mode) or stat.S_ISBLK(mode))


class PipeBytes(io.RawIOBase):
    """Reader of the bytes of a pipe from its beginning.

    Parameters
    ----------
    path
        Path of the pipe.
    keep
        Whether the bytes are kept for another reader. A reader that does not keep them is the last one.

    Raises
    ------
    SourceError
        The last reader has opened the pipe already.
    """

    def __init__(self, path: Path, *, keep: bool) -> None:
        super().__init__()
        status = path.stat()
        self._key = status.st_dev, status.st_ino
        self._named = path.resolve().exists()
        with waits_outside():  # for the writer of a FIFO
            pipe = _pipes.get(self._key) or _Pipe(path)
        with _taking:
            self._pipe = _pipes.setdefault(self._key, pipe)
            if self._pipe.taken:
                raise SourceError(
                    f"{path} was read already",
                    position=str(path),
                    expected="a pipe that nobody has read",
                    found="one whose bytes went to another source or an earlier run",
                    hint="read it into memory or into a file to use its rows twice",
                )
            self._pipe.taken = not keep
        self._keep = keep
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Read into a buffer: bytes kept of earlier reads, then those that come; return their number."""
        part = bytes(self._pipe.kept[self._count : self._count + len(buffer)])
        if not part:
            self._wait(None)
            part = os.read(self._pipe.file, len(buffer))
            if self._keep:
                self._pipe.kept += part
        self._count += len(part)
        buffer[: len(part)] = part
        return len(part)

    def has_more(self, seconds: float) -> bool:
        """Return True once bytes can be read, or the writer is gone; False if that is not so for some seconds."""
        if self._count < len(self._pipe.kept):
            return True
        return self._wait(max(0, seconds))

    def _wait(self, seconds: float | None) -> bool:
        """Wait for bytes or the end; return False if there are none after some seconds."""
        waiting = poll()
        waiting.register(self._pipe.file, POLLIN)
        with waits_outside():
            return bool(waiting.poll(None if seconds is None else seconds * 1000))

    def tell(self) -> int:
        """Return the number of bytes read so far."""
        return self._count

    def close(self) -> None:
        """Close the pipe, unless its bytes are kept."""
        if not self.closed and not self._keep:
            os.close(self._pipe.file)
            self._pipe.kept.clear()
            if self._named:  # a FIFO can be opened again by another writer
                del _pipes[self._key]
        super().close()
