"""Where rows came from, against a list of numbers."""

from hypothesis import given
from hypothesis import strategies as st

from arrowstream.core.position import JoinedPosition, Position, joined


@st.composite
def places(draw: st.DrawFn) -> tuple[Position, list[str]]:
    """A place, and what is known of each of its rows: the row it is, or else the part that it is from."""
    runs: list[tuple[int, Position]] = []
    known: list[str] = []
    at = 0
    part = st.tuples(
        st.integers(0, 2), st.integers(1, 4), st.none() | st.integers(1, 4), st.sampled_from("ooop")
    )
    for gap, length, known_rows, origin in draw(st.lists(part, min_size=1)):
        at += gap
        place = Position(origin, at, at + length)
        rows = length if known_rows is None else known_rows
        known += (
            [f"{origin}{row}" for row in range(at, at + length)] if rows == length else [str(place)] * rows
        )
        runs.append((rows, place))
        at += length
    # Joined in two goes, as when two steps fail one after the other.
    middle = draw(st.integers(0, len(runs)))
    first, second = runs[:middle], runs[middle:]
    again = [(sum(rows for rows, _ in part), joined(part)) for part in (first, second) if part]
    return joined(again), known


def told(place: Position, rows: int) -> list[str]:
    found: list[str] = []
    for count, piece in place.pieces(rows):
        assert piece.rows in (count, None)
        own = [f"{piece.origin}{row}" for row in range(piece.start, piece.stop)]
        found += own if piece.exact else [str(piece)] * count
    return found


@given(data=st.data(), known=places())
def test_every_part_of_what_was_joined_knows_its_rows(
    data: st.DataObject, known: tuple[Position, list[str]]
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
    for whole in (
        place.part(0, 1, 2),
        place.pieces(2)[0][1],
        place.somewhere(),
        Position("o", 0, 6).somewhere(),
    ):
        assert (str(whole), whole.exact, whole.rows) == ("o rows 0-6", False, None)
        # Also for as many rows as there were once.
        assert whole.part(2, 1, 3) == whole.part(2, 1, 6) == whole


def test_places_in_several_origins() -> None:
    place = joined([(2, Position("a", 0, 2)), (1, Position("b", 2, 3))])
    assert str(place) == str(place.somewhere()) == "a rows 0-2 to b rows 2-3"
    assert str(place.part(2, 1, 3)) == "b rows 2-3"


def test_no_rows_have_no_place_of_their_own() -> None:
    place = joined([(2, Position("o", 0, 2)), (1, Position("o", 5, 6))])
    assert not place.part(1, 0, 3).exact
