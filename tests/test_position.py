"""Where rows came from, against a list of numbers."""

from hypothesis import given
from hypothesis import strategies as st

from arrowstream.position import JoinedPosition, Position, joined


@st.composite
def places(draw: st.DrawFn) -> tuple[Position, list[int | str]]:
    """A place, and what is known of each of its rows: its number, or else the text of the part that it is in."""
    runs: list[tuple[int, Position]] = []
    known: list[int | str] = []
    at = 0
    for gap, length, known_rows in draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4), st.none() | st.integers(1, 4)), min_size=1)
    ):
        at += gap
        place = Position("o", at, at + length)
        rows = length if known_rows is None else known_rows
        known += range(at, at + length) if rows == length else [str(place)] * rows
        runs.append((rows, place))
        at += length
    # Joined in two goes, as when two steps fail one after the other.
    middle = draw(st.integers(0, len(runs)))
    first, second = runs[:middle], runs[middle:]
    again = [(sum(rows for rows, _ in part), joined(part)) for part in (first, second) if part]
    return joined(again), known


def told(place: Position, rows: int) -> list[int | str]:
    found: list[int | str] = []
    for count, piece in place.pieces(rows):
        assert piece.rows in (count, None)
        found += range(piece.start, piece.stop) if piece.exact else [str(piece)] * count
    return found


@given(data=st.data(), known=places())
def test_every_part_of_what_was_joined_knows_its_rows(
    data: st.DataObject, known: tuple[Position, list[int | str]]
) -> None:
    place, rows = known
    assert told(place, len(rows)) == rows
    offset = data.draw(st.integers(0, len(rows) - 1))
    length = data.draw(st.integers(1, len(rows) - offset))
    part = place.part(offset, length, len(rows))
    assert told(part, length) == rows[offset : offset + length]


def test_neighbours_become_one_place() -> None:
    assert joined([(2, Position("o", 0, 2)), (3, Position("o", 2, 5))]) == Position("o", 0, 5)


def test_where_rows_were_left_out_later_only_the_whole_is_known() -> None:
    place = joined([(2, Position("o", 0, 2)), (1, Position("o", 5, 6))])
    assert isinstance(place, JoinedPosition)
    whole = Position("o", 0, 6, exact=False)
    assert place.part(0, 1, 2) == whole
    assert place.pieces(2) == [(2, whole)]
    assert str(place) == str(whole) == "o rows 0-6"
    # Of as many rows as the whole has, by chance.
    assert whole.part(2, 1, 6) == whole


def test_no_rows_have_no_place_of_their_own() -> None:
    place = joined([(2, Position("o", 0, 2)), (1, Position("o", 5, 6))])
    assert place.part(1, 0, 3) == Position("o", 0, 6, exact=False)
