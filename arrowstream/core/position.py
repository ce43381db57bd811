"""Positions: which rows or messages of a source a batch came from, even where some between them are missing."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Position:
    """The source rows that a batch came from: rows ``[start, stop)`` of `origin`, counted from 0.

    Parameters
    ----------
    origin
        Name of the source, such as a file's path.
    start, stop
        The first row, and the row after the last one.
    exact
        True while batch row ``i`` is source row ``start + i``. Once a step has added or dropped rows, the range only
        bounds where they came from.
    unit
        What is counted, such as ``"rows"`` of a file or ``"offsets"`` of a Kafka partition.
    """

    origin: str
    start: int
    stop: int
    exact: bool = field(default=True, compare=False, kw_only=True)
    unit: str = field(default="rows", compare=False, kw_only=True)

    @property
    def rows(self) -> int | None:
        """Number of rows in this range; None if it is only a bound."""
        return self.stop - self.start if self.exact else None

    def part(self, offset: int, length: int, rows: int) -> Position:
        """Return the position of `length` rows from `offset` on, of a batch of `rows` rows that has this position."""
        if rows != self.rows:
            return self.somewhere()
        return Position(self.origin, self.start + offset, self.start + offset + length, unit=self.unit)

    def pieces(self, rows: int) -> list[tuple[int, Position]]:
        """Divide a batch of `rows` rows that has this position into runs of adjacent source rows.

        Returns
        -------
        list of (int, Position)
            Number of rows and position of each run, in order.
        """
        return [(rows, self if rows == self.rows else self.somewhere())]

    def somewhere(self) -> Position:
        """Return the same range as a bound (``exact=False``)."""
        return Position(self.origin, self.start, self.stop, exact=False, unit=self.unit)

    def __str__(self) -> str:
        return f"{self.origin} {self.unit} {self.start}-{self.stop}"


@dataclass(frozen=True, slots=True)
class JoinedPosition(Position):
    """Several positions, one after the other. Make one with `joined`.

    Parameters
    ----------
    ends
        For each position, the batch row after its last row.
    places
        The positions, in order.
    """

    ends: tuple[int, ...]
    places: tuple[Position, ...]

    @property
    def rows(self) -> int | None:
        return self.ends[-1] if self.exact else None

    def part(self, offset: int, length: int, rows: int) -> Position:
        if rows != self.rows or not length:
            return self.somewhere()
        found = []
        number, begin = bisect_right(self.ends, offset), offset
        while begin < offset + length:
            first = self.ends[number - 1] if number else 0
            end = min(self.ends[number], offset + length)
            place = self.places[number].part(begin - first, end - begin, self.ends[number] - first)
            found.append((end - begin, place))
            number, begin = number + 1, end
        return joined(found)

    def pieces(self, rows: int) -> list[tuple[int, Position]]:
        if rows != self.rows:
            return [(rows, self.somewhere())]
        starts = (0, *self.ends)
        return [
            (end - start, place) for start, end, place in zip(starts, self.ends, self.places, strict=False)
        ]

    def somewhere(self) -> Position:
        return replace(self, exact=False)

    def __str__(self) -> str:
        first, last = self.places[0], self.places[-1]
        if all(place.origin == first.origin for place in self.places):
            return f"{self.origin} {self.unit} {self.start}-{self.stop}"
        return f"{first} to {last}"


def joined(parts: Iterable[tuple[int, Position]]) -> Position:
    """Return the position of rows that were joined.

    Parameters
    ----------
    parts
        Number of rows and position of each part, in order; at least one part.

    Examples
    --------
    >>> place = joined([(2, Position("a.csv", 0, 2)), (3, Position("a.csv", 5, 8))])
    >>> str(place), str(place.part(1, 1, 5)), str(place.part(2, 3, 5))
    ('a.csv rows 0-8', 'a.csv rows 1-2', 'a.csv rows 5-8')
    """
    runs: list[tuple[int, Position]] = []
    for part_rows, part in parts:
        for rows, place in part.pieces(part_rows):
            before_rows, before = runs[-1] if runs else (0, None)
            if before is not None and _follows(place, before):
                whole = Position(place.origin, before.start, place.stop, unit=place.unit)
                runs[-1] = (before_rows + rows, whole)
            else:
                runs.append((rows, place))
    if len(runs) == 1:
        return runs[0][1]
    ends, end = [], 0
    for rows, _ in runs:
        end += rows
        ends.append(end)
    first, last = runs[0][1], runs[-1][1]
    return JoinedPosition(
        first.origin, first.start, last.stop, tuple(ends), tuple(place for _, place in runs), unit=first.unit
    )


def _follows(place: Position, before: Position) -> bool:
    known = place.exact and before.exact
    return known and (place.origin, place.start) == (before.origin, before.stop)
