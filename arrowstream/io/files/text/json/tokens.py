"""Counts of values, strings, objects and lists in a block of NDJSON, from its bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from arrowstream.io.files.text.records import Positions, byte_column, byte_view, positions

_QUOTE, _COLON, _BACKSLASH, _OBJECT, _LIST, _N, _SPACE = (ord(sign) for sign in '":\\{[n ')
_BEFORE: Final = np.isin(np.arange(256), [ord(sign) for sign in ":,[}"])
_BLANK: Final = np.isin(np.arange(256), [ord(sign) for sign in " \t\r\n"])


class Tokens(NamedTuple):
    """Numbers of tokens in some rows.

    Parameters
    ----------
    values
        Number of values after a key that are not null.
    strings
        Number of strings that are not keys.
    objects
        Number of objects, without those that are rows.
    lists
        Number of lists.
    """

    values: int
    strings: int
    objects: int
    lists: int


def agrees(block: bytes, rows: int, held: Tokens, is_flat: Callable[[], bool] = lambda: False) -> bool:
    """Return True if a block of `rows` rows certainly has these tokens, and no more.

    `held` must not have more than the block. Takes a tenth of the time of parsing. The result is False, though the
    tokens may agree, if a string contains a colon after a quote or white space, or a bracket after a colon or comma,
    or if the space after colons varies.

    Strings that look like something else only add to a count, so that equal counts prove that nothing is missing.

    Parameters
    ----------
    block
        Lines of well-formed NDJSON.
    rows
        Number of rows in it.
    held
        Tokens in the rows as read.
    is_flat
        Returns True if the rows certainly hold no list and no object, not even as text.
    """
    column = byte_column(block)
    # Bit i of each mask is for the bytes i and i + 1: masks that begin at the same bit are combined faster.
    before, after = column[:-1], column[1:]  # the last byte is no quote
    quotes = _mask(before == _QUOTE)
    blanks = _mask(before <= _SPACE)
    keys = pc.and_(pc.or_(quotes, blanks), _mask(after == _COLON))  # bit i is set if byte i + 1 ends a key
    values = keys.true_count
    if values != held.values:
        values -= _nulls(block, column, keys)
    if values != held.values:
        return False
    strings = quotes.true_count - 2 * keys.true_count
    if b"\\" in block:
        strings -= pc.and_(_mask(before == _BACKSLASH), _mask(after == _QUOTE)).true_count
    if strings != 2 * held.strings:
        return False
    return is_flat() or all(
        _mask(column == bracket).true_count == number or _opened(block, bracket, number)
        for bracket, number in ((_OBJECT, held.objects + rows), (_LIST, held.lists))
    )


def _mask(bits: pl.Series) -> pa.BooleanArray:
    """Return a column of booleans, without nulls, as an array that is combined with others three times as fast."""
    mask: pa.BooleanArray = bits.to_arrow()
    return mask


def _nulls(block: bytes, column: pl.Series, keys: pa.BooleanArray) -> int:
    """Return the number of keys before a null, if they have the space after them that the first key has."""
    spaced = block[block.find(b'":') + 2] == _SPACE
    begins = _mask(column[2 + spaced :] == _N)
    found = pc.and_(keys[: len(begins)], begins)
    nulls: int = (pc.and_(found, _mask(column[2:-1] == _SPACE)) if spaced else found).true_count
    return nulls


def _opened(block: bytes, bracket: int, held: int) -> bool:
    """Return True if a block has `held` such brackets outside strings; False, though it may, if texts look alike."""
    view = byte_view(block)
    at = positions(block, bracket)
    # Before it is a colon, a comma or another list; before the object of a row, the end of the one before.
    return held == int(np.count_nonzero(_BEFORE[view[skip_blanks_back(view, at) - 1]]))


def counted(block: bytes, rows: int) -> Tokens:
    """Count the tokens of a block of `rows` rows."""
    view = byte_view(block)
    quotes = positions(block, _QUOTE)
    if b"\\" in block:
        quotes = quotes[unescaped(block, quotes)]
    after = _colons(view, quotes)
    first = view[skip_blanks(view, after + 1)]
    objects, lists = (
        int(np.count_nonzero(np.searchsorted(quotes, positions(block, bracket)) % 2 == 0))
        for bracket in (_OBJECT, _LIST)
    )
    values = int(np.count_nonzero(first != _N))
    return Tokens(values, len(quotes) // 2 - len(after), objects - rows, lists)


def keyed_values(view: npt.NDArray[np.uint8], quotes: Positions) -> Positions:
    """Return the colon before each value after a key that is not null, ascending; shape (n,), int64.

    Parameters
    ----------
    view
        Bytes of a block.
    quotes
        Opening and closing quotes in turn. Shape (n,), int64.
    """
    colons = _colons(view, quotes)
    found: Positions = colons[view[skip_blanks(view, colons + 1)] != _N]
    return found


def _colons(view: npt.NDArray[np.uint8], quotes: Positions) -> Positions:
    after = skip_blanks(view, quotes[1::2] + 1)
    found: Positions = after[view[after] == _COLON]
    return found


def skip_blanks(view: npt.NDArray[np.uint8], at: Positions) -> Positions:
    """Return, for each position in `at`, the first one from there on whose byte is not white space.

    Every row must have such a byte. Shape (n,), int64.
    """
    at = at.copy()
    blank = np.flatnonzero(_BLANK[view[at]])
    while len(blank):
        at[blank] += 1
        blank = blank[_BLANK[view[at[blank]]]]
    return at


def skip_blanks_back(view: npt.NDArray[np.uint8], at: Positions) -> Positions:
    """Return, for each position in `at`, the last one up to there after a byte that is not white space.

    Every row must have such a byte. Shape (n,), int64.
    """
    at = at.copy()
    blank = np.flatnonzero(_BLANK[view[at - 1]])
    while len(blank):
        at[blank] -= 1
        blank = blank[_BLANK[view[at[blank] - 1]]]
    return at


def unescaped(block: bytes, at: Positions) -> npt.NDArray[np.bool_]:
    """Return which of the positions `at` follow no backslash, or an even run of them; shape (n,), bool."""
    view = byte_view(block)
    found = np.ones(len(at), np.bool_)
    follow = np.flatnonzero((view[at - 1] == _BACKSLASH) & (at > 0))
    slashes = positions(block, _BACKSLASH)
    index = np.arange(len(slashes))
    begins = np.diff(slashes, prepend=-2) != 1
    run = index - np.maximum.accumulate(np.where(begins, index, 0)) + 1
    found[follow] = run[np.searchsorted(slashes, at[follow] - 1)] % 2 == 0
    return found
