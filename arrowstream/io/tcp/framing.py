"""Where messages end among the bytes of a connection: at line ends, or by the length before them.

Bytes are looked at once, as they come, and never one by one in Python.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

HEADER_BYTES: Final = 4
"""Bytes of the length before a frame, an unsigned integer, most significant byte first."""

_LEAST_FRAME: Final = 8
"""Bytes of the shortest frame: an Arrow IPC stream without a schema is its end marker."""

_NEWLINE, _RETURN, _QUOTE = b'\n\r"'
_Bytes = npt.NDArray[np.uint8]
_Ends = npt.NDArray[np.int64]


class Framing(ABC):
    """The messages in the bytes of one connection.

    Attributes
    ----------
    complete : int
        Number of bytes, from the start of the buffer, that are whole messages.
    """

    __slots__ = ("complete",)

    complete: int

    @abstractmethod
    def scan(self, buffer: bytearray, start: int) -> str | None:
        """Look at the bytes that were added to `buffer` at `start`.

        Returns
        -------
        str or None
            What is wrong with the message after the whole ones, if so: such as ``a line of more than 100 bytes``.
        """

    @abstractmethod
    def take(self, buffer: bytearray) -> pa.LargeBinaryArray:
        """Return the whole messages, which share memory with `buffer`, and start again with the bytes after them."""


class LineFraming(Framing):
    """Messages that are lines, with their ends.

    Parameters
    ----------
    max_bytes
        Largest number of bytes of a line with its end.
    skip_blank
        True if a line without content is not a message.
    """

    __slots__ = ("_max_bytes", "_skip_blank")

    def __init__(self, max_bytes: int, *, skip_blank: bool) -> None:
        self.complete = 0
        self._max_bytes = max_bytes
        self._skip_blank = skip_blank

    def scan(self, buffer: bytearray, start: int) -> str | None:
        # Most lines are shorter than what comes at once, so that their lengths need not be looked at.
        if len(buffer) - self.complete <= self._max_bytes:
            self.complete = max(self.complete, self._last_end(buffer, start))
            return None
        ends = self._ends(np.frombuffer(buffer, np.uint8, offset=start)) + start
        long = np.flatnonzero(np.diff(ends, prepend=self.complete, append=len(buffer)) > self._max_bytes)
        whole = ends[: long[0]] if long.size else ends
        if whole.size:
            self.complete = int(whole[-1])
        return f"a line of more than {self._max_bytes:,} bytes" if long.size else None

    def _last_end(self, buffer: bytearray, start: int) -> int:
        """Return the end of the last line that ends at or after `start`; 0 without one."""
        return buffer.rfind(b"\n", start) + 1

    def _ends(self, data: _Bytes) -> _Ends:
        """Return the places after the newlines that end a line."""
        return np.flatnonzero(data == _NEWLINE) + 1

    def take(self, buffer: bytearray) -> pa.LargeBinaryArray:
        data = np.frombuffer(buffer, np.uint8, self.complete)
        offsets = np.concatenate([[0], self._whole(data)])
        self.complete = 0
        found = _array(offsets, buffer)
        if self._skip_blank:
            blank = _blank(offsets, data)
            if blank.any():
                found = found.filter(pa.array(~blank))
        return found

    def _whole(self, data: _Bytes) -> _Ends:
        """Return the ends of all lines of whole lines."""
        return self._ends(data)


def _blank(offsets: _Ends, data: _Bytes) -> npt.NDArray[np.bool_]:
    """Return which lines have only a line end."""
    lengths = np.diff(offsets)
    blank: npt.NDArray[np.bool_] = (lengths == 1) | ((lengths == 2) & (data[offsets[:-1]] == _RETURN))
    return blank


class QuotedLines(LineFraming):
    """Messages that are lines of CSV: a line end between quotes belongs to its field."""

    __slots__ = ("_is_open",)

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes, skip_blank=False)
        self._is_open = False
        """True if the bytes that were looked at end within quotes."""

    def scan(self, buffer: bytearray, start: int) -> str | None:
        wrong = super().scan(buffer, start)
        self._is_open ^= bool(buffer.count(_QUOTE, start) % 2)
        return wrong

    def _last_end(self, buffer: bytearray, start: int) -> int:
        if not self._is_open and buffer.find(_QUOTE, start) < 0:
            return super()._last_end(buffer, start)
        ends = self._ends(np.frombuffer(buffer, np.uint8, offset=start))
        return int(ends[-1]) + start if ends.size else 0

    def _ends(self, data: _Bytes) -> _Ends:
        return self._outside(data, self._is_open)

    def _whole(self, data: _Bytes) -> _Ends:
        return self._outside(data, is_open=False)

    def _outside(self, data: _Bytes, is_open: bool) -> _Ends:
        newlines, quotes = np.flatnonzero(data == _NEWLINE), np.flatnonzero(data == _QUOTE)
        before = np.searchsorted(quotes, newlines) + is_open
        ends: _Ends = newlines[before % 2 == 0] + 1
        return ends


class LengthPrefixed(Framing):
    """Messages with their length before them.

    Parameters
    ----------
    max_bytes
        Largest length of a frame.
    """

    __slots__ = ("_frames", "_max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.complete = 0
        self._max_bytes = max_bytes
        self._frames: list[tuple[int, int]] = []

    def scan(self, buffer: bytearray, start: int) -> str | None:
        while len(buffer) - self.complete >= HEADER_BYTES:
            begin = self.complete + HEADER_BYTES
            length = int.from_bytes(buffer[self.complete : begin])
            if not _LEAST_FRAME <= length <= self._max_bytes:
                return f"a frame of {length:,} bytes, which is not {_LEAST_FRAME} to {self._max_bytes:,}"
            if begin + length > len(buffer):
                break
            self._frames.append((begin, begin + length))
            self.complete = begin + length
        return None

    def take(self, buffer: bytearray) -> pa.LargeBinaryArray:
        frames, self._frames = self._frames, []
        self.complete = 0
        if len(frames) == 1:
            return _array(np.array(frames[0], np.int64), buffer)
        # The values of an array follow each other without the lengths between them.
        ends = np.cumsum([0, *(end - begin for begin, end in frames)])
        whole = memoryview(buffer)
        return _array(ends, b"".join(whole[begin:end] for begin, end in frames))


def _array(offsets: _Ends, data: bytes | bytearray) -> pa.LargeBinaryArray:
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)
