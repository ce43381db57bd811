"""A list or an array gives the same to the last bit, whatever nulls and NaN the rows around hold."""

import random
from contextlib import suppress

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from arrowstream.errors import PlanError
from arrowstream.operators.base import Expressions
from arrowstream.operators.select import Select
from arrowstream.plan.checks.pieces import runnable
from arrowstream.plan.checks.row_local import check

WIDTH = 300
_RANDOM = random.Random(1)
VALUES = [_RANDOM.uniform(-1, 1) * 10 ** _RANDOM.randint(-8, 8) for _ in range(WIDTH)]
"""Their sum differs with the order of addition; there are more than Polars adds one by one in a block, 128."""
POSITIVE = [abs(value) for value in VALUES]
NAN = float("nan")
ROWS = {"values": VALUES, "positive": POSITIVE, "null": [None, *VALUES[1:]], "nan": [NAN, *VALUES[1:]]}
NEIGHBOURS = {
    "null": [None, *POSITIVE[1:]],
    "nan": [NAN, *POSITIVE[1:]],
    "both": [None, NAN, *POSITIVE[2:]],
    "negative": [-1.0] * WIDTH,
    "nulls": [None] * WIDTH,
}

OF_LISTS = ("sum", "mean", "std", "var", "median", "min", "max")
OF_ELEMENTS = {
    **{
        name: getattr(pl.Expr, name)
        for name in (
            *OF_LISTS, "product", "skew", "kurtosis", "entropy", "cum_sum", "cum_prod", "diff", "pct_change",
        )
    },
    "sum of squares": lambda values: (values * values).sum(),
    "distance": lambda values: values - values.mean(),
    "quantile": lambda values: values.quantile(0.3, "linear"),
    "fill with mean": lambda values: values.fill_null(strategy="mean"),
    "rolling_sum": lambda values: values.rolling_sum(5),
    "rolling_var": lambda values: values.rolling_var(5, min_samples=2),
    "ewm_mean": lambda values: values.ewm_mean(alpha=0.3),
    "sum of two": lambda values: values.sum() / values.abs().mean(),
}  # fmt: skip
ELEMENT = pl.element()
BEFORE = {
    "nothing": ELEMENT,
    "drop_nulls": ELEMENT.drop_nulls(),
    "drop_nans": ELEMENT.drop_nans(),
    "drop both": ELEMENT.drop_nulls().drop_nans(),
    "drop and add": ELEMENT.drop_nulls() + 1,
    "drop and cut": ELEMENT.drop_nans().head(200),
    "filter": ELEMENT.filter(ELEMENT > 0),
    "filter nulls": ELEMENT.filter(ELEMENT.is_not_null()),
    "unique": ELEMENT.unique(maintain_order=True),
    "sort": ELEMENT.sort(),
    "reverse": ELEMENT.reverse(),
    "shift": ELEMENT.shift(1),
    "head": ELEMENT.head(200),
    "top_k": ELEMENT.top_k(200),
    "fill_null": ELEMENT.fill_null(0),
    "fill_nan": ELEMENT.fill_nan(None),
    "when": pl.when(ELEMENT > 0).then(ELEMENT),
    "gather": ELEMENT.gather([0, 5, 7]),
    "gather those that": ELEMENT.gather(ELEMENT.is_not_null().arg_true()),
}
COLUMN = pl.col("l")
DTYPES = [pl.Float64, pl.Float32]
OF_TYPES = [
    (before, dtype)
    for place, before in enumerate(BEFORE)
    for dtype in (DTYPES if before in ("nothing", "drop_nulls", "filter") else [DTYPES[place % 2]])
]
"""Single precision has kernels of its own, which do not depend on what is done before them."""


def _accepted(exprs: dict[str, pl.Expr], schema: pl.Schema) -> Expressions:
    """Return the step of the expressions that the plan accepts; where one is refused, the error has a hint."""
    step = runnable(Select.of(**exprs), schema, "1 select")
    try:
        check(step, schema, "1 select")
    except PlanError as error:
        assert error.hint
        assert pl.__version__.startswith("1."), "Polars 2 has a form of each that gives the same"
    else:
        return step
    accepted = {}
    for name, expr in exprs.items():
        with suppress(PlanError):
            check(runnable(Select.of(**{name: expr}), schema, "1 select"), schema, "1 select")
            accepted[name] = expr
    return runnable(Select.of(**accepted), schema, "1 select")


def _assert_alone_is_the_same(exprs: dict[str, pl.Expr], dtype: pl.DataType) -> None:
    step = _accepted(exprs, pl.Schema({"l": dtype}))
    alone = {}
    for row, values in ROWS.items():
        found = step.apply(pl.DataFrame({"l": [values]}, schema={"l": dtype}))
        alone[row] = {column.name: repr(column.to_list()) for column in found}
    for neighbour, others in NEIGHBOURS.items():
        for row, values in ROWS.items():
            found = step.apply(pl.DataFrame({"l": [values, others]}, schema={"l": dtype}))
            here = found.head(1)
            other = [column.name for column in here if repr(column.to_list()) != alone[row][column.name]]
            assert not other, (row, neighbour)


@pytest.mark.untraced
@pytest.mark.parametrize(("before", "dtype"), OF_TYPES)
def test_aggregates_of_the_elements_of_a_list_do_not_depend_on_other_lists(before, dtype):
    exprs = {
        f"{kind} {name}": getattr(COLUMN.list, kind)(of(BEFORE[before]))
        for name, of in OF_ELEMENTS.items()
        for kind in ("eval", "agg")
    }
    exprs |= {
        f"eval, then {name}": COLUMN.list.eval(BEFORE[before]).list.eval(of(ELEMENT))
        for name, of in OF_ELEMENTS.items()
    }
    exprs |= {
        f"eval, then list.{name}": getattr(COLUMN.list.eval(BEFORE[before]).list, name)() for name in OF_LISTS
    }
    _assert_alone_is_the_same(exprs, pl.List(dtype))


@pytest.mark.untraced
@pytest.mark.parametrize(("before", "dtype"), OF_TYPES)
def test_aggregates_of_the_elements_of_an_array_do_not_depend_on_other_arrays(before, dtype):
    exprs = {name: COLUMN.arr.agg(of(BEFORE[before])) for name, of in OF_ELEMENTS.items()}
    _assert_alone_is_the_same(exprs, pl.Array(dtype, WIDTH))


@pytest.mark.untraced
@pytest.mark.parametrize("before", BEFORE)
def test_aggregates_of_an_array_do_not_depend_on_where_among_others_it_is(before):
    exprs = {name: COLUMN.arr.agg(of(BEFORE[before])) for name, of in OF_ELEMENTS.items()}
    schema = pl.Schema({"l": pl.Array(pl.Float64, WIDTH)})
    step = _accepted(exprs, schema)
    alone = {row: step.apply(pl.DataFrame({"l": [ROWS[row]]}, schema=schema)).row(0) for row in ROWS}
    for order in (["values", "positive", "null"], ["nan", "values", "null"], ["null", "nan", "positive"]):
        found = step.apply(pl.DataFrame({"l": [ROWS[row] for row in order]}, schema=schema))
        assert [repr(row) for row in found.rows()] == [repr(alone[row]) for row in order]


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_of_lists_and_arrays_do_not_depend_on_other_rows(dtype):
    lists = {name: getattr(COLUMN.list, name)() for name in OF_LISTS}
    lists |= {f"{name} of some": getattr(COLUMN.list.drop_nulls().list, name)() for name in OF_LISTS}
    _assert_alone_is_the_same(lists, pl.List(dtype))
    arrays = {name: getattr(COLUMN.arr, name)() for name in OF_LISTS}
    arrays |= {f"{name} as list": getattr(COLUMN.arr.to_list().list, name)() for name in OF_LISTS}
    _assert_alone_is_the_same(arrays, pl.Array(dtype, WIDTH))
    inside = {name: COLUMN.list.eval(getattr(ELEMENT.arr, name)()) for name in OF_LISTS}
    schema = pl.Schema({"l": pl.List(pl.Array(dtype, WIDTH))})
    step = _accepted(inside, schema)
    alone = step.apply(pl.DataFrame({"l": [[VALUES]]}, schema=schema))
    both = step.apply(pl.DataFrame({"l": [[VALUES], [NEIGHBOURS["null"]]]}, schema=schema))
    assert repr(alone.rows()) == repr(both.rows()[:1])


@pytest.mark.parametrize(
    "before", ["drop_nulls", "drop_nans", "drop and add", "drop and cut", "filter", "unique"]
)
def test_the_values_are_those_of_polars(before):
    schema = pl.Schema({"l": pl.List(pl.Float64)})
    exprs = {name: COLUMN.list.eval(of(BEFORE[before])) for name, of in OF_ELEMENTS.items()}
    step = _accepted(exprs, schema)
    lists = [[3.0, 1.0, 2.5], [4.0, None, 2.0, NAN], [None, 0.25, 0.5, 8.0], [7.0, 1.0, 7.0]]
    rows = pl.DataFrame({"l": lists}, schema=schema)
    found = step.apply(rows)
    assert_frame_equal(found, rows.select(exprs[name].alias(name) for name in found.columns), rel_tol=1e-9)


@pytest.mark.parametrize("dtype", [pl.Float64, pl.Float32, pl.Int8, pl.Int64, pl.Boolean])
def test_sums_of_arrays_are_those_of_polars(dtype):
    schema = pl.Schema({"l": pl.Array(dtype, 2)})
    rows = pl.DataFrame({"l": [[1, 0], [None, 1], [None, None], None]}, schema=schema, strict=False)
    step = runnable(Select.of(out=COLUMN.arr.sum()), schema, "1 select")
    assert check(step, schema, "1 select") == rows.select(out=COLUMN.arr.sum()).schema
    assert step.apply(rows).equals(rows.select(out=COLUMN.arr.sum()))
    assert step.apply(rows[3:]).equals(rows[3:].select(out=COLUMN.arr.sum()))


def test_a_sum_of_arrays_in_its_own_form_is_refused_with_the_form_to_write():
    schema = pl.Schema({"l": pl.Array(pl.Float64, 2)})
    with pytest.raises(PlanError) as raised:
        check(Select.of(out=COLUMN.arr.sum()), schema, "1 select")
    assert ".arr.to_list().list.drop_nulls()" in str(raised.value.hint)
    advised = Select.of(out=COLUMN.arr.to_list().list.drop_nulls().list.sum())
    assert check(runnable(advised, schema, "1 select"), schema, "1 select")
