"""Routing at a split, against one filter per branch over all rows."""

import hypothesis.strategies as st
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from polars.testing import assert_frame_equal
from strategies import cuts, frames

from arrowstream import Pipeline, Source
from arrowstream.core.batch import Batch
from arrowstream.core.position import Position
from arrowstream.errors import PlanError, SchemaError, StageError
from arrowstream.plan.checks.row_local import check
from arrowstream.plan.composites.router import OTHERWISE, Router

NAMES = pl.Enum(["a", "b", "c", "z"])
BY_NAME = pl.col("name")


def route(router: Router, batch: Batch) -> list[tuple[str, Batch]]:
    return router.route(batch, batch.with_rows(router.apply(batch.polars())))


def routed(router: Router, batches: list[Batch]) -> dict[str, pl.DataFrame]:
    """All rows of each branch, in the order in which they came."""
    found: dict[str, list[pl.DataFrame]] = {}
    for batch in batches:
        for name, part in route(router, batch):
            assert part.num_rows
            found.setdefault(name, []).append(part.polars())
    return {name: pl.concat(parts) for name, parts in found.items()}


@given(data=st.data())
@pytest.mark.parametrize("dtype", [pl.String(), pl.Categorical(), NAMES], ids=str)
@pytest.mark.parametrize("branches", [("a",), ("c", "a", "b")])
def test_however_rows_are_cut_each_branch_gets_its_own_in_order(
    data: st.DataObject, dtype: pl.DataType, branches: tuple[str, ...]
) -> None:
    frame = data.draw(frames({"name": NAMES, "s": pl.List(pl.String())}, max_rows=12))
    frame = frame.with_columns(pl.col("name").cast(pl.String).cast(dtype))
    batches = [Batch(part) for part in data.draw(cuts(frame))]
    if data.draw(st.booleans()):  # as Arrow
        batches = [Batch(batch.arrow()) for batch in batches]
    text = pl.col("name").cast(pl.String)
    expected = {name: frame.filter(text == name) for name in branches}
    expected[OTHERWISE] = frame.filter(~text.is_in(branches).fill_null(False))
    found = routed(Router(BY_NAME, branches, otherwise=True), batches)
    assert set(found) == {name for name, rows in expected.items() if rows.height}
    for name, rows in found.items():
        assert_frame_equal(rows, expected[name])


def test_branches_come_in_their_order_and_otherwise_last() -> None:
    batch = Batch(pl.DataFrame({"name": ["z", "b", None, "a"]}))
    parts = route(Router(BY_NAME, ("a", "none", "b"), otherwise=True), batch)
    assert [(name, part.polars()["name"].to_list()) for name, part in parts] == [
        ("a", ["a"]),
        ("b", ["b"]),
        (OTHERWISE, ["z", None]),
    ]


@pytest.mark.parametrize(
    ("values", "branches"),
    [
        ([True, False, True], ("false", "true")),
        ([1, -1, 1], ("-1", "1")),
        (pl.Series([7, 255, 7], dtype=pl.UInt8), ("255", "7")),
    ],
    ids=["boolean", "integer", "unsigned"],
)
def test_names_may_be_booleans_and_whole_numbers(
    values: list[int] | pl.Series, branches: tuple[str, ...]
) -> None:
    frame = pl.DataFrame({"x": values}).with_row_index()
    router = Router(pl.col("x"), branches)
    router.check(frame.schema)
    parts = {name: part.polars()["index"].to_list() for name, part in route(router, Batch(frame))}
    assert parts == {branches[0]: [1], branches[1]: [0, 2]}


@pytest.mark.parametrize("value", ["a", "z", None])
def test_a_batch_that_goes_one_way_is_passed_on_as_it_is(value: str | None) -> None:
    record = pa.RecordBatch.from_pydict({"name": pa.array([value] * 3, pa.large_string())})
    batch = Batch(record, Position("o", 0, 3), 5)
    ((name, part),) = route(Router(BY_NAME, ("b", "a"), otherwise=True), batch)
    assert name == ("a" if value == "a" else OTHERWISE)
    assert part is batch
    assert part.arrow() is record


def test_no_rows_go_nowhere() -> None:
    assert route(Router(BY_NAME, ("a",), otherwise=True), Batch(pl.DataFrame({"name": [""]})[:0])) == []
    assert route(Router(BY_NAME, ("a",)), Batch(pl.DataFrame({"name": [""]})[:0])) == []


def test_parts_remember_where_and_when_their_rows_came_in() -> None:
    batch = Batch(pl.DataFrame({"name": ["a", "b"]}), Position("o", 4, 6), 5)
    for _, part in route(Router(BY_NAME, ("a", "b")), batch):
        assert (part.position, part.ingest_ns) == (Position("o", 4, 6), 5)


def test_a_row_for_no_branch_is_an_error_that_names_value_and_place() -> None:
    batch = Batch(pl.DataFrame({"name": ["a", "b", "zebra", "a"]}), Position("bids.csv", 10, 14))
    with pytest.raises(StageError) as caught:
        route(Router(BY_NAME, ("a", "b")), batch)
    assert str(caught.value) == "\n".join(
        [
            "a row is for no branch",
            "  position: bids.csv rows 12-13",
            "  expected: one of the branches 'a', 'b'",
            "  found: 'zebra'",
            "  hint: add .otherwise(...) for all other rows, null included",
        ]
    )


def test_several_rows_for_no_branch_are_counted_null_among_them() -> None:
    with pytest.raises(StageError) as caught:
        route(Router(BY_NAME, ("a",)), Batch(pl.DataFrame({"name": ["a", None, "z"]})))
    assert caught.value.what == "2 rows are for no branch"
    assert caught.value.found == "None, the first of them"
    assert caught.value.position is None


def test_a_branch_may_be_called_otherwise_if_there_is_none_for_the_rest() -> None:
    batch = Batch(pl.DataFrame({"name": ["otherwise", "a"]}))
    assert [name for name, _ in route(Router(BY_NAME, ("otherwise", "a")), batch)] == ["otherwise", "a"]


@pytest.mark.parametrize(
    ("branches", "otherwise", "message"),
    [
        ((), True, "no branch"),
        ((), False, "no branch"),
        (("",), False, "needs a name"),
        ((1,), False, "needs a name.*found: 1"),
        (("a", "b", "a"), False, "two branches are called 'a'"),
        (("a", "otherwise"), True, "two branches are called 'otherwise'"),
    ],
)
def test_names_that_do_not_tell_branches_apart(
    branches: tuple[str, ...], otherwise: bool, message: str
) -> None:
    with pytest.raises(PlanError, match=f"(?s){message}"):
        Router(BY_NAME, branches, otherwise)


@pytest.mark.parametrize(
    ("expr", "found", "hint"),
    [
        (pl.col("f"), "f: Float64, from split(f)", "make it text with .cast(pl.String)"),
        (pl.col("d"), "d: Date, from split(d)", "make it text with .cast(pl.String)"),
        (pl.col("n"), "n: Null, from split(n)", "make it text with .cast(pl.String)"),
        (pl.col("f", "d"), "f: Float64, d: Date, from split(f, d)", None),
    ],
)
def test_expressions_that_give_no_names(expr: pl.Expr, found: str, hint: str | None) -> None:
    with pytest.raises(SchemaError) as caught:
        Router(expr, ("a",)).check(pl.Schema({"f": pl.Float64, "d": pl.Date, "n": pl.Null}))
    assert (caught.value.found, caught.value.hint) == (found, hint)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_row_takes_the_same_way_alone_as_among_others(rows: int) -> None:
    """Polars takes a row that is alone for a constant, and divides constants in another way."""
    frame = pl.DataFrame({"x": [5.0] * 3})
    among_others = frame.select(pl.col("x") / 3).to_series()[0]
    assert among_others != frame.head(1).select(pl.col("x") / 3).item()
    found = (
        Pipeline.builder()
        .source(Source.from_frame([frame.slice(start, rows) for start in range(0, 3, rows)]))
        .split(pl.col("x") / 3 == among_others)
        .branch("true", lambda rows: rows.map(way=pl.lit("equal")))
        .branch("false", lambda rows: rows.map(way=pl.lit("not equal")))
        .merge()
        .collect_sync()
    )
    assert found["way"].to_list() == ["equal"] * 3


SCHEMA = pl.Schema({"name": pl.String, "x": pl.Int64})


def test_the_expression_is_checked_as_any_other_step_is() -> None:
    assert check(Router(BY_NAME, ("a",)), SCHEMA, "split") == {"name": pl.String}
    for wrong, message in ((pl.col("name").first(), "other rows"), (pl.lit("a"), "refers to no column")):
        with pytest.raises(PlanError, match=message):
            check(Router(wrong, ("a",)), SCHEMA, "split")
    with pytest.raises(SchemaError, match="did you mean 'name'"):
        check(Router(pl.col("nome"), ("a",)), SCHEMA, "split")
