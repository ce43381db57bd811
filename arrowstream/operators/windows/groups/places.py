"""Places of groups whose keys are integers close together: array indices that are computed from panes and keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import polars as pl

from arrowstream.operators.windows.panes import PANE, Rows
from arrowstream.state.arrays import Array
from arrowstream.state.close_integers import as_integers, bounds, distances, is_integer, wrapped

_SPARSE = 8
"""The most places per row: more would take more memory than the rows."""

_MOST = 1 << 40
"""The most numbers that keys may have, so that sums of them do not overflow."""


@dataclass(frozen=True, slots=True)
class Digit:
    """A key as a digit of a number: its distance from the least one."""

    name: str
    dtype: pl.DataType
    least: int
    span: int

    def of(self, keys: pl.Series) -> Array:
        """Return the digits of keys (rows,), int64."""
        return distances(as_integers(keys).to_numpy(), self.least)

    def keys(self, numbers: Array) -> pl.Series:
        """Return the keys of digits (groups,), int64."""
        whole = numbers + np.int64(wrapped(self.least))
        keys = pl.Series(self.name, whole.view(np.uint64) if self.dtype == pl.UInt64 else whole)
        # A cast to its own type takes as long as one of 10,000 keys.
        if keys.dtype == self.dtype:
            return keys
        return keys.cast(as_integers(pl.Series(dtype=self.dtype)).dtype).cast(self.dtype)


@dataclass(frozen=True, slots=True)
class GroupPlaces:
    """The places of panes and keys: those of a pane follow each other.

    The distances of a row's keys from the smallest keys are the digits of a number, whose distance from the smallest
    number of its pane is counted from the pane's first place. Numbers that count up in time, as of orders, so have
    few places, though those of all panes are far apart.
    """

    pane: Digit
    digits: tuple[Digit, ...]
    starts: Array
    """The first place of each pane, and their number (panes + 1,), int64."""
    shifts: Array
    """The distance from the number of a row to its place, by pane (panes,), int64."""

    @classmethod
    def among(cls, pieces: Sequence[Rows], keys: Sequence[str]) -> GroupPlaces | None:
        """Return the places for rows that are given in pieces of at least one row.

        None if a key is null or not an integer, or if there would be more than 8 places for a row.
        """
        rows = sum(piece.frame.height for piece in pieces)
        low, high = min(piece.low for piece in pieces), max(piece.high for piece in pieces)
        if high - low >= _SPARSE * rows:
            return None
        pane = Digit(PANE, pl.Int64(), low, high - low + 1)
        digits: list[Digit] = []
        for name in keys:
            columns = [piece.frame[name] for piece in pieces]
            digit = _digit(columns, _MOST // prod(each.span for each in digits))
            if digit is None:
                return None
            digits.append(digit)
        numbers = prod(digit.span for digit in digits)
        if pane.span * numbers <= rows:
            starts = np.arange(pane.span + 1) * numbers
            return cls(pane, tuple(digits), starts, starts[:-1])
        return cls._close(pieces, pane, tuple(digits), _SPARSE * rows)

    @classmethod
    def _close(
        cls, pieces: Sequence[Rows], pane: Digit, digits: tuple[Digit, ...], most: int
    ) -> GroupPlaces | None:
        """Return places of which each pane has those from its smallest to its largest number; None if too many."""
        least = np.full(pane.span, _MOST)
        largest = np.full(pane.span, -1)
        for piece in pieces:
            numbers = _numbers(piece.frame, digits)
            if piece.low == piece.high:
                place = piece.low - pane.least
                least[place] = min(least[place], numbers.min())
                largest[place] = max(largest[place], numbers.max())
            else:
                panes = pane.of(piece.frame[PANE])
                np.minimum.at(least, panes, numbers)
                np.maximum.at(largest, panes, numbers)
            spans = np.where(largest < 0, 0, largest - least + 1)
            # Keys that are far apart show in the first piece.
            if int(spans.sum()) > most:
                return None
        starts = np.append(0, np.cumsum(spans))
        return cls(pane, digits, starts, starts[:-1] - least)

    @property
    def count(self) -> int:
        """The number of places."""
        return int(self.starts[-1])

    def of(self, rows: Rows) -> Array:
        """Return the place of each row's group (rows,), int64."""
        places = _numbers(rows.frame, self.digits)
        if rows.low == rows.high:
            places += self.shifts[rows.low - self.pane.least]
        else:
            places += self.shifts[self.pane.of(rows.frame[PANE])]
        return places

    def keys(self, places: Array) -> list[pl.Series]:
        """Return the pane and the keys of places in order (groups,), int64."""
        counts = np.diff(np.searchsorted(places, self.starts))
        panes = np.repeat(np.arange(len(counts)), counts)
        numbers = places - self.shifts[panes]
        keys = []
        for digit in reversed(self.digits):
            numbers, own = np.divmod(numbers, digit.span)
            keys.append(digit.keys(own))
        return [self.pane.keys(panes), *reversed(keys)]


def _digit(parts: Sequence[pl.Series], most: int) -> Digit | None:
    """Return a key column as a digit of at most `most` values; None if it has more values, or a null."""
    name, dtype = parts[0].name, parts[0].dtype
    # Polars cannot make an Enum from codes.
    if dtype == pl.Enum or not is_integer(dtype):
        return None
    lows: list[int] = []
    highs: list[int] = []
    for part in parts:
        plain = as_integers(part)
        ends = bounds(plain)
        if ends is None or plain.null_count():
            return None
        lows.append(ends[0])
        highs.append(ends[1])
        # Scattered keys mostly show in the first part already.
        if max(highs) - min(lows) >= most:
            return None
    return Digit(name, dtype, min(lows), max(highs) - min(lows) + 1)


def _numbers(rows: pl.DataFrame, digits: Sequence[Digit]) -> Array:
    """Return the number that the digits of each row are (rows,), int64."""
    if not digits:
        return np.zeros(rows.height, np.int64)
    first, *others = digits
    numbers = first.of(rows[first.name])
    for digit in others:
        # In place: an array that is made anew may cost more than what is computed.
        numbers *= digit.span
        numbers += digit.of(rows[digit.name])
    return numbers
