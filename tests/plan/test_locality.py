"""The check of a step at build: what it lets through, and what it says about the rest."""

import polars as pl
import polars.selectors as cs
import pytest

from arrowstream import Pipeline, Source
from arrowstream.errors import ArrowstreamError, PlanError, SchemaError
from arrowstream.expressions.tree import within_list_parts_of
from arrowstream.operators.base import Expressions
from arrowstream.operators.cast import Cast
from arrowstream.operators.drop import Drop
from arrowstream.operators.explode import Explode
from arrowstream.operators.filter import Filter
from arrowstream.operators.rename import Rename
from arrowstream.operators.select import Select
from arrowstream.operators.unnest import Unnest
from arrowstream.operators.with_columns import WithColumns
from arrowstream.plan.checks.row_local import _Check, check
from arrowstream.plan.checks.types import can_cast, exposes_codes, has_categories

SCHEMA = pl.Schema(
    {
        "price": pl.Float64(),
        "auction": pl.Int64(),
        "name": pl.String(),
        "bids": pl.List(pl.Int64()),
        "at": pl.Struct({"x": pl.Int64()}),
        "kind": pl.Categorical(),
        "kinds": pl.List(pl.Categorical()),
        "who": pl.Struct({"kind": pl.Categorical(), "x": pl.Int64()}),
    }
)
price, auction, name, bids = pl.col("price"), pl.col("auction"), pl.col("name"), pl.col("bids")


def error_of(step: Expressions, schema: pl.Schema = SCHEMA) -> ArrowstreamError:
    with pytest.raises(ArrowstreamError) as raised:
        check(step, schema, "2 step")
    assert raised.value.stage == "2 step"
    return raised.value


@pytest.mark.parametrize(
    ("step", "columns"),
    [
        (Select.of("auction", eur=price * 0.5), {"auction": pl.Int64, "eur": pl.Float64}),
        (Select.of("auction", one=1), {"auction": pl.Int64, "one": pl.Int32}),
        (WithColumns.of(auction=pl.lit("x")), {**SCHEMA, "auction": pl.String}),
        (Filter.of(pl.lit(True)), SCHEMA),
        (Drop.of("at", "bids", "kind", "kinds", "who", "name"), {"price": pl.Float64, "auction": pl.Int64}),
        (Rename.of({"price": "name", "name": "price"}), {**SCHEMA, "price": pl.String, "name": pl.Float64}),
        (Cast.of({"auction": pl.Int8}), {**SCHEMA, "auction": pl.Int8}),
        (Explode.of("bids"), {**SCHEMA, "bids": pl.Int64}),
        (Unnest.of("at"), {**{k: v for k, v in SCHEMA.items() if k != "at"}, "x": pl.Int64}),
    ],
)  # fmt: skip
def test_the_schema_that_comes_out(step: Expressions, columns: dict[str, pl.DataType]) -> None:
    out = check(step, SCHEMA, "1 step")
    assert isinstance(out, pl.Schema)
    assert dict(out) == dict(columns)


@pytest.mark.parametrize(
    ("expr", "found", "hint"),
    [
        (price - price.mean(), "price.mean(), in x = price - price.mean()", "window(...) or reduce(...)"),
        (price.shift(), "price.shift(1), in x = price.shift(1)", "scan(...)"),
        (price.fill_null(strategy="forward"), "price.forward_fill()", "scan(...)"),
        (price.head(3), "slice", "run(limit=...)"),
        (price.sort(), "sort", "no end to sort"),
        (price.filter(price > 1), "filter", ".filter(...)"),
        (pl.int_range(pl.len()), "int_range", "put one into the source"),
        (price.sample(1), "sample", "from run to run"),
        (auction.is_in(auction), "auction.is_in(auction)", "give the values as a list"),
        (auction.replace(auction, auction), "replace", "give its values as lists"),
        (pl.lit(pl.Series([1, 2])), "[1, 2]", "for a list of constants"),
        (name.str.to_date(), "strptime", "give the format"),
        (price.map_elements(lambda x: x, return_dtype=pl.Float64), "price", "Polars expressions"),
        (pl.col("kind").to_physical(), "kind.to_physical()", "String or Enum"),
        (pl.col("kinds").list.eval(pl.element().hash()), "hash", "String or Enum"),
        (price.set_sorted(), "set_sorted", "no end to sort"),
        (bids.list.sample(1), "sample", "from run to run"),
        (bids.list.mean(), "bids.list.mean()", ".list.drop_nulls()"),
        (price.hist([1]), "hist", "window(...)"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_part_and_what_to_write_instead(expr: pl.Expr, found: str, hint: str) -> None:
    error = error_of(WithColumns.of(x=expr))
    assert isinstance(error, PlanError)
    assert found in str(error.found)
    assert hint in str(error.hint)


def test_what_is_not_known_is_refused_by_name() -> None:
    with pytest.raises(PlanError, match="not known") as raised:
        _Check(SCHEMA, "1 step", "x").visit({"Alias": [{"Nonsense": {}}, "x"]})
    assert "Nonsense" in str(raised.value.hint)


def test_a_python_function_that_can_be_serialised_is_refused_too() -> None:
    with pytest.raises(PlanError) as raised:
        _Check(SCHEMA, "1 step", "x").visit({"AnonymousFunction": {"input": [{"Column": "price"}]}})
    assert "Python functions" in str(raised.value.hint)


@pytest.mark.parametrize("expr", [pl.element().unique(), pl.element().mode()])
def test_values_without_an_order_are_refused(expr: pl.Expr) -> None:
    error = error_of(WithColumns.of(x=bids.list.eval(expr)))
    assert isinstance(error, PlanError)
    assert "maintain_order" in str(error.hint)
    ordered = WithColumns.of(x=bids.list.eval(pl.element().unique(maintain_order=True)))
    assert check(ordered, SCHEMA, "1 step")["x"] == SCHEMA["bids"]


def test_a_choice_of_columns_that_comes_out_empty_leaves_only_constants() -> None:
    error = error_of(Select.of(pl.lit(1)))
    assert isinstance(error, PlanError)
    assert "one row for every batch" in str(error)
    assert "with_columns" in str(error.hint)
    assert "one row for every batch" in str(error_of(Select.of(cs.date(), one=1)))


def test_no_column_left() -> None:
    assert "leaves no column" in str(error_of(Drop.of("x"), pl.Schema({"x": pl.Int64()})))


def test_a_wrong_name_comes_with_the_nearest_one() -> None:
    error = error_of(Select.of("prize"))
    assert isinstance(error, SchemaError)
    assert (error.found, error.hint) == ("prize", "did you mean 'price'?")
    assert "one of the columns price, auction, name" in str(error.expected)
    for step in (
        Drop.of("prize"),
        Rename.of({"prize": "x"}),
        Cast.of({"prize": pl.Int8}),
        Explode.of("prize"),
    ):
        assert error_of(step).hint == "did you mean 'price'?"
    assert error_of(Select.of("zzz")).hint is None
    wide = pl.Schema({f"c{number}": pl.Int64() for number in range(50)})
    assert str(error_of(Select.of("zzz"), wide).expected).endswith("c19, and 30 more")


@pytest.mark.parametrize(
    "step",
    [
        WithColumns.of(x=name + 1),
        WithColumns.of(x=name.dt.year()),
        Filter.of("auction"),
        Select.of("price", price=auction),
        Unnest.of("name"),
        WithColumns.of(x=pl.col("at").struct.field("nope")),
    ],
)
def test_types_that_do_not_fit(step: Expressions) -> None:
    error = error_of(step)
    assert isinstance(error, SchemaError)
    assert "expressions over price: Float64" in str(error.expected)
    assert step.describe() in str(error.found)


def test_only_lists_explode() -> None:
    error = error_of(Explode.of("price"))
    assert isinstance(error, SchemaError)
    assert error.found == "price: Float64"


@pytest.mark.parametrize(
    ("step", "found"),
    [
        (Cast.of({"bids": pl.Int8}), "Int8, in bids.cast(Int8)"),
        (WithColumns.of(x=price.cast(pl.Array(pl.Int8, 2))), "Array(Int8, shape=(2,)), in x = "),
        (WithColumns.of(x=bids.cast(pl.Date)), "Date, in x = "),
    ],
)
def test_casts_that_no_value_survives(step: Expressions, found: str) -> None:
    error = error_of(step)
    assert isinstance(error, SchemaError)
    assert str(error.found).startswith(found)


SAMPLED = [
    pl.Int8(), pl.Float64(), pl.Decimal(10, 2), pl.String(), pl.Boolean(), pl.Binary(), pl.Date(),
    pl.Datetime("us", "UTC"), pl.Duration(), pl.Time(), pl.Categorical(), pl.Enum(["a"]), pl.Enum([]),
    pl.List(pl.String()), pl.Array(pl.Int8(), 2), pl.Struct({"x": pl.List(pl.Int8())}), pl.Null(),
]  # fmt: skip


@pytest.mark.parametrize("dtype", SAMPLED)
def test_every_type_can_be_cast_to_itself(dtype: pl.DataType) -> None:
    assert can_cast(dtype, dtype)


def test_what_comes_out_of_a_cast_as_another_type_is_no_cast() -> None:
    assert not can_cast(pl.Struct({"a": pl.Int64}), pl.Binary())


def test_a_type_without_an_arrow_form() -> None:
    schema = pl.Schema({"x": pl.Int64(), "thing": pl.Object()})
    error = error_of(Rename.of({"x": "y"}), schema)
    assert isinstance(error, SchemaError)
    assert "Arrow form" in str(error)


class _Wrong(Expressions):
    """A step whose result over no rows does not match its plan."""

    __slots__ = ("over_rows",)
    name = "wrong"

    def __init__(self, over_rows: object) -> None:
        self.over_rows = over_rows

    def apply(self, frame):  # type: ignore[no-untyped-def]
        if isinstance(frame, pl.LazyFrame):
            return frame
        if isinstance(self.over_rows, BaseException):
            raise self.over_rows
        return self.over_rows

    def expressions(self) -> tuple[pl.Expr, ...]:
        return ()

    def describe(self) -> str:
        return "wrong()"


def test_errors_and_types_that_only_show_over_rows() -> None:
    error = error_of(_Wrong(pl.exceptions.ComputeError("no such thing\n\nmore")))
    assert isinstance(error, SchemaError)
    assert error.found == "no such thing, in wrong()"
    assert "other types" in str(error_of(_Wrong(pl.DataFrame({"price": [1]}))))


@pytest.mark.parametrize(
    ("expr", "allowed"),
    [
        (pl.col("kind").cast(pl.String), True),
        (pl.col("kind").cast(pl.Enum(["a"]), strict=False), True),
        (pl.col("kinds").list.eval(pl.element().cast(pl.String)), True),
        (bids.list.eval(pl.element().cast(pl.Int8)), True),
        (pl.col("at").struct.with_fields(pl.field("x").cast(pl.Int8)), True),
        (pl.col("who").struct.with_fields(pl.field("x").cast(pl.String)), True),
        (pl.col("who").struct.field("x").hash(), True),
        (pl.col("who").hash(), False),
        (pl.col("who").struct.with_fields(pl.field("kind").hash()), False),
        (pl.col("kinds").list.eval(pl.element().to_physical()), False),
        (pl.col("bids").hash(), True),
        (pl.struct(name).to_physical(), True),
    ],
)
def test_codes_of_categories_never_show(expr: pl.Expr, allowed: bool) -> None:
    step = WithColumns.of(out=expr)
    if allowed:
        check(step, SCHEMA, "1 step")
    else:
        assert "codes of a Categorical" in str(error_of(step))


def test_casts_of_nested_categories() -> None:
    categories = pl.Categorical()
    assert not exposes_codes(pl.List(categories), pl.List(pl.String()))
    assert exposes_codes(pl.List(categories), pl.Array(pl.UInt32(), 2))
    assert exposes_codes(pl.Struct({"x": categories}), pl.Struct({"x": pl.UInt32()}))
    assert not exposes_codes(pl.Struct({"x": pl.Int8()}), pl.Struct({"x": pl.Int64()}))
    assert has_categories(pl.Array(pl.Struct({"x": categories}), 1))


def test_both_shapes_of_a_quantile_are_known() -> None:
    column, half = {"Column": ""}, {"Literal": {"Dyn": {"Float": 0.5}}}
    node = {"Agg": {"Quantile": {"expr": column, "quantile": half, "method": "Nearest"}}}
    assert within_list_parts_of(node) == [column, half]
    assert within_list_parts_of({"Gather": {"expr": column, "idx": column}}) == [column, column]
    assert within_list_parts_of({"Agg": {"Sum": column}}) == [column]
    assert within_list_parts_of({"Explode": {"input": column}}) == [column]
    assert within_list_parts_of({"SortBy": {"expr": column, "by": [half]}}) == [column, half]
    assert within_list_parts_of({"Nonsense": column}) is None


def test_types_of_rows_of_nulls_are_those_of_others() -> None:
    schema = pl.Schema({"l": pl.List(pl.Int64())})

    class Null(_Wrong):
        def apply(self, frame):  # type: ignore[no-untyped-def]
            if isinstance(frame, pl.LazyFrame) or not frame.height:
                return frame
            return super().apply(frame)

        def expressions(self) -> tuple[pl.Expr, ...]:
            return (pl.col("l").list.reverse(),)

    assert "other types for rows of nulls" in str(error_of(Null(pl.DataFrame({"l": [None]})), schema))
    check(Null(pl.exceptions.ComputeError("a null")), schema, "1 step")


def test_both_ways_to_write_fields_of_a_struct_are_checked() -> None:
    at, field = {"Column": "at"}, {"Field": ["x"]}
    _Check(SCHEMA, "1 step", "x").visit({"StructEval": {"expr": at, "evaluation": [field]}})
    _Check(SCHEMA, "1 step", "x").visit(
        {"Function": {"input": [at, field], "function": {"StructExpr": "WithFields"}}}
    )


@pytest.mark.parametrize("backend", ["polars", "auto"])
@pytest.mark.parametrize("dtype", [pl.Int64(), pl.Int8(), pl.Float64()])
def test_what_to_write_in_place_of_cum_sum_horizontal_gives_the_same(
    backend: str, dtype: pl.DataType
) -> None:
    frame = pl.DataFrame({"a": [1, 100, None, 3], "b": [2, 100, 3, None]}, {"a": dtype, "b": dtype})
    wanted = pl.cum_sum_horizontal("a", "b")
    rows = Pipeline.builder().source(Source.from_frame(frame, batch_rows=3))
    with pytest.raises(PlanError, match="Python function") as raised:
        rows.select(wanted).schema()
    assert 'pl.struct("a", (pl.col("a") + pl.col("b")).alias("b"))' in str(raised.value.hint)
    same = pl.struct("a", (pl.col("a") + pl.col("b")).alias("b")).alias("cum_sum")
    assert rows.select(same).backend(backend).collect_sync().equals(frame.select(wanted))
