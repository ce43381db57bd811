"""Blocks of CSV without comments and without the lines whose quotes cannot be understood.

A record is flawed if text follows the closing quote of a field, or if a field's quote is never closed. Nobody can
say which of its lines were meant as one record, so only its first line is taken out, and reading goes on with the
next line. A line that is too long for a record is taken out for that. These rules do not depend on where the stream
is cut.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from arrowstream.io.files.text.quotes import Quotes
from arrowstream.io.files.text.records import Gap, Positions, RecordBlock, positions

TEXT_AFTER_QUOTE: Final = "text after a closing quote"
UNCLOSED_QUOTE: Final = "a quote that is opened and never closed"
TOO_LONG: Final = "a record that is too long"

_NEWLINE: Final = ord("\n")

_NONE: Final[Positions] = np.empty(0, np.int64)

_WINDOW: Final = 1 << 14
"""Bytes that are examined after a flaw; more and more of them while no other flaw is found."""


def sound_records(
    buffer: bytes,
    read_quotes: Callable[[bytes], Quotes],
    *,
    last: bool,
    longest: int,
    comment: bytes | None = None,
    keeps_flaws: bool = False,
) -> tuple[RecordBlock, int]:
    """Return the whole records at the beginning of a buffer without flawed lines and comments, and their length.

    Parameters
    ----------
    buffer
        Bytes that begin with a record or a comment.
    read_quotes
        Finds the quotes of bytes that begin with a record.
    last
        Whether the stream ends with the buffer, so that all of it is taken.
    longest
        Largest length of a record in bytes; a quote that makes it longer counts as never closed,
        unless its first line alone is longer.
    comment
        Beginning of comments, or None.
    keeps_flaws
        Whether flawed lines stay where they are.

    Returns
    -------
    (Block, int)
        The records, and the number of bytes of the buffer that they and what was taken out have.
    """
    kept: list[bytes] = []
    gaps: list[Gap] = []
    at = length = 0
    window = len(buffer)
    comment_at = _next_comment(buffer, comment, 0, 0)
    in_order = True
    while at < len(buffer):
        part = buffer[at : min(at + window, comment_at)]
        at_end = at + len(part) == len(buffer)
        at_comment = at + len(part) == comment_at and not at_end
        quotes = read_quotes(part)
        ends = quotes.outside(positions(part, _NEWLINE)) + 1 if part else _NONE
        ends_here = last and at_end
        flaw = None if keeps_flaws else _first_flaw(len(part), quotes, ends, longest, last=ends_here)
        whole = int(ends[-1]) if len(ends) else 0
        sound = len(part) if ends_here else whole
        stop = sound if flaw is None else flaw[0]
        kept.append(part[:stop])
        in_order = in_order and quotes.in_order
        at, length = at + stop, length + stop
        error = None
        if flaw is not None:
            error, window = flaw[1], _WINDOW
        elif at_end:
            break
        elif not at_comment:
            window *= 4
            continue
        elif at < comment_at:  # it is text of a quoted field
            comment_at = _next_comment(buffer, comment, at, comment_at + 1)
            continue
        end = buffer.find(b"\n", at) + 1 or (len(buffer) if last else 0)
        if not end:
            break
        if error == UNCLOSED_QUOTE and end - at > longest:
            error = TOO_LONG
        gaps.append(Gap(length, buffer[at:end], error))
        at = end
        comment_at = _next_comment(buffer, comment, at, at)
    return RecordBlock(b"".join(kept), in_order, tuple(gaps)), at


def _next_comment(buffer: bytes, comment: bytes | None, at: int, first: int) -> int:
    """Return where the next line that begins as a comment begins, not before `first`; the buffer's end without any.

    Parameters
    ----------
    buffer
        The bytes.
    comment
        Beginning of comments, or None.
    at
        Beginning of a line.
    first
        Position in the buffer.
    """
    if comment is None:
        return len(buffer)
    if first == at and buffer.startswith(comment, at):
        return at
    found = buffer.find(b"\n" + comment, max(at, first - 1))
    return len(buffer) if found < 0 else found + 1


def _first_flaw(
    size: int, quotes: Quotes, ends: Positions, longest: int, *, last: bool
) -> tuple[int, str] | None:
    """Return where the first flawed record of `size` bytes begins, and its flaw; None if all are sound."""
    bounds = np.concatenate(([0], ends))
    flaws = []
    if quotes.flaw is not None:
        flaws.append((int(bounds[np.searchsorted(bounds, quotes.flaw, side="right") - 1]), TEXT_AFTER_QUOTE))
    if size > longest and len(long := np.flatnonzero(np.diff(bounds) > longest)):
        flaws.append((int(bounds[long[0]]), UNCLOSED_QUOTE))
    is_open = len(quotes.enclosing) % 2 == 1
    if is_open and (last or size - bounds[-1] > longest):
        flaws.append((int(bounds[-1]), UNCLOSED_QUOTE))
    return min(flaws) if flaws else None
