"""Quotes in a block of CSV: those that enclose a field, those that are text, and flaws.

The rules are those of Python's csv module: a field is quoted if its first character is a quote, two quotes inside a
quoted field stand for one, and quotes inside any other field are text. Three cases that this module accepts are
errors here, because readers disagree about them, lose quotes or merge rows: text after a closing quote, a quote that
is never closed, and a carriage return that does not end a line.

A run of adjacent quotes changes whether the text after it is quoted only if its length is odd. An odd run at the
beginning of a field always changes it; any other odd run ends a quoted field or is text. So the state after each run
is the parity of the number of runs of the first kind since the last run of the second kind, and no loop over
characters is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from arrowstream.io.files.text.formats import Flaw, FlawedRecord
from arrowstream.io.files.text.records import Positions, byte_view, positions

QUOTE, _NEWLINE, _RETURN = ord('"'), ord("\n"), ord("\r")
_NONE: Final[Positions] = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Quotes:
    """Quotes of a block.

    Parameters
    ----------
    enclosing
        Positions of the quotes around fields, ascending, alternating between opening and closing ones.
        Shape (n,), int64.
    text
        Positions of the quotes inside fields that are not quoted, ascending. Shape (n,), int64.
    flaw
        Position of the first closing quote that is followed by text, or None.
    """

    enclosing: Positions
    text: Positions = field(default_factory=lambda: _NONE)
    flaw: int | None = None

    @property
    def in_order(self) -> bool:
        """True if all quotes enclose fields or are doubled inside one; the last field may be unfinished."""
        return self.flaw is None and not len(self.text)

    def outside(self, at: Positions) -> Positions:
        """Return those of the ascending positions `at`, shape (n,), that are outside quoted fields."""
        if not len(self.enclosing):
            return at
        found: Positions = at[np.searchsorted(self.enclosing, at) % 2 == 0]
        return found


def read_quotes(block: bytes, delimiter: int, quote: int | None = QUOTE) -> Quotes:
    """Find the quotes of a block that begins with a record; none if `quote` is None."""
    if quote is None or quote not in block:
        return Quotes(_NONE)
    view = byte_view(block)
    at = positions(block, quote)
    if _all_enclose(view, at, delimiter, quote):
        return Quotes(at)
    starts = np.flatnonzero(np.diff(at, prepend=-2) != 1)
    lengths = np.diff(starts, append=len(at))
    first = at[starts]
    last = first + lengths - 1
    odd = lengths % 2 == 1
    begins_field = (first == 0) | _among(view[first - 1], delimiter, _NEWLINE)
    ends_field = (last == len(view) - 1) | _among(
        view[np.minimum(last + 1, len(view) - 1)], delimiter, _NEWLINE, _RETURN
    )
    turns = np.cumsum(odd & begins_field)
    turns_at_end = np.maximum.accumulate(np.where(odd & ~begins_field, turns, 0))
    after = (turns - turns_at_end) % 2 == 1
    before = np.concatenate(([False], after[:-1]))
    closes = (before & ~after) | (~before & begins_field & ~odd)
    flawed = last[closes & ~ends_field]
    return Quotes(
        np.where(after, first, last)[after != before],
        at[np.repeat(~before & ~begins_field, lengths)],
        int(flawed[0]) if len(flawed) else None,
    )


def checked(block: bytes, delimiter: int, quote: int | None = QUOTE, *, in_order: bool = False) -> bytes:
    """Return the same rows as a block in which every quote encloses a field or is doubled inside one.

    With `in_order` this is known of the quotes, and only carriage returns are checked.

    Raises
    ------
    FlawedRecord
        The ends of a record's fields are ambiguous.
    """
    if in_order and b"\r" not in block:
        return block
    quotes = read_quotes(block, delimiter, quote)
    flaws: list[tuple[int, Flaw]] = []
    if quotes.flaw is not None:
        flaws.append((quotes.flaw, "text after a quote"))
    if len(quotes.enclosing) % 2:
        flaws.append((int(quotes.enclosing[-1]), "unclosed quote"))
    if len(stray := stray_returns(block, quotes)):
        flaws.append((int(stray[0]), "carriage return"))
    if flaws:
        at, flaw = min(flaws)
        before = quotes.outside(positions(block[:at], _NEWLINE))
        raise FlawedRecord(len(before), flaw, at)
    if quote is None or not len(quotes.text):
        return block
    return _enclosed(block, quotes, delimiter, quote)


def stray_returns(block: bytes, quotes: Quotes) -> Positions:
    """Return the carriage returns outside quoted fields that end neither a line nor the block; shape (n,), int64."""
    if b"\r" not in block:
        return _NONE
    view = byte_view(block)
    at = positions(block, _RETURN)
    stray = quotes.outside(at[view[np.minimum(at + 1, len(view) - 1)] != _NEWLINE])
    return stray[stray < len(view) - 1]


def _all_enclose(view: npt.NDArray[np.uint8], at: Positions, delimiter: int, quote: int) -> bool:
    """Return True if quotes open and close fields in turn; a doubled quote does both."""
    before, after = at[0::2] - 1, at[1::2] + 1
    before = before[int(before[0] < 0) :]  # no byte is before the first one, or after the last
    after = after[: np.searchsorted(after, len(view))]
    opens = _among(view[before], delimiter, _NEWLINE, quote)
    return bool(opens.all() and _among(view[after], delimiter, _NEWLINE, quote, _RETURN).all())


def _among(values: npt.NDArray[np.uint8], *bytes_: int) -> npt.NDArray[np.bool_]:
    table = np.zeros(256, np.bool_)
    table[list(bytes_)] = True
    found: npt.NDArray[np.bool_] = table[values]
    return found


def _enclosed(block: bytes, quotes: Quotes, delimiter: int, quote: int) -> bytes:
    """Return the block with quotes around each field that contains text quotes, and these quotes doubled."""
    view = byte_view(block)
    bounds = quotes.outside(np.flatnonzero((view == delimiter) | (view == _NEWLINE)))
    number = np.unique(np.searchsorted(bounds, quotes.text))
    starts = np.concatenate(([-1], bounds))[number] + 1
    ends = np.append(bounds, len(view))[number]
    ends -= view[ends - 1] == _RETURN
    return np.insert(view, np.concatenate((starts, ends, quotes.text)), quote).tobytes()
