"""Failed rows as rows: each with its error, stage and source position, in columns that were free."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from strategies import frames

from arrowstream.core.batch import Batch
from arrowstream.core.position import Position, joined
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.policies.dead_letter import FailedRows, dead_letter_frame, dead_letter_schema


@given(data=st.data())
def test_any_rows_of_any_types_are_taken_over_as_they_are(data: st.DataObject) -> None:
    frame = data.draw(frames())
    half, whole = frame.height // 2, Position("o", 7, 7 + frame.height)
    gap = [(half, Position("o", 0, half)), (frame.height - half, Position("o", 90, 90 + frame.height - half))]
    others = [(half, Position("p", 0, half)), (frame.height - half, whole)]
    vague = [(half, Position("o", 0, 80)), (frame.height - half, Position("o", 90, 90 + frame.height - half))]
    less = Position("o", 0, 999)
    place = data.draw(st.sampled_from([None, whole, less, *map(joined, (gap, others, vague))]))
    batch = Batch(frame, place)
    if data.draw(st.booleans()):
        batch = Batch(batch.arrow(), place)
    bounds = sorted(data.draw(st.sets(st.integers(0, frame.height), max_size=6)))
    failed = [
        FailedRows(start, stop - start, f"error {start}")
        for start, stop in zip(bounds[::2], bounds[1::2], strict=False)
    ]
    found = dead_letter_frame(batch, failed, "map")
    assert found.schema == dead_letter_schema(frame.schema)
    arrow_schema(found.schema)  # every sink can take it
    places = [row for part in failed for row in range(part.offset, part.offset + part.length)]
    expected = [frame.slice(row, 1) for row in places]
    assert_frame_equal(found.select(frame.columns), pl.concat(expected) if expected else frame.clear())
    error, stage, position = found.columns[-3:]
    assert found[error].to_list() == [f"error {part.offset}" for part in failed for _ in range(part.length)]
    assert set(found[stage]) <= {"map"}
    known = [batch.slice(row, 1).position for row in places]
    assert found[position].to_list() == [None if place is None else str(place) for place in known]


def test_rows_that_all_failed_are_not_copied() -> None:
    frame = pl.DataFrame({"x": [1, 2, 3]})
    found = dead_letter_frame(Batch(frame), [FailedRows(0, 2, "a"), FailedRows(2, 1, "b")], "s")
    assert found["x"].to_arrow().buffers()[1].address == frame["x"].to_arrow().buffers()[1].address
    assert found["error"].to_list() == ["a", "a", "b"]


def test_a_part_without_rows_gives_none() -> None:
    assert dead_letter_frame(Batch(pl.DataFrame({"x": [1]})), [FailedRows(0, 0, "a")], "s").height == 0


def test_the_users_columns_keep_their_names() -> None:
    frame = pl.DataFrame(
        {"error": [1], "_error": [2], "position": [3], "row": [4], "start": [5], "stop": [6]}
    )
    found = dead_letter_frame(Batch(frame, Position("{}", 0, 1)), [FailedRows(0, 1, "wrong")], "s")
    assert found.to_dicts() == [
        {
            **frame.to_dicts()[0],
            "__error": "wrong",
            "stage": "s",
            "_position": "{} rows 0-1",
        }
    ]
