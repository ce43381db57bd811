"""Streams made of other streams: text of other encodings as UTF-8, and what comes after some lines."""

from __future__ import annotations

import codecs

from arrowstream.errors import SourceError, UnreadableData
from arrowstream.io.files.text.options.text_options import LOSSY
from arrowstream.io.files.text.records import RewindableText, Stream, continued

_CHUNK = 1 << 18
"""Bytes that are decoded at a time."""


class Transcoded(RewindableText):
    """Stream of UTF-8, made of a stream of another encoding, without a byte order mark.

    Parameters
    ----------
    source
        The stream.
    encoding
        Its encoding; ``"utf8-lossy"`` for UTF-8 whose invalid bytes become U+FFFD.
    path
        Path of the file, for errors.

    Raises
    ------
    SourceError
        While it is read: the stream does not have this encoding.
    """

    __slots__ = ("_before", "_decoder", "_encoding", "_ended", "_path", "_ready", "_source", "_taken")

    def __init__(self, source: Stream, encoding: str, path: str) -> None:
        super().__init__()
        self._source = source
        self._encoding = encoding
        self._path = path
        lossy = encoding == LOSSY
        self._decoder = codecs.getincrementaldecoder("utf-8" if lossy else encoding)(
            "replace" if lossy else "strict"
        )
        self._ready = bytearray()
        self._ended = False
        self._taken = 0
        self._before = True
        """True until the first character."""

    def _more(self, size: int) -> bytes | None:
        is_full = True
        while len(self._ready) < size and is_full and not self._ended:
            chunk = self._source.read(_CHUNK)
            if chunk is None:
                break
            is_full, self._ended = len(chunk) == _CHUNK, not chunk
            pending = len(self._decoder.getstate()[0])
            try:
                text = self._decoder.decode(chunk, final=self._ended)
            except UnicodeDecodeError as error:
                found = f"{error.object[error.start : error.end]!r}"
                raise self._refused(self._taken - pending + error.start, found, error.reason) from error
            except UnicodeError as error:  # UTF-16 without a byte order mark
                raise self._refused(self._taken, f"{chunk[:4]!r}", str(error)) from error
            self._taken += len(chunk)
            if self._before and text:
                text, self._before = text.removeprefix("\ufeff"), False
            self._ready += text.encode("utf-8", "surrogatepass")
        part = bytes(self._ready[:size])
        del self._ready[:size]
        # A part of a character may be all that has come.
        return part if part or self._ended or not size else None

    def _refused(self, at: int, found: str, reason: str) -> SourceError:
        of_two_orders = self._encoding.lower().replace("_", "-") in ("utf-16", "utf16")
        return UnreadableData(
            f"{self._path} is not {self._encoding}",
            position=f"{self._path} byte {at}",
            expected=f"text encoded as {self._encoding}",
            found=f"{found} at byte {at}: {reason}",
            hint="give the encoding that the file has: 'utf-16-le' or 'utf-16-be' without a byte order mark"
            if of_two_orders
            else "give the encoding that the file has: encoding='latin-1' reads any bytes",
        )


class AfterLines(RewindableText):
    """Stream without its first lines.

    Parameters
    ----------
    source
        The stream.
    lines
        Number of lines that are left out.
    """

    __slots__ = ("_left", "_ready", "_source")

    def __init__(self, source: Stream, lines: int) -> None:
        super().__init__()
        self._source = source
        self._left = lines
        self._ready = b""

    def _more(self, size: int) -> bytes | None:
        while self._left:
            if not self._ready:
                if not (chunk := self._source.read(_CHUNK)):
                    return chunk
                self._ready = chunk
            self._left -= 1
            _, end, self._ready = self._ready.partition(b"\n")
            self._left += not end
        head, self._ready = self._ready[:size], self._ready[size:]
        return continued(head, self._source.read(size - len(head)))
