"""Places for the bytes of one file, which keep the bytes that could not be written yet.

A disk may be full for a while, or a server unreachable. So that a handler can retry a write, a failure loses no byte
and doubles none: the bytes are kept until they are written or the file is abandoned. Meanwhile the encoder gets no
further rows. The threads that add bytes never wait for that: they are Polars', are few, and serve all files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from threading import Condition, Lock

from arrowstream.errors import SinkError

CHUNK = 1 << 20
"""Bytes that are written to a file on disk together."""


class Abandoned(Exception):
    """The run has failed, and nobody needs the rest of the file."""


class OutputFile(ABC):
    """A file that threads of an encoder add bytes to, one at a time, while another thread checks for failures.

    Parameters
    ----------
    shown
        Final name of the file, for errors.
    chunk
        Least number of bytes that are written together; fewer only at the end.

    Attributes
    ----------
    changed : Condition
        Notified when a write fails, when the next attempt succeeds, and when the file is abandoned.
    """

    __slots__ = (
        "_abandoned",
        "_behind",
        "_chunk",
        "_ended",
        "_held",
        "_late",
        "_lock",
        "_shown",
        "_waiting",
        "changed",
    )

    def __init__(self, shown: Path, chunk: int) -> None:
        self.changed = Condition()
        self._lock = Lock()
        self._shown = shown
        self._chunk = chunk
        self._waiting: list[bytes | memoryview] = []
        self._held = 0
        self._ended = False
        self._behind = False
        self._late: SinkError | None = None
        self._abandoned = False

    @property
    def nbytes(self) -> int:
        """Number of bytes that were added and are not in the file yet."""
        return self._held

    @property
    def failed(self) -> bool:
        """True if bytes could not be written, and the encoder gets no rows until they are."""
        return self._behind

    def add(self, data: bytes) -> None:
        """Add bytes; called on a thread of the encoder.

        Raises
        ------
        Abandoned
            The file is abandoned.
        """
        with self._lock:
            if self._abandoned:
                raise Abandoned
            self._waiting.append(data)
            self._held += len(data)
            if self._held >= self._chunk and not self._behind:
                self._attempt()

    def settle(self) -> None:
        """Write what `add` must not wait for, once the encoder asks for further rows; does nothing for most files.

        Raises
        ------
        Abandoned
            The file is abandoned.
        """
        return

    def flush(self) -> None:
        """Write all bytes that were added, and wait until they are written; called once all bytes were added.

        Raises
        ------
        Abandoned
            The file is abandoned.
        """
        self._write_added()
        with self.changed:
            self.changed.wait_for(lambda: self._abandoned or not self._behind)
        if self._abandoned:
            raise Abandoned

    def check(self) -> None:
        """Raise the failure since the last call; if there was none, write the bytes that still wait.

        Raises
        ------
        SinkError
            Bytes could not be written, and still wait.
        """
        if not self._behind:
            return
        if self._late is not None:
            late, self._late = self._late, None
            raise late
        with self._lock:
            self.write()
            self._held = 0
        with self.changed:
            self._behind = False
            self.changed.notify_all()

    def abandon(self) -> None:
        """Let the encoder fail with `Abandoned` at its next write, and wait until the current one ends."""
        with self.changed:
            self._abandoned = True
            self.changed.notify_all()
        # Polars' threads may write even after the call that they work for has failed.
        with self._lock:
            return

    def end(self, last: bytes = b"") -> None:
        """Write the end of the file, and wait until everything is on disk; called once the encoder has ended.

        Parameters
        ----------
        last
            Further bytes of the file.

        Raises
        ------
        SinkError
            The operating system refuses; the call can be repeated.
        """
        self._ended = True
        if last:
            self._waiting.append(last)
        self.write()

    @abstractmethod
    def write(self) -> None:
        """Write the waiting bytes. Those that cannot be written wait for the next call.

        Raises
        ------
        SinkError
            The operating system refuses the write.
        """

    def _write_added(self) -> None:
        """Write all bytes that were added, unless earlier ones could not be written."""
        with self._lock:
            if self._abandoned:
                raise Abandoned
            if self._waiting and not self._behind:
                self._attempt()

    def _attempt(self) -> None:
        """Write the waiting bytes, or note why they could not be written; called with the lock."""
        try:
            self.write()
        except SinkError as error:
            with self.changed:
                self._late, self._behind = error, True
                self.changed.notify_all()
        else:
            self._held = 0
