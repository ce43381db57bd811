"""Blocks of CSV without the lines whose quotes cannot be understood.

A record is flawed if text follows the closing quote of a field, or if a field's quote is never closed. Nobody can
say which of its lines were meant as one record, so only its first line is taken out, and reading goes on with the
next line. This rule does not depend on where the stream is cut.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from arrowstream.io.files.text.quotes import Quotes, read_quotes
from arrowstream.io.files.text.records import Block, Gap, Positions, positions

TEXT_AFTER_QUOTE: Final = "text after a closing quote"
UNCLOSED_QUOTE: Final = "a quote that is opened and never closed"

_NEWLINE: Final = ord("\n")

_WINDOW: Final = 1 << 14
"""Bytes that are examined after a flaw; more and more of them while no other flaw is found."""


def sound_records(buffer: bytes, delimiter: int, *, last: bool, longest: int) -> tuple[Block, int]:
    """Return the whole records at the beginning of a buffer without flawed lines, and the number of bytes they take.

    Parameters
    ----------
    buffer
        Bytes that begin with a record.
    delimiter
        Byte between two fields.
    last
        Whether the stream ends with the buffer, so that all of it is taken.
    longest
        Largest length of a record in bytes; a quote that makes it longer counts as never closed.
    """
    kept: list[bytes] = []
    gaps: list[Gap] = []
    at = length = 0
    window = len(buffer)
    in_order = True
    while at < len(buffer):
        part = buffer[at : at + window]
        at_end = at + len(part) == len(buffer)
        quotes = read_quotes(part, delimiter)
        ends = quotes.outside(positions(part, _NEWLINE)) + 1
        flaw = _first_flaw(len(part), quotes, ends, longest, last=last and at_end)
        whole = int(ends[-1]) if len(ends) else 0
        sound = len(part) if last and at_end else whole
        stop = sound if flaw is None else flaw[0]
        kept.append(part[:stop])
        in_order = in_order and quotes.in_order
        at, length = at + stop, length + stop
        if flaw is None:
            if at_end:
                break
            window *= 4
            continue
        end = buffer.find(b"\n", at) + 1 or (len(buffer) if last else 0)
        if not end:
            break
        gaps.append(Gap(length, buffer[at:end], flaw[1]))
        at, window = end, _WINDOW
    return Block(b"".join(kept), in_order, tuple(gaps)), at


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
