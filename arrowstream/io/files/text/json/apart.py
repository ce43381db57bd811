"""Lines of NDJSON that hold several objects, cut between these."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from arrowstream.io.files.text.json.tokens import unescaped
from arrowstream.io.files.text.records import Positions, byte_view, positions

_NEWLINE, _QUOTE, _OPEN, _CLOSE = (ord(sign) for sign in '\n"{}')
_BLANK: Final = np.isin(np.arange(256), list(b" \t\r"))
_STEP: Final = np.zeros(256, np.int8)
_STEP[list(b"[{")] = 1
_STEP[list(b"]}")] = -1


class Apart(NamedTuple):
    """Lines with one object each, cut from lines with several.

    Parameters
    ----------
    data
        The lines.
    cuts
        Numbers of those that do not begin a line of the text they are cut from, ascending. Shape (n,), int64.
    """

    data: bytes
    cuts: Positions

    def line(self, number: int) -> int:
        """Return the number of the line of the text that a line is cut from, both counted from 0."""
        return number - int(np.searchsorted(self.cuts, number, side="right"))


def objects_apart(block: bytes) -> Apart | None:
    r"""Return the lines of a block with each object on a line of its own, or None if they are so already.

    A line is cut where an object ends and another one begins, with nothing but blank space between them. Every line
    stands alone: what is broken in one has no effect on the next.

    Examples
    --------
    >>> objects_apart(b'{"a": 1}\n{"a": 2} {"a": "}{"}\n').data
    b'{"a": 1}\n{"a": 2} \n{"a": "}{"}\n'
    """
    view = byte_view(block)
    cuts = _between(view, positions(block, _CLOSE))
    if not len(cuts):
        return None
    newlines = positions(block, _NEWLINE)
    starts = np.append(0, newlines + 1)
    quotes = positions(block, _QUOTE)
    quotes = quotes[unescaped(block, quotes)]

    def on_line(marks: Positions, at: Positions) -> Positions:
        """Return the number of marks before each position and on its line."""
        lines = starts[np.searchsorted(newlines, at)]
        found: Positions = np.searchsorted(marks, at) - np.searchsorted(marks, lines)
        return found

    brackets = np.flatnonzero(_STEP[view])
    brackets = brackets[on_line(quotes, brackets) % 2 == 0]
    steps = _STEP[view[brackets]]
    opened, closed = brackets[steps > 0], brackets[steps < 0]
    is_between = (on_line(quotes, cuts) % 2 == 0) & (on_line(opened, cuts) == on_line(closed, cuts))
    cuts = cuts[is_between]
    if not len(cuts):
        return None
    lines = np.searchsorted(newlines, cuts) + np.arange(1, len(cuts) + 1)
    return Apart(np.insert(view, cuts, _NEWLINE).tobytes(), lines)


def _between(view: npt.NDArray[np.uint8], closed: Positions) -> Positions:
    """Return the opening brackets that follow a closing one on its line, with nothing but blank space between."""
    last = len(view) - 1
    at = np.minimum(closed + 1, last)
    blank = np.flatnonzero(_BLANK[view[at]] & (at < last))
    while len(blank):
        at[blank] += 1
        blank = blank[_BLANK[view[at[blank]]] & (at[blank] < last)]
    found: Positions = at[view[at] == _OPEN]
    return found
