"""Text cut into blocks of whole records, and the ends of the records in a block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from arrowstream.errors import SourceError

BLOCK_BYTES = 8 << 20
"""Bytes of a block: a batch or two of usual rows, small enough that several in flight stay small."""

MAX_LINE_BYTES = 256 << 20
"""The longest line of NDJSON."""

MAX_RECORD_BYTES = 32 << 20
"""The longest record of CSV. A longer one is a quote that is never closed, and four blocks are soon read."""

Positions = npt.NDArray[np.int64]

_NEWLINE = ord("\n")


class Text(Protocol):
    """A stream that gives exactly as many bytes as asked for, fewer only at its end."""

    def read(self, size: int) -> bytes: ...


class Block(NamedTuple):
    """Consecutive records of a stream."""

    data: bytes
    in_order: bool
    """Whether its quotes are known to need no closer look."""


def blocks(
    text: Text, cut: Callable[[bytes], tuple[int, bool]], *, name: str, size: int, longest: int, partial: bool
) -> Iterator[Block]:
    """The stream in blocks of about `size` bytes, each of whole records; together they are the stream.

    Parameters
    ----------
    text
        The stream.
    cut
        Where the last whole record ends in bytes that begin with a record, 0 if they hold none; and whether the
        quotes before that are in order.
    name
        The stream's name in an error.
    size
        Bytes to read at a time.
    longest
        Bytes of the longest record.
    partial
        Whether the beginning of a record that is too long is a block, too, so that its reader can say more.

    Raises
    ------
    SourceError
        A record is too long.
    """
    rest = b""
    while chunk := text.read(size):
        rest += chunk
        end, in_order = cut(rest)
        if end:
            yield Block(rest[:end], in_order)
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
        yield Block(rest, False)


def with_last(ends: Positions, block: bytes) -> Positions:
    """`ends`, with the end of `block` if its last record ends there without a newline."""
    return np.append(ends, len(block)) if block and (not len(ends) or ends[-1] != len(block)) else ends


def positions(block: bytes, byte: int) -> Positions:
    """Every position of `byte` in `block`, ascending."""
    return np.flatnonzero(byte_view(block) == byte)


def count(block: bytes, byte: int) -> int:
    """How often `byte` occurs in `block`."""
    return int(np.count_nonzero(byte_view(block) == byte))


def byte_view(block: bytes) -> npt.NDArray[np.uint8]:
    """The bytes of `block` as an array, not copied."""
    view: npt.NDArray[Any] = np.frombuffer(block, np.uint8)
    return view
