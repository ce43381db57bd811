"""Blocks of whole records of a text, and the ends of the records in a block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from arrowstream.errors import SourceError

BLOCK_BYTES = 8 << 20
"""Size of a block, in bytes: one or two batches of usual rows, so that several in flight take little memory."""

MAX_LINE_BYTES = 256 << 20
"""Longest line of NDJSON, in bytes."""

MAX_RECORD_BYTES = 32 << 20
"""Longest record of CSV, in bytes. A longer one is taken for an unclosed quote, which shows after four blocks."""

_PIECE = 1 << 18
"""Bytes that are compared at a time."""

Positions = npt.NDArray[np.int64]

_NEWLINE = ord("\n")


class Text(Protocol):
    """Stream of bytes."""

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes, fewer only at the end."""
        ...


class Gap(NamedTuple):
    """A line that was taken out of a block."""

    at: int
    """Position in the block's data where it was."""
    text: bytes
    error: str | None
    """Why it cannot be read; None for a comment."""


class Block(NamedTuple):
    """Consecutive whole records of a stream."""

    data: bytes
    in_order: bool
    """True if its quotes are known to enclose fields or to be doubled inside one."""
    gaps: tuple[Gap, ...] = ()
    """Lines of the stream that are not in `data`, in order."""

    def joined(self, after: Block) -> Block:
        """Return this block and the one after it as one."""
        gaps = (gap._replace(at=gap.at + len(self.data)) for gap in after.gaps)
        in_order = self.in_order and after.in_order
        return Block(self.data + after.data, in_order, (*self.gaps, *gaps))

    @property
    def gaps_at(self) -> tuple[int, ...]:
        """Positions in `data` where lines were taken out, ascending."""
        return tuple(gap.at for gap in self.gaps)


Cut = Callable[[bytes, bool], tuple[Block, int]]
"""Returns the whole records at the beginning of bytes that begin with a record, and the number of bytes they take.

Called with the bytes, and with whether they are the last ones of the stream: then it takes all of them.
"""


def at_ends(cut: Callable[[bytes], tuple[int, bool]]) -> Cut:
    """Return a cut after the last whole record.

    Parameters
    ----------
    cut
        Returns where the last whole record ends in bytes that begin with a record (0 if they contain none), and
        whether the quotes before that are in order.
    """

    def cut_block(rest: bytes, last: bool) -> tuple[Block, int]:
        end, in_order = (len(rest), False) if last else cut(rest)
        return Block(rest[:end], in_order), end

    return cut_block


def blocks(text: Text, cut: Cut, *, name: str, size: int, longest: int, partial: bool) -> Iterator[Block]:
    """Yield the stream in blocks of about `size` bytes, each of whole records.

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

    Raises
    ------
    SourceError
        A record is too long.
    """
    rest = b""
    while chunk := text.read(size):
        rest += chunk
        block, end = cut(rest, False)
        if end:
            yield block
            rest = rest[end:]
        elif len(rest) > longest:
            if partial:
                yield Block(rest, False)
            raise SourceError(
                f"{name} holds a record without an end",
                position=name,
                expected=f"records of at most {longest >> 20} MiB",
                found=f"a longer record, which begins with {rest[:40]!r}",
                hint="check that the file has the format it is read as",
            )
    if rest:
        yield cut(rest, True)[0]


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
