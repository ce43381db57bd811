"""Files of web servers: requests that are tried again, and answers that go on where they broke off."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from arrowstream.io.files.remote.status import ObjectReplaced, Status
from arrowstream.io.files.remote.urls import RemotePath

if TYPE_CHECKING:
    from email.message import Message
    from http.client import HTTPResponse

_TIMEOUT_S: Final = 60
"""Longest wait for a connection, and for the next bytes, in seconds."""

WAITS_S: tuple[float, ...] = (0.2, 1.0, 3.0)
"""Waits before each further attempt of a request, in seconds."""

RESUMED: Final = 8
"""Times that reading one file goes on after its answer broke off."""

_TRANSIENT: Final = frozenset({408, 429, 500, 502, 503, 504})
"""Codes of answers that another attempt may change."""

_NO_HEAD: Final = frozenset({400, 401, 403, 405, 501})
"""Codes of servers that refuse HEAD: a URL that is signed for GET allows nothing else."""

_NO_RANGES: Final = "range request not supported: the server sent the whole file"

Result = TypeVar("Result")


def web_status(path: RemotePath) -> Status:
    """Return the size of a file and the tag of its content.

    Raises
    ------
    OSError
        The server has no such file, refuses it, or cannot be reached.
    """
    from urllib.error import HTTPError

    try:
        with _answer(path, "HEAD") as head:
            return _status(head)
    except HTTPError as error:
        if error.code not in _NO_HEAD:
            raise
    try:
        with _answer(path, "GET", "bytes=0-0") as first:
            return _status(first)
    except HTTPError as error:
        if error.code != 416:  # no range of an empty file can be sent
            raise
        return Status(0, _tag(error.headers))


def read_range(path: RemotePath, start: int, nbytes: int, opened: Status) -> bytes:
    """Return a range of bytes of a file.

    Raises
    ------
    Replaced
        The file is another one than when it was opened.
    OSError, HTTPException
        The server cannot be reached, or sends whole files only.
    """

    def read() -> bytes:
        with _request(path, "GET", f"bytes={start}-{start + nbytes - 1}") as part:
            _check_part(part, opened)
            return part.read()

    return _tried(read)


class WebStream:
    """Content of a file from its beginning on, in one answer; if that breaks off, the rest comes in others.

    Parameters
    ----------
    path
        Place of the file.

    Raises
    ------
    OSError
        The server refuses the file, or cannot be reached.
    """

    __slots__ = ("_answer", "_at", "_left", "_path", "_status")

    def __init__(self, path: RemotePath) -> None:
        self._path = path
        self._answer = _answer(path, "GET")
        self._status = _status(self._answer)
        self._at = 0
        self._left = RESUMED

    def read(self, most: int) -> bytes:
        """Return up to `most` further bytes; none at the end.

        Raises
        ------
        Replaced
            The answer broke off, and the file is another one by now.
        OSError, HTTPException
            The answer broke off, and the rest cannot be read.
        """
        while True:
            broken: Exception = ConnectionResetError("the answer ended too early: connection reset by peer")
            try:
                data = self._answer.read(most)
            except Exception as error:
                if not _is_transient(error):
                    raise
                broken, data = error, b""
            else:
                if data or self._at >= self._status.size:
                    self._at += len(data)
                    return data
            self._resume(broken)

    def _resume(self, broken: Exception) -> None:
        if not self._left or self._status.size < 0:
            raise broken
        self._left -= 1
        self._answer.close()
        self._answer = _answer(self._path, "GET", f"bytes={self._at}-")
        _check_part(self._answer, self._status)

    def close(self) -> None:
        """Close the connection."""
        self._answer.close()


def _answer(path: RemotePath, method: str, ranged: str | None = None) -> HTTPResponse:
    return _tried(lambda: _request(path, method, ranged))


def _request(path: RemotePath, method: str, ranged: str | None) -> HTTPResponse:
    import urllib.request
    from urllib.error import HTTPError

    request = urllib.request.Request(path.url, method=method)
    if ranged is not None:
        request.add_header("Range", ranged)
    try:
        found: HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except HTTPError as error:
        error.close()
        raise
    return found


def _tried(call: Callable[[], Result]) -> Result:
    """Return the result of a call, which is made again after failures that may pass."""
    for wait in WAITS_S:
        try:
            return call()
        except Exception as error:
            if not _is_transient(error):
                raise
        time.sleep(wait)
    return call()


def _is_transient(error: Exception) -> bool:
    """Return whether the same request may succeed a moment later."""
    from http.client import IncompleteRead
    from urllib.error import HTTPError, URLError

    if isinstance(error, HTTPError):
        return error.code in _TRANSIENT
    cause = error.reason if isinstance(error, URLError) else error
    return isinstance(cause, ConnectionError | TimeoutError | IncompleteRead)


def _check_part(part: HTTPResponse, opened: Status) -> None:
    """Raise unless an answer is a part of the file that was opened."""
    now = _status(part)
    if now.size != opened.size or now.tag != opened.tag:
        raise ObjectReplaced
    if part.status != 206:
        raise io.UnsupportedOperation(_NO_RANGES)


def _status(answer: HTTPResponse) -> Status:
    """Return the status of the whole file, of which an answer may have a part."""
    total = re.search(r"/(\d+)$", answer.headers.get("Content-Range") or "")
    return Status(
        int(total[1] if total else answer.headers.get("Content-Length") or -1), _tag(answer.headers)
    )


def _tag(headers: Message) -> str:
    return headers.get("ETag") or headers.get("Last-Modified") or ""
