"""Text cut into blocks of whole records, and the ends of the records in a block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from arrowstream.errors import SourceError

BLOCK_BYTES = 8 << 20
"""Bytes of a block: a batch or two of usual rows, small enough that several in flight stay small."""

MAX_RECORD_BYTES = 256 << 20
"""A record longer than this is taken for a quote that is never closed."""

Positions = npt.NDArray[np.int64]

_NEWLINE, _QUOTE = ord("\n"), ord('"')


class Text(Protocol):
    """A stream that gives exactly as many bytes as asked for, fewer only at its end."""

    def read(self, size: int) -> bytes: ...


def blocks(text: Text, last_end: Callable[[bytes], int], *, name: str, size: int) -> Iterator[bytes]:
    """The stream in blocks of about `size` bytes, each of whole records; together they are the stream.

    Parameters
    ----------
    text
        The stream.
    last_end
        Where the last whole record of a block that begins with a record ends, 0 if there is none.
    name
        What to call the stream in an error.
    size
        Bytes to read at a time.

    Raises
    ------
    SourceError
        A record is longer than `MAX_RECORD_BYTES`.
    """
    rest = b""
    while chunk := text.read(size):
        rest += chunk
        end = last_end(rest)
        if end:
            yield rest[:end]
            rest = rest[end:]
        elif len(rest) > MAX_RECORD_BYTES:
            raise SourceError(
                f"{name} holds a record without an end",
                position=name,
                expected=f"records of at most {MAX_RECORD_BYTES >> 20} MB",
                found=f"a record of more, which begins with {rest[:40]!r}",
                hint="a quote is opened and never closed, or this is not the format it is read as",
            )
    if rest:
        yield rest


def last_line_end(block: bytes) -> int:
    """Where the last line of `block` ends: just behind its newline."""
    return block.rfind(b"\n") + 1


def last_csv_end(block: bytes) -> int:
    """Where the last CSV record of `block` ends: just behind the last newline outside quotes."""
    end = block.rfind(b"\n") + 1
    if b'"' not in block or count(block[:end], _QUOTE) % 2 == 0:
        return end
    ends = outside_quotes(block, positions(block, _NEWLINE))
    return int(ends[-1]) + 1 if len(ends) else 0


def record_ends(block: bytes, *, quoted: bool) -> Positions:
    """Where each record of `block` ends, the last one with or without a newline of its own."""
    ends = positions(block, _NEWLINE) + 1
    if quoted:
        ends = outside_quotes(block, ends - 1) + 1
    if block and (not len(ends) or ends[-1] != len(block)):
        ends = np.append(ends, len(block))
    return ends


def outside_quotes(block: bytes, at: Positions) -> Positions:
    """Those of the positions `at` (ascending) that are not inside a pair of quotes."""
    quotes = positions(block, _QUOTE)
    return at[np.searchsorted(quotes, at) % 2 == 0] if len(quotes) else at


def positions(block: bytes, byte: int) -> Positions:
    """Every position of `byte` in `block`, ascending."""
    return np.flatnonzero(_view(block) == byte)


def count(block: bytes, byte: int) -> int:
    """How often `byte` occurs in `block`."""
    return int(np.count_nonzero(_view(block) == byte))


def _view(block: bytes) -> npt.NDArray[np.uint8]:
    view: npt.NDArray[Any] = np.frombuffer(block, np.uint8)
    return view
