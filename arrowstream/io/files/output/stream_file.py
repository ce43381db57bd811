"""Devices, pipes and open descriptors as targets of a sink: they are written to, never replaced."""

from __future__ import annotations

import errno
import os
import re
import select
import stat
import time
from pathlib import Path

from arrowstream.errors import SinkError
from arrowstream.io.files.output.output_file import Abandoned, OutputFile
from arrowstream.io.files.sink_errors import sink_errors
from arrowstream.io.files.staging.base import Publication

READER_WAIT_S = 10.0
"""Longest wait for the reader of a pipe, in seconds."""

_POLL_S = 0.02
_POLL_MS = 50
_DESCRIPTOR = re.compile(r"/(?:dev/(stdin|stdout|stderr|fd/\d+)|proc/(?:self|thread-self)/fd/(\d+))")
_NAMED = {"stdin": 0, "stdout": 1, "stderr": 2}


def is_stream(path: Path) -> bool:
    """Return True if `path`, or the end of its symbolic links, is a character device, a pipe or an open descriptor.

    Raises
    ------
    SinkError
        `path` is a socket or a block device, to which rows cannot be written.
    OSError
        `path` cannot be inspected.
    """
    if descriptor(path) is not None:
        return True
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    for kind, check in (("a socket", stat.S_ISSOCK), ("a block device", stat.S_ISBLK)):
        if check(mode):
            raise SinkError(
                f"cannot write to {path}",
                expected="a file, a folder, a pipe or a character device",
                found=kind,
                hint="choose the name of a file",
            )
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)


def descriptor(path: Path) -> int | None:
    """Return the number of the open descriptor that a path such as ``/dev/stdout`` names, else None.

    Examples
    --------
    >>> descriptor(Path("/dev/stdout")), descriptor(Path("/dev/fd/7")), descriptor(Path("out.csv"))
    (1, 7, None)
    """
    place = os.path.normpath(path.absolute())
    for _ in range(40):
        if found := _DESCRIPTOR.fullmatch(place):
            name = found[1] or found[2]
            return _NAMED[name] if name in _NAMED else int(name.removeprefix("fd/"))
        if not Path(place).is_symlink():
            break
        place = os.path.normpath(Path(place).parent / Path(place).readlink())
    return None


class StreamFile(OutputFile, Publication):
    """Device, pipe or descriptor being written: rows are visible at once, and stay if the run fails.

    Its reader may take its time, and may itself need Polars' threads. So those only add bytes, at most those of the
    rows that the encoder has taken, and the encoder's own thread writes them and waits.

    Parameters
    ----------
    path
        The device, pipe or descriptor.
    """

    __slots__ = ("_handle",)

    def __init__(self, path: Path) -> None:
        super().__init__(path, chunk=1)
        self._handle: int | None = None

    def add(self, data: bytes) -> None:
        # Without the lock, which is held while `write` waits for the reader, and takes bytes off the front.
        if self._abandoned:
            raise Abandoned
        self._waiting.append(data)

    def settle(self) -> None:
        self._write_added()

    def write(self) -> None:
        with sink_errors("cannot write to", self._shown):
            if self._handle is None:
                self._handle = _opened(self._shown)
            # A reader may take its time: the wait ends with the run, and a pipe that is ready takes `PIPE_BUF` bytes.
            ready = select.poll()
            ready.register(self._handle, select.POLLOUT)
            # Written bytes are removed at once, so that a retry continues after them.
            while self._waiting:
                while not ready.poll(_POLL_MS):
                    if self._abandoned:
                        raise Abandoned
                chunk = memoryview(self._waiting[0])[: select.PIPE_BUF]
                written = os.write(self._handle, chunk)
                rest = memoryview(self._waiting[0])[written:]
                self._waiting[:1] = [rest] if rest else []

    def prepare(self) -> None:
        return

    def publish(self) -> None:
        self.discard()

    def discard(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _opened(path: Path) -> int:
    number = descriptor(path)
    if number is not None:
        return os.dup(number)
    deadline = time.monotonic() + READER_WAIT_S
    while True:
        try:
            # Non-blocking: opening a pipe without a reader would otherwise never return, not even after the run.
            handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as error:
            if error.errno != errno.ENXIO or time.monotonic() > deadline:
                raise
            time.sleep(_POLL_S)
        else:
            os.set_blocking(handle, True)
            return handle
