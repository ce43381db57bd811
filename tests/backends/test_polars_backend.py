"""The Polars backend: the same rows for any cut, whether steps run one by one or as one query."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_calls import step_by_step
from strategies import cuts, frames

from arrowstream.backends import polars as backend
from arrowstream.backends.polars import PolarsBackend
from arrowstream.core.batch import Batch
from arrowstream.core.position import Position
from arrowstream.expressions.program import Refusal
from arrowstream.operators.base import Expressions
from arrowstream.operators.cast import Cast
from arrowstream.operators.explode import Explode
from arrowstream.operators.filter import Filter
from arrowstream.operators.with_columns import WithColumns
from arrowstream.plan.segment import Segment

NOT_LOWERED = Refusal(("not asked",))


def segment_of(schema: pl.Schema, *steps: Expressions) -> Segment:
    bare = Segment(steps, schema, schema)
    return Segment(steps, schema, bare.apply_lazy(pl.LazyFrame(schema=schema)).collect_schema())


@given(st.data(), st.sampled_from([1, 20_000]))
def test_any_types_and_any_cut(data: st.DataObject, lazy_from: int) -> None:
    frame = data.draw(frames()).with_row_index("row")
    segment = segment_of(frame.schema, WithColumns.of(third=pl.col("row") / 3), Filter.of(pl.col("row") != 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "_LAZY_FROM", lazy_from)
        evaluate = PolarsBackend().prepare(segment, NOT_LOWERED)
        found = [evaluate(Batch(part)).polars() for part in data.draw(cuts(frame))]
    whole = pl.DataFrame([column.clone().extend(column) for column in frame])
    expected = step_by_step(segment, whole)
    expected = expected.head(expected.height // 2)
    assert pl.concat(found).equals(expected)
    assert all(part.schema == segment.output for part in found)


def test_one_row_is_divided_as_among_others() -> None:
    schema = pl.Schema({"x": pl.Float64(), "xs": pl.List(pl.Int64())})
    segment = segment_of(schema, WithColumns.of(y=pl.col("x") / 3), Explode.of("xs"))
    evaluate = PolarsBackend().prepare(segment, NOT_LOWERED)
    two = evaluate(Batch(pl.DataFrame({"x": [5.0, 5.0], "xs": [[1, 2], [3]]}, schema=schema))).polars()
    one = evaluate(Batch(pl.DataFrame({"x": [5.0], "xs": [[1, 2]]}, schema=schema))).polars()
    assert one.equals(two.head(2))


def test_a_row_that_is_a_chunk_is_divided_as_among_others() -> None:
    schema = pl.Schema({"x": pl.Float64()})
    evaluate = PolarsBackend().prepare(segment_of(schema, WithColumns.of(y=pl.col("x") / 3)), NOT_LOWERED)
    chunks = pl.concat([pl.DataFrame({"x": [5.0]}), pl.DataFrame({"x": [6.0, 5.0]})], rechunk=False)
    assert chunks.n_chunks() == 2
    first, _, last = evaluate(Batch(chunks)).polars()["y"]
    assert first == last


@pytest.mark.parametrize("rows", [1, 2, 30_000])
def test_a_failing_cast_is_not_hidden_by_a_filter(rows: int) -> None:
    schema = pl.Schema({"x": pl.Int64(), "keep": pl.Boolean()})
    segment = segment_of(schema, Cast.of({"x": pl.Int8}), Filter.of("keep"))
    evaluate = PolarsBackend().prepare(segment, NOT_LOWERED)
    frame = pl.DataFrame({"x": [1_000] * rows, "keep": [False] * rows}, schema=schema)
    with pytest.raises(pl.exceptions.InvalidOperationError):
        evaluate(Batch(frame))


def test_a_batch_keeps_where_it_came_from() -> None:
    schema = pl.Schema({"x": pl.Int64()})
    evaluate = PolarsBackend().prepare(segment_of(schema, Filter.of(pl.col("x") > 1)), NOT_LOWERED)
    position = Position("here", 0, 1)
    result = evaluate(Batch(pl.DataFrame({"x": [2]}), position, 5))
    assert (result.position, result.ingest_ns) == (position, 5)


@pytest.mark.parametrize("rows", [[1], [1, 2]])
def test_lists_that_are_slices_keep_their_rows(rows: list[int]) -> None:
    """Polars 1.35 mixes up the rows of sliced lists in several chunks."""
    frame = pl.DataFrame({"xs": [[9, 8], [3, 2], [7, 5, 4]]})
    step = WithColumns.of(xs=pl.col("xs").list.eval(pl.element().sort()))
    evaluate = PolarsBackend().prepare(segment_of(frame.schema, step), NOT_LOWERED)
    slices = pl.concat([frame.slice(row, 1) for row in rows], rechunk=False)
    found = evaluate(Batch(slices)).polars()["xs"].to_list()
    assert found == [sorted(frame["xs"][row]) for row in rows]


def test_one_row_that_a_filter_leaves_is_divided_as_among_others() -> None:
    frame = pl.DataFrame({"i": [1, 2, 3, 3, 3], "x": [5.0] * 5})
    evaluate = PolarsBackend().prepare(
        segment_of(frame.schema, Filter.of(pl.col("i") == 3), WithColumns.of(y=pl.col("x") / 3)), NOT_LOWERED
    )
    alone, together = (evaluate(Batch(part)).polars()["y"] for part in (frame.head(3), frame.tail(3)))
    assert alone.to_list() == together.to_list()[:1]


@pytest.mark.parametrize("rows", [2, 30_000])
@pytest.mark.parametrize("constant", [pl.lit(3.0), pl.lit(3)])
def test_a_constant_of_an_earlier_step_is_a_column_whatever_the_cut(constant: pl.Expr, rows: int) -> None:
    """Polars keeps it as one value, and divides by that in another way."""
    frame = pl.DataFrame({"x": [5.0] * rows})
    segment = segment_of(
        frame.schema, WithColumns.of(k=constant), WithColumns.of(y=pl.col("x") / pl.col("k"))
    )
    evaluate = PolarsBackend().prepare(segment, NOT_LOWERED)
    together, alone = (evaluate(Batch(part)).polars()["y"][0] for part in (frame, frame.head(1)))
    assert together == alone == 5 / 3


def test_single_rows_that_are_alike_are_divided_by_as_any_others_once_joined() -> None:
    parts = [pl.DataFrame({"x": [5.0], "k": [3.0]}), pl.DataFrame({"x": [7.0], "k": [3.0]})]
    step = WithColumns.of(y=pl.col("x") / pl.col("k"))
    evaluate = PolarsBackend().prepare(segment_of(parts[0].schema, step), NOT_LOWERED)
    joined = evaluate(Batch(pl.concat(parts))).polars()["y"].to_list()
    assert joined == [evaluate(Batch(part)).polars()["y"][0] for part in parts]


def test_a_constant_column_that_comes_in_is_divided_by_as_any_other() -> None:
    frame = pl.DataFrame({"x": [5.0, 7.0]}).with_columns(k=pl.lit(3.0))
    step = WithColumns.of(y=pl.col("x") / pl.col("k"))
    evaluate = PolarsBackend().prepare(segment_of(frame.schema, step), NOT_LOWERED)
    assert evaluate(Batch(frame)).polars()["y"].to_list() == [5 / 3, 7 / 3]
