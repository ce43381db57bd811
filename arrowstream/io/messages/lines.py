"""A column of messages as the lines of one text."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.io.files.text.records import byte_view, count

_NEWLINE: Final = ord("\n")
_RETURN: Final = ord("\r")
_TAB: Final = ord("\t")


class LineWriter:
    """Writer of messages, each on a line of its own, into memory that is used again for the next ones.

    Parameters
    ----------
    null
        The line of a null message.
    """

    __slots__ = ("_null", "_text")

    def __init__(self, null: bytes) -> None:
        self._null = null
        self._text = io.BytesIO()

    def of(self, values: pa.LargeBinaryArray) -> bytes:
        r"""Return the messages, with a newline between two of them; those inside of messages are tabs.

        A newline between the tokens of JSON is blank space, as a tab is; inside a string both are errors.

        Examples
        --------
        >>> LineWriter(b"{}").of(pa.array([b'{"a":1}', None, b'{\n}\n'], pa.large_binary()))
        b'{"a":1}\n{}\n{\t}\t'
        """
        values = self.filled(values)
        inside = count(value_bytes(values), _NEWLINE)
        if inside and _end_lines(values, inside):
            return self._written(value_bytes(values).data)
        return self._written(_joined(_without_newlines(values) if inside else values))

    def records(self, values: pa.LargeBinaryArray) -> bytes:
        r"""Return the messages, with a newline after each.

        Examples
        --------
        >>> LineWriter(b"").records(pa.array([b"1,2", None, b"3,4"], pa.large_binary()))
        b'1,2\n\n3,4\n'
        """
        return self._written(_joined(self.filled(values)), b"\n")

    def filled(self, values: pa.LargeBinaryArray) -> pa.LargeBinaryArray:
        """Return the messages with lines for null ones."""
        return values.fill_null(self._null) if values.null_count else values

    def _written(self, *parts: pa.Buffer | bytes | memoryview) -> bytes:
        text = self._text
        text.seek(0)
        for part in parts:
            text.write(part)
        text.truncate()
        return text.getvalue()


def without_line_ends(values: pa.LargeBinaryArray) -> pa.LargeBinaryArray:
    r"""Return messages, of which none is null, without the line end, ``\n`` or ``\r\n``, after each that has one."""
    data = value_bytes(values)
    if not len(data) or not count(data, _NEWLINE):
        return values
    bounds = offsets(values) - offsets(values)[0]
    last = np.maximum(bounds[1:] - 1, 0)
    cut = (np.diff(bounds) > 0) & (data[last] == _NEWLINE)
    cut = cut + (cut & (np.diff(bounds) > 1) & (data[last - 1] == _RETURN))
    return every_other(data, bounds[1:] - cut, bounds[1:])


def every_other(
    data: bytes | npt.NDArray[np.uint8], ends: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]
) -> pa.LargeBinaryArray:
    """Return parts of some bytes as messages: the first from 0 to ``ends[0]``, others from ``starts[i - 1]``.

    The parts and what is between them in turn are values of the bytes; pyarrow copies every other one.
    """
    bounds = np.zeros(2 * len(ends) + 1, np.int64)
    bounds[1::2] = ends
    bounds[2::2] = starts
    buffers = [None, pa.py_buffer(bounds), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_binary(), 2 * len(ends), buffers)[::2]


def value_bytes(values: pa.LargeBinaryArray) -> npt.NDArray[np.uint8]:
    """Return the bytes of all messages, one after the other, not copied."""
    bounds = offsets(values)
    data = values.buffers()[2]
    return byte_view(b"" if data is None else data)[bounds[0] : bounds[-1]]


def offsets(values: pa.LargeBinaryArray) -> npt.NDArray[np.int64]:
    """Return where each message begins in its buffer, and the end of the last one; shape (messages + 1,), int64."""
    place = values.buffers()[1] or bytes(8)  # no messages may have no buffer
    return np.frombuffer(place, np.int64)[values.offset : values.offset + len(values) + 1]


def _end_lines(values: pa.LargeBinaryArray, newlines: int) -> bool:
    """Return whether each message has one newline, as its last byte."""
    bounds = offsets(values)
    if newlines != len(values) or (np.diff(bounds) == 0).any():
        return False
    return bool((value_bytes(values)[bounds[1:] - bounds[0] - 1] == _NEWLINE).all())


def _without_newlines(values: pa.LargeBinaryArray) -> pa.LargeBinaryArray:
    data = value_bytes(values).copy()
    data[data == _NEWLINE] = _TAB
    bounds = offsets(values) - offsets(values)[0]
    return pa.Array.from_buffers(
        pa.large_binary(), len(values), [None, pa.py_buffer(bounds), pa.py_buffer(data)]
    )


def _joined(values: pa.LargeBinaryArray) -> pa.Buffer | bytes:
    """Return the messages with a newline between two."""
    together = pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)
    return pc.binary_join(together, pa.scalar(b"\n", pa.large_binary())).buffers()[2] or b""
