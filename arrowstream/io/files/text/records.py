"""Blocks of whole records of a text, and the ends of the records in a block."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from arrowstream.errors import UnreadableData

BLOCK_BYTES = 8 << 20
"""Size of a block, in bytes: one or two batches of usual rows, so that several in flight take little memory."""

MAX_LINE_BYTES = 256 << 20
"""Longest line of NDJSON, in bytes."""

MAX_RECORD_BYTES = 32 << 20
"""Longest record of CSV, in bytes. A longer one is taken for an unclosed quote, which shows after four blocks."""

_BUFFERS = 4
"""Number of blocks whose memory is used again, in turn: two that are read ahead, the one before, and the next one.

New memory costs 0.5 ms a MB, because the kernel clears it. A buffer whose block is still alive is copied.
"""

_PIECE = 1 << 18
"""Bytes that are compared at a time."""

_END_BYTES = 1 << 12
"""Bytes that are asked for to learn whether a text has ended."""

Positions = npt.NDArray[np.int64]

_NEWLINE = ord("\n")


class Stream(Protocol):
    """Stream of bytes."""

    def read(self, size: int, /) -> bytes | None:
        """Return up to `size` bytes, none only at the end; None if a pipe is silent."""
        ...


class Text(Stream, Protocol):
    """Stream of bytes of which the last ones can be read again."""

    def read_into(self, buffer: io.BytesIO, size: int) -> bool:
        """Replace the content of `buffer` with up to `size` bytes; return True if a pipe is silent."""
        ...

    def put_back(self, data: bytes) -> None:
        """Make the next `read` begin with `data`, the last bytes that were read."""
        ...


class RewindableText(Text, ABC):
    """Stream made of another one, of which the last bytes can be read again."""

    __slots__ = ("_back",)

    def __init__(self) -> None:
        self._back = b""

    @abstractmethod
    def _more(self, size: int) -> bytes | None:
        """Return up to `size` more bytes, as for `read`."""

    def read(self, size: int) -> bytes | None:
        head, self._back = self._back[:size], self._back[size:]
        return continued(head, self._more(size - len(head)))

    def read_into(self, buffer: io.BytesIO, size: int) -> bool:
        head, self._back = self._back[:size], self._back[size:]
        more = self._more(size - len(head))
        buffer.seek(0)
        buffer.write(head)
        buffer.write(more or b"")
        buffer.truncate()
        return more is None

    def put_back(self, data: bytes) -> None:
        self._back = data + self._back


class Gap(NamedTuple):
    """A line that was taken out of a block."""

    at: int
    """Position in the block's data where it was."""
    text: bytes
    error: str | None
    """Why it cannot be read; None for a comment."""


class RecordBlock(NamedTuple):
    """Consecutive whole records of a stream."""

    data: bytes
    in_order: bool
    """True if its quotes are known to enclose fields or to be doubled inside one."""
    gaps: tuple[Gap, ...] = ()
    """Lines of the stream that are not in `data`, in order."""

    def joined(self, after: RecordBlock) -> RecordBlock:
        """Return this block and the one after it as one."""
        gaps = (gap._replace(at=gap.at + len(self.data)) for gap in after.gaps)
        in_order = self.in_order and after.in_order
        return RecordBlock(self.data + after.data, in_order, (*self.gaps, *gaps))

    @property
    def gaps_at(self) -> tuple[int, ...]:
        """Positions in `data` where lines were taken out, ascending."""
        return tuple(gap.at for gap in self.gaps)


Cut = Callable[[bytes, bool], tuple[int, bool, RecordBlock | None]]
"""Finds the whole records at the beginning of bytes that begin with a record.

Called with the bytes, and with whether they are the last ones of the stream: then it takes all of them. Returns how
many bytes the records have, whether their quotes are in order, and a block if they are not just these bytes.
"""


def continued(head: bytes, more: bytes | None) -> bytes | None:
    """Return the bytes of a stream after `head`, the last ones that were read of it, together with these."""
    return head + (more or b"") if head else more


def whole(cut: Callable[[bytes], tuple[int, bool]]) -> Cut:
    """Return a cut after the last whole record.

    Parameters
    ----------
    cut
        Returns where the last whole record ends in bytes that begin with a record (0 if they contain none), and
        whether the quotes before that are in order.
    """

    def cut_bytes(data: bytes, last: bool) -> tuple[int, bool, RecordBlock | None]:
        end, in_order = cut(data)
        if last:  # what follows the last whole record may open a quote and not close it
            end, in_order = len(data), in_order and end == len(data)
        return end, in_order, None

    return cut_bytes


def blocks(
    text: Text,
    cut: Cut,
    *,
    name: str,
    size: int,
    longest: int,
    partial: bool,
    is_live: bool = False,
) -> Iterator[RecordBlock]:
    """Yield the stream in blocks of about `size` bytes, each of whole records; without data while a pipe gives none.

    A last record without a newline is in the block of the records before it, from which types may be inferred.

    Parameters
    ----------
    text
        The stream.
    cut
        Returns the whole records at the beginning of the bytes read so far.
    name
        Name of the stream in errors.
    size
        Bytes to read at a time.
    longest
        Most bytes of a record.
    partial
        Whether the beginning of a record that is too long is yielded too, so that its reader can raise a more
        precise error.
    is_live
        Whether the stream is a pipe: then a block without data is yielded also for the beginning of a record.

    Raises
    ------
    SourceError
        A record is too long.
    """
    used: deque[io.BytesIO] = deque()
    rest = 0
    while True:
        buffer = used.popleft() if len(used) == _BUFFERS else _new_buffer(size)
        is_silent = text.read_into(buffer, size + rest)
        is_short = not is_live and _ended(text, buffer, size + rest)
        data = buffer.getvalue()
        if is_short and len(data) <= longest:
            break
        if len(data) <= rest:
            if not is_silent:
                break
            text.put_back(data)
            yield RecordBlock(b"", True)
            continue
        end, in_order, own = cut(data, False)
        rest = len(data) - end
        if not end and rest > longest:
            if partial:
                yield RecordBlock(data, False)
            raise UnreadableData(
                f"{name} holds a record without an end",
                position=name,
                expected=f"records of at most {longest >> 20} MiB",
                found=f"a longer record, which begins with {data[:40]!r}",
                hint="check that the file has the format it is read as",
            )
        text.put_back(data[end:])
        del data
        if end:
            yield RecordBlock(_shortened(buffer, end), in_order) if own is None else own
            del own
            if end <= 2 * size:
                used.append(buffer)
        elif is_live:
            yield RecordBlock(b"", True)
    if data:
        _, in_order, own = cut(data, True)
        yield RecordBlock(data, in_order) if own is None else own


def _new_buffer(size: int) -> io.BytesIO:
    """Return a buffer with room for a block of slightly more than `size` bytes, which would be copied without it.

    Unlike a write at its end, this uses no memory before the first read, and none that a small file does not need.
    """
    return io.BytesIO(bytes(size + (size >> 6)))


def _ended(text: Text, buffer: io.BytesIO, size: int) -> bool:
    """Fill the buffer up to `size` bytes of a text that is no pipe; return True if the text ends before that."""
    while (had := buffer.seek(0, io.SEEK_END)) < size:
        if (more := text.read(min(size - had, _END_BYTES))) == b"":
            return True
        buffer.write(more or b"")  # a part of a character may be all that was read
    return False


def _shortened(buffer: io.BytesIO, size: int) -> bytes:
    """Return the first `size` bytes; their memory is the buffer's own, if nothing else uses it, and not a copy."""
    buffer.truncate(size)
    return buffer.getvalue()


def with_last(ends: Positions, block: bytes) -> Positions:
    """Return `ends`, plus the end of `block` if its last record ends there without a newline.

    Parameters
    ----------
    ends
        Ends of the records that end in a newline, ascending. Shape (n,), int64.
    block
        The bytes.
    """
    return np.append(ends, len(block)) if block and (not len(ends) or ends[-1] != len(block)) else ends


def positions(block: bytes, byte: int) -> Positions:
    """Return every position of `byte` in `block`, ascending; shape (n,), int64."""
    return np.flatnonzero(byte_view(block) == byte)


def count(block: bytes | npt.NDArray[np.uint8], byte: int) -> int:
    """Count the occurrences of one byte in a block."""
    return int((byte_column(block) == byte).sum())


def byte_column(block: bytes | npt.NDArray[np.uint8]) -> pl.Series:
    """Return the bytes of `block` as a column of UInt8, not copied.

    Polars compares 20 GB a second, with one bit a byte as the result, and other threads can run meanwhile.
    """
    column = pl.from_arrow(pa.Array.from_buffers(pa.uint8(), len(block), [None, pa.py_buffer(block)]))
    assert isinstance(column, pl.Series)
    return column


def occurrences(block: bytes, pattern: bytes) -> int:
    """Count the occurrences of one, two or four bytes in a block, comparing that many at a time.

    This is done piece by piece, so that the results of the comparisons stay in the processor's cache.
    """
    size = len(pattern)
    dtype = np.dtype(f"u{size}")
    number = np.frombuffer(pattern, dtype)[0]
    equal = np.empty(_PIECE // size, np.bool_)
    found = 0
    for start in range(0, len(block) - size + 1, _PIECE):
        for offset in range(start, min(start + size, len(block) - size + 1)):
            count = min(_PIECE, len(block) - offset) // size
            words = np.frombuffer(block, dtype, count, offset)
            found += int(np.count_nonzero(np.equal(words, number, out=equal[:count])))
    return found


def byte_view(block: bytes) -> npt.NDArray[np.uint8]:
    """Return the bytes of `block` as an array of shape (n,), uint8, not copied."""
    view: npt.NDArray[Any] = np.frombuffer(block, np.uint8)
    return view
