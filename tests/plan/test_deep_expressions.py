"""Expressions of thousands of joined terms: run in pieces, with Polars' results, whatever the caller's stack."""

import sys
from collections.abc import Callable

import polars as pl
import polars.selectors as cs
import pytest
from polars.testing import assert_frame_equal

from arrowstream import Builder, Pipeline, Sink, Source
from arrowstream.errors import PlanError, SchemaError
from arrowstream.expressions.text import expression_text
from arrowstream.expressions.tree import DEEPEST, levels, tree_of
from arrowstream.operators.with_columns import WithColumns
from arrowstream.plan.checks.pieces import _within_lists_and_structs, runnable
from arrowstream.plan.lowering.lower import lower
from arrowstream.plan.segment import Segment

FRAME = pl.DataFrame({"x": [1, 2, None, 5], "y": [0.5, 2.0, 3.0, None], "l": [[1, 2], [], None, [3]]})
x, y = pl.col("x"), pl.col("y")


def source() -> Builder:
    return Pipeline.builder().source(Source.from_frame([FRAME[:1], FRAME[1:]]))


def joined(terms: int, join: Callable[[pl.Expr, int], pl.Expr], first: pl.Expr = x) -> pl.Expr:
    for number in range(terms):
        first = join(first, number)
    return first


def branches(terms: int) -> pl.Expr:
    chain = pl.when(x == -1).then(0)
    for number in range(terms):
        chain = chain.when(x == number).then(number * 2)  # type: ignore[assignment]
    return chain.otherwise(x)  # type: ignore[attr-defined, no-any-return]


DEEP = {
    "a sum": joined(250, lambda e, n: e + x * n),
    "a sum from the right": joined(200, lambda e, n: x + e),
    "a sum of another type": joined(200, lambda e, n: e + y),
    "conditions": joined(300, lambda e, n: e | (x == n), x == -1),
    "branches": branches(200),
    "calls": joined(300, lambda e, n: e.abs()),
    "text": joined(150, lambda e, n: pl.concat_str(e, pl.lit("a")), pl.lit("") + x.cast(pl.String)),
    "both sides": joined(15, lambda e, n: e + joined(60, lambda inner, m: inner + m)),
    "a struct": pl.struct(joined(100, lambda e, n: e + 1).alias("p"), joined(100, lambda e, n: e + y)),
    "another name": joined(100, lambda e, n: e + 1).name.suffix("_sum"),
}


@pytest.mark.untraced
@pytest.mark.parametrize("name", DEEP)
def test_deep_expressions_give_what_polars_gives(name: str) -> None:
    expr = DEEP[name]
    assert levels(tree_of(expr)) > DEEPEST
    plain = expr if name == "another name" else expr.alias("out")
    assert_frame_equal(source().select("x", plain).collect_sync(), FRAME.select("x", plain))
    assert_frame_equal(source().with_columns(plain).collect_sync(), FRAME.with_columns(plain))


@pytest.mark.untraced
def test_two_thousand_terms() -> None:
    expr = joined(2000, lambda e, n: e + x)
    assert source().select(out=expr).collect_sync()["out"].to_list() == [2001, 4002, None, 10005]
    assert expression_text(expr).startswith("x + x + x + ") and expression_text(expr).count("x") == 2001


@pytest.mark.untraced
def test_filters_and_filter_map() -> None:
    deep = joined(200, lambda e, n: e | (x == n), x == -1)
    assert source().filter(deep).collect_sync().equals(FRAME.filter(deep))
    found = source().filter_map(deep, z=joined(200, lambda e, n: e + n)).collect_sync()
    assert found.equals(FRAME.filter(deep).with_columns(z=joined(200, lambda e, n: e + n)))


def test_a_choice_of_columns_next_to_a_deep_expression_leaves_out_its_pieces() -> None:
    deep = joined(200, lambda e, n: e + cs.by_name("x") * n)
    for chosen in (pl.all(), cs.numeric(), cs.last(), pl.col("^(x|y)$") * 2, pl.nth(-1)):
        expected = FRAME.select(chosen.name.suffix("_"), out=joined(200, lambda e, n: e + x * n))
        assert source().select(chosen.name.suffix("_"), out=deep).collect_sync().equals(expected)


def test_a_deep_step_is_shown_as_it_was_written_and_its_pieces_have_names_of_their_own() -> None:
    frame = FRAME.rename({"y": "piece 0"})
    builder = (
        Pipeline.builder().source(Source.from_frame(frame)).with_columns(z=joined(100, lambda e, n: e + 1))
    )
    assert builder.collect_sync().equals(frame.with_columns(z=x + 100))
    assert "with_columns(z = x + 1 + 1" in builder.sink(Sink.to_fn(len)).build().explain()
    assert "piece" not in builder.sink(Sink.to_fn(len)).build().explain().replace("piece 0:", "")
    (step,) = (WithColumns.of(z=joined(100, lambda e, n: e + 1)),)
    assert runnable(step, frame.schema, "1").expressions() == step.exprs


def test_pieces_have_other_names_than_the_columns_of_the_step() -> None:
    deep = joined(200, lambda e, n: e + x)
    for named in ({"piece 0": deep}, {"piece 0": deep, "z": deep * 2}, {"z": deep, "piece 1": x}):
        assert source().with_columns(**named).collect_sync().equals(FRAME.with_columns(**named))
    prefixed = pl.col("x", "y").name.prefix("piece 0 of ")
    assert source().with_columns(prefixed, z=deep).collect_sync().columns[-1] == "z"
    with pytest.raises(SchemaError, match="nix"):
        source().with_columns(pl.col("x", "nix"), z=deep).schema()


def test_fields_of_structs_are_no_columns_in_either_way_to_write_them() -> None:
    field = {"BinaryExpr": {"left": {"Field": ["x"]}, "op": "Plus", "right": {"Field": ["y"]}}}
    for tree in (
        {"StructEval": {"expr": {"Column": "s"}, "evaluation": [field]}},
        {"Function": {"input": [{"Column": "s"}, field], "function": {"StructExpr": "WithFields"}}},
    ):
        assert id(field) in _within_lists_and_structs(tree)


def test_a_program_has_a_few_levels_only() -> None:
    schema = pl.Schema({"x": pl.Int64()})
    deep = WithColumns.of(x=joined(150, lambda e, n: e + x))
    assert "more than 100 levels" in str(lower(Segment((deep,), schema, schema)))


def test_the_stack_of_the_caller_does_not_matter() -> None:
    expr, builder = joined(300, lambda e, n: e + n), source()

    def build(depth: int) -> Pipeline | Builder:
        return build(depth - 1) if depth else builder.select(out=expr)

    def schema(depth: int) -> pl.Schema | None:
        return schema(depth - 1) if depth else builder.select(out=expr).schema()

    used = len(_frames())
    assert schema(sys.getrecursionlimit() - used - 150) == pl.Schema({"out": pl.Int64()})


def _frames() -> list[object]:
    frames, frame = [], sys._getframe()
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back  # type: ignore[assignment]
    return frames


@pytest.mark.parametrize(
    "expr",
    [
        joined(100, lambda e, n: e + float("nan")),
        joined(100, lambda e, n: e + 1, pl.lit(1)),
        joined(100, lambda e, n: e + cs.numeric()),
        pl.col("l").list.eval(joined(100, lambda e, n: e + 1, pl.element())),
        pl.struct("x").struct.with_fields(joined(100, lambda e, n: e + 1, pl.field("x"))),
        pl.struct("x").struct.with_fields(joined(100, lambda e, n: e + 1, pl.field("x"))),
    ],
)
def test_what_cannot_be_cut_is_refused(expr: pl.Expr) -> None:
    with pytest.raises(PlanError) as raised:
        source().with_columns(out=expr).schema()
    assert raised.value.stage == "with_columns"
    assert "with_columns" in str(raised.value.hint)


def test_steps_that_are_no_expressions_of_columns_refuse_deep_ones() -> None:
    deep = joined(100, lambda e, n: e + 1)
    with pytest.raises(PlanError, match="nested too deeply"):
        source().split(deep.cast(pl.String)).branch("1", lambda b: b).merge().schema()
    with pytest.raises(PlanError, match="cannot run this expression"):
        source().scan(out=deep.cum_sum()).schema()
    with pytest.raises(PlanError, match="nested too deeply"):
        source().reduce(out=joined(400, lambda e, n: e + 1).sum()).schema()
    kept = source().reduce(out=deep.sum()).collect_sync()
    assert kept["out"].to_list() == FRAME.select(deep.sum()).to_series().to_list()
