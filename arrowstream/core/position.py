"""Where in a source rows came from, also of rows between which others are missing."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Position:
    """Rows ``[start, stop)`` of `origin`, counted from 0: where a batch came from.

    Parameters
    ----------
    exact
        Whether a batch of as many rows is just these. Not so once rows were added or left out on the way: then
        these are the ones among which they were, however many there are.
    """

    origin: str
    start: int
    stop: int
    exact: bool = field(default=True, compare=False, kw_only=True)

    @property
    def rows(self) -> int | None:
        """Number of rows here; None where single rows are not known."""
        return self.stop - self.start if self.exact else None

    def part(self, offset: int, length: int, rows: int) -> Position:
        """Where `length` rows from `offset` came from, of a batch of `rows` that came from here."""
        if rows != self.rows:
            return self.somewhere()
        return Position(self.origin, self.start + offset, self.start + offset + length)

    def pieces(self, rows: int) -> list[tuple[int, Position]]:
        """A batch of `rows` that came from here, as runs of neighbours: how many, and where each run came from."""
        return [(rows, self if rows == self.rows else self.somewhere())]

    def somewhere(self) -> Position:
        """The same place, of which single rows are not known any more."""
        return Position(self.origin, self.start, self.stop, exact=False)

    def __str__(self) -> str:
        return f"{self.origin} rows {self.start}-{self.stop}"


@dataclass(frozen=True, slots=True)
class JoinedPosition(Position):
    """Several places, one after the other. Begin with `joined`.

    Parameters
    ----------
    ends
        Before which row of the batch each place ends.
    places
        Where the rows up to there came from.
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
        if first.origin == last.origin:
            return f"{self.origin} rows {self.start}-{self.stop}"
        return f"{first} to {last}"


def joined(parts: Iterable[tuple[int, Position]]) -> Position:
    """The place of rows that were joined: the number and the place of each part.

    Parameters
    ----------
    parts
        At least one, in order.

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
                runs[-1] = (before_rows + rows, Position(place.origin, before.start, place.stop))
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
        first.origin, first.start, last.stop, tuple(ends), tuple(place for _, place in runs)
    )


def _follows(place: Position, before: Position) -> bool:
    known = place.exact and before.exact
    return known and (place.origin, place.start) == (before.origin, before.stop)
