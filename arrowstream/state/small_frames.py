"""The rule for joining small frames kept in a list: a frame of one row takes kilobytes."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice, takewhile

SMALL = 1024
"""Rows below which a frame is small."""

MANY = 64
"""Consecutive small frames that are joined into one. So each row is copied about 8 times at most."""


def small_at_end(from_end: Iterable[int]) -> int:
    """Return the number of frames at the end of a list that should be joined, 0 for none.

    Parameters
    ----------
    from_end
        The frames' rows, the last frame first.
    """
    small = sum(1 for _ in takewhile(lambda height: height < SMALL, islice(from_end, MANY)))
    return small if small == MANY else 0
