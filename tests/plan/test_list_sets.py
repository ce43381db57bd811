"""Set operations of lists with a list that is written: a row gets what Polars gives, and no rows give none."""

from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from arrowstream import Builder, Pipeline, Source
from arrowstream.errors import SchemaError

OPERATIONS = ("set_union", "set_intersection", "set_difference", "set_symmetric_difference")
SCHEMA = {"x": pl.Int64, "l": pl.List(pl.Int64), "ll": pl.List(pl.List(pl.Int64)), "s": pl.List(pl.String)}
ROWS = pl.DataFrame(
    {
        "x": [1, 2, 3, 4],
        "l": [[1, 9], [2, None], None, []],
        "ll": [[[1, 9], []], [None], [], None],
        "s": [["b"], [], ["a", None], None],
    },
    schema=SCHEMA,
)

FORMS: dict[str, Callable[[str], pl.Expr]] = {
    "a list": lambda name: getattr(pl.col("l").list, name)([9, None]),
    "a constant": lambda name: getattr(pl.col("l").list, name)(pl.lit([9])),
    "of another type": lambda name: getattr(pl.col("l").list, name)([1.5]),
    "cast": lambda name: getattr(pl.col("l").list, name)(pl.lit([9], dtype=pl.List(pl.Int8))),
    "the other way round": lambda name: getattr(pl.lit([9]).list, name)("l"),
    "text": lambda name: getattr(pl.col("s").list, name)(["b"]),
    "two columns": lambda name: getattr(pl.col("l").list, name)(pl.col("ll").list.first()),
    "within lists": lambda name: pl.col("ll").list.eval(getattr(pl.element().list, name)([9])),
    "in a call": lambda name: getattr(pl.col("l").list, name)([9]).list.len() + 1,
    "twice": lambda name: getattr(getattr(pl.col("l").list, name)([9]).list, name)([7]),
}


def source(rows: pl.DataFrame, batch_rows: int = 1) -> Builder:
    return Pipeline.builder().source(Source.from_frame(rows, batch_rows=batch_rows))


@pytest.mark.untraced
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("form", FORMS)
def test_rows_get_what_polars_gives(form: str, name: str) -> None:
    made = FORMS[form](name)
    expected = ROWS.with_columns(r=made)
    for batch_rows in (1, 3, 100):
        rows = source(ROWS, batch_rows)
        assert_frame_equal(rows.with_columns(r=made).collect_sync(), expected)
        assert_frame_equal(rows.select(r=made).collect_sync(), expected.select("r"))
        assert rows.filter(pl.col("x") > 9).with_columns(r=made).collect_sync().equals(expected.clear())
        assert rows.filter(pl.col("x") > 9).select(r=made).collect_sync().equals(expected.select("r").clear())


@pytest.mark.parametrize("name", OPERATIONS)
def test_filters(name: str) -> None:
    kept = getattr(pl.col("l").list, name)([9]).list.len() > 0
    assert_frame_equal(source(ROWS).filter(kept).collect_sync(), ROWS.filter(kept))


def test_of_results_they_are_computed_after_the_step() -> None:
    last = pl.col("l").last()
    with pytest.raises(SchemaError) as raised:
        source(ROWS).reduce(by="x", r=last.list.set_union([9])).build()
    assert raised.value.hint == "compute with the results in with_columns(...) after this step"
    found = source(ROWS).reduce(by="x", r=last).with_columns(pl.col("r").list.set_union([9]))
    assert_frame_equal(found.collect_sync(), ROWS.select("x", r=pl.col("l").list.set_union([9])))


@given(
    st.lists(st.none() | st.lists(st.none() | st.integers(0, 3), max_size=4), max_size=8),
    st.lists(st.none() | st.integers(0, 3), max_size=3),
    st.sampled_from(OPERATIONS),
    st.integers(1, 4),
)
def test_any_lists(
    lists: list[list[int | None] | None], other: list[int | None], name: str, cut: int
) -> None:
    rows = pl.DataFrame({"l": lists}, schema={"l": pl.List(pl.Int64)})
    made = getattr(pl.col("l").list, name)(pl.lit(other, dtype=pl.List(pl.Int64)))
    expected = rows.select(r=made) if rows.height else pl.DataFrame(schema={"r": pl.List(pl.Int64)})
    assert_frame_equal(source(rows, cut).select(r=made).collect_sync(), expected)
