"""The whitelist, over every method of Polars' expressions on the version at hand."""

import datetime as dt
import re
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import polars.selectors as cs
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from arrowstream import Pipeline, Source
from arrowstream.backends.polars import PolarsBackend
from arrowstream.core.batch import Batch
from arrowstream.errors import PlanError, SchemaError
from arrowstream.expressions import row_wise
from arrowstream.expressions.every_row import depend_on_neighbours, for_every_row, steps_for_every_row
from arrowstream.expressions.program import Refusal
from arrowstream.expressions.tree import containers, function_name
from arrowstream.operators.base import Expressions
from arrowstream.operators.select import Select
from arrowstream.operators.with_columns import WithColumns
from arrowstream.plan.checks.exact import has_two_types, misplaces_values
from arrowstream.plan.checks.pieces import _tree, runnable
from arrowstream.plan.checks.row_local import check
from arrowstream.plan.segment import Segment

HERE = Path(__file__).parent


class _Columns:
    """``c.x`` for ``pl.col("x")``, to keep the tables short."""

    def __getattr__(self, name: str) -> pl.Expr:
        return pl.col(name)

    def __getitem__(self, names: tuple[str, ...]) -> pl.Expr:
        return pl.col(*names)


def _frame() -> pl.DataFrame:
    """Rows of every type, with nulls, in an order that makes any look at a neighbour show."""
    n = 8
    i = [3, 1, None, 2, 3, 0, -5, 7]
    day = dt.date(2024, 2, 26)
    stamp = dt.datetime(2024, 2, 26, 10, 30)
    s = ["b", "ab", None, "a,b", "", "aab", "Straße", "b"]
    columns = {
        "i": i,
        "j": [2, 2, 5, None, 0, 9, 1, 3],
        "k": [0, 1, 2, 0, 1, 2, 0, 1],
        "f": [0.5, -1.0, None, float("nan"), 2.25, 0.0, float("inf"), 1.5],
        "g": [0.5, 1.0, 2.0, None, -2.0, 0.25, 1.0, 3.0],
        "x3": [1.0, 0.5, None, 0.25, 1.0, 0.75, 0.5, 0.1],
        "b": [True, False, None, True, False, True, False, True],
        "b2": [True, None, False, True, False, False, True, True],
        "s": s,
        "u": ["a", "b", "a", None, "b", "a", "ß", "b"],
        "hex": ["00ff", "aa", None, "01", "", "02", "03", "04"],
        "num": ["1.5", "12", None, "-3", "x", "07", "1e3", "5"],
        "js": ['{"a": 1}', '{"a": 2}', None, "{}", '{"a": 4}', '{"a": 5}', '{"a": 6}', '{"a": 7}'],
        "ds": ["2024-01-02", "2024-02-03", None, *["2024-03-04"] * 5],
        "ts": ["10:00:00", None, *["11:30:05"] * 6],
        "t": [None if step == 2 else stamp + dt.timedelta(hours=31 * step) for step in range(n)],
        "t2": [stamp + dt.timedelta(hours=31 * step + 30) for step in range(n)],
        "d": [day + dt.timedelta(days=7 * step) for step in range(n)],
        "d2": [day + dt.timedelta(days=7 * step + step % 3) for step in range(n)],
        "dur": [None if step == 3 else dt.timedelta(seconds=step * 1234.5) for step in range(n)],
        "tm": [dt.time(step, 1, 2) for step in range(n)],
        "bin": [b"x", b"yx", None, b"", b"xy", b"z", b"xx", b"y"],
        "bin8": [bytes([step] * 8) for step in range(n)],
        "lf": [[0.1, 1e16, -1e16], [], None, [None, 0.3], [0.1, 0.2, 0.3], [-0.0], [float("nan")], [None]],
        "l": [[1, 2], [], None, [3, None, 1], [2], [9, 9, 1], [0, 3], [7]],
        "one": [[step] for step in range(n)],
        "l2": [[1, 3], [1, 0], [2, 2], [0, 1], [1, 1], [2, 0], [0, 0], [1, 0]],
        "lb": [[True], [], None, [False, True], [None], [True, True], [False], [True]],
        "ls": [["a", "b"], [], None, ["b"], [""], ["a", "aab"], ["c"], ["b", "b"]],
        "st": [{"x": step, "y": s[step]} for step in range(n)],
        "kv": [[{"key": "a", "value": step}] for step in range(n)],
        "cat": ["c", "a", None, "b", "a", "c", "b", "a"],
        "lc": [["c", "a"], ["b"], None, ["a"], [], ["b", "c"], ["a"], ["b"]],
        "en": ["c", "a", None, "b", "a", "c", "b", "a"],
        "arr": [[step, (step * 5) % 3] for step in range(n)],
        "ab": [[step % 2 == 0, step % 3 == 0] for step in range(n)],
        "arrs": [["p", str(step)] for step in range(n)],
    }
    types = {
        "cat": pl.Categorical, "lc": pl.List(pl.Categorical), "en": pl.Enum(["a", "b", "c"]),
        "arr": pl.Array(pl.Int64, 2), "ab": pl.Array(pl.Boolean, 2), "arrs": pl.Array(pl.String, 2),
    }  # fmt: skip
    frame = pl.DataFrame(columns, schema_overrides=types)
    return frame.with_columns(z=pl.col("t").dt.replace_time_zone("UTC"))


FRAME = _frame()
NAMES = {"pl": pl, "cs": cs, "c": _Columns()}


def _nodes(expr: pl.Expr) -> list[object]:
    return [node for node, _ in containers(_tree(expr))]


def _table(file: str) -> dict[str, pl.Expr]:
    """The expressions of a table that this version of Polars can build."""
    built = {}
    for line in (HERE / file).read_text().splitlines():
        if not line.startswith("#"):
            try:
                built[line] = eval(line, NAMES)
            except (AttributeError, TypeError):
                continue  # a method or an option of another version
    return built


def test_aggregates_inside_lists_are_refused_where_polars_gives_them_to_other_lists() -> None:
    expr = pl.col("l").list.eval(pl.element().sum() + 1)
    lists = pl.DataFrame({"l": [[1, 2], []]}, schema_overrides={"l": pl.List(pl.Int64)})
    right = lists.select(expr).to_series().to_list() == [[4], [1]]
    assert misplaces_values(_tree(expr)) is not right
    if not right:
        with pytest.raises(PlanError, match="gives an aggregate to another list"):
            check(WithColumns.of(out=expr), FRAME.schema, "1 with_columns")


@pytest.mark.parametrize(
    ("evaluation", "one_value"),
    [
        (pl.element().sum() + pl.len(), True),
        (pl.element().null_count(), True),
        (pl.element() - pl.element().mean(), False),
        (pl.element().abs(), False),
        (pl.element().sort(), False),
    ],
)
def test_aggregates_are_told_from_what_gives_several_values(
    evaluation: pl.Expr, one_value: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arrowstream.plan.checks.exact._misplaces", lambda: True)
    expr = pl.col("l").list.eval(evaluation)
    assert any(map(misplaces_values, _nodes(expr))) is one_value
    if one_value:
        with pytest.raises(PlanError, match="gives an aggregate to another list"):
            check(WithColumns.of(out=expr), FRAME.schema, "1 with_columns")


def test_sums_of_lists_keep_their_type_where_all_are_null(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arrowstream.plan.checks.exact.has_two_types", lambda node, schema: True)
    lists = FRAME.select("lf", "l")
    for expr in (pl.col("lf").list.sum(), pl.col("l").list.mean(), pl.col("l").list.slice(0, 1)):
        step = runnable(Select.of(out=expr), lists.schema, "1 select")
        assert "is_not_null()" in step.describe()
        assert_frame_equal(step.apply(lists), lists.select(out=expr))


def test_a_function_of_lists_that_fails_on_nulls_has_one_type() -> None:
    schema = pl.Schema({"l": pl.List(pl.Int64())})
    strict = _tree(pl.col("l").list.join("-"))
    assert not has_two_types(strict, schema)
    inside = _tree(pl.col("l").list.get(float("nan")))
    assert not has_two_types(inside, schema)


pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

with pytest.warns() as _:
    ROW_WISE = _table("expressions_row_wise.txt")
    REFUSED = _table("expressions_refused.txt")
    WRONG = {text: expr for text, expr in ROW_WISE.items() if any(map(misplaces_values, _nodes(expr)))}
    ROW_WISE = {text: expr for text, expr in ROW_WISE.items() if text not in WRONG}
    REFUSED |= WRONG

# Polars 1 gives another type where all rows of a batch are null: refused for that.
NOT_IN_EVERY_VERSION = {
    *[("", name) for name in ("Bin", "Erf", "Erfc", "Mode", "Quantile", "Rechunk", "Truncate")],
    *[("ArrayExpr", name) for name in ("All", "Any", "Dot", "NUnique", "Reverse", "Slice", "Unique")],
    *[("BinaryExpr", name) for name in ("Get", "Head", "Slice", "Tail")],
    *[("Boolean", name) for name in ("HasNulls", "IsEmpty", "IsSorted")],
    *[("ListExpr", name) for name in ("All", "Any", "NUnique", "Reverse", "ToMap", "Unique")],
    *[("MapExpr", name) for name in ("ContainsKey", "Entries", "Get", "Keys", "Length", "Values")],
    *[("Sql", name) for name in ("Binary", "IsIn", "Round", "ToFloat")],
    *[("StructExpr", name) for name in ("Drop", "WithFields")],
    *[("TemporalExpr", name) for name in ("Datetime", "WithTimeUnit")],
    ("Categorical", "To"),
    ("StringExpr", "SplitRegex"),
}
"""Functions that a version of Polars lacks, or writes in another way."""

# Polars 1 gives another type where all rows of a batch are null: refused for that.
OTHER_VERSIONS: set[tuple[str, str]] = set()
OF_TWO_TYPES = {"c.arr.arr.unique(maintain_order=True)"} if pl.__version__.startswith("1.") else set()


@pytest.mark.untraced
@pytest.mark.parametrize("text", ROW_WISE)
def test_row_wise_expressions_are_allowed_and_no_cut_shows(text: str) -> None:
    step = runnable(Select.of(pl.struct(ROW_WISE[text]).alias("out")), FRAME.schema, "1 select")
    if text in OF_TWO_TYPES:
        with pytest.raises(SchemaError):
            check(step, FRAME.schema, "select")
        return
    schema = check(step, FRAME.schema, "select")
    whole = step.apply(FRAME)
    assert whole.schema == schema
    for width in (1, 3):
        parts = [step.apply(FRAME.slice(start, width)) for start in range(0, FRAME.height, width)]
        assert pl.concat(parts).equals(whole), width


@pytest.mark.parametrize("start", range(0, len(ROW_WISE), 12))
def test_row_wise_expressions_run_on_whichever_backend_is_chosen(start: int) -> None:
    few = [text for text in [*ROW_WISE][start : start + 12] if text not in OF_TWO_TYPES]
    step = Select.of(pl.struct(ROW_WISE[text]).alias(text) for text in few)
    halves = Source.from_frame([FRAME[:5], FRAME[5:]])
    found = Pipeline.builder().source(halves).select(step.exprs).collect_sync()
    expected = runnable(step, FRAME.schema, "1 select").apply(FRAME)
    assert [text for text in few if not found[text].equals(expected[text], check_dtypes=True)] == []


REWRITTEN = [
    pl.when(pl.col("i") > 1).then(1).otherwise(2) == 1,
    pl.coalesce(pl.lit(1), "i") + 1,
    pl.lit(1).fill_null(pl.col("i")) + 1,
    pl.col("i") / 3,
    pl.col("f") // 3,
    pl.col("f") % 3,
    2.0 ** pl.col("f"),
    pl.col("arr").arr.len() + 1,
    pl.col("lf").list.sum(),
    pl.col("l").list.eval(pl.element().filter(pl.element() > 1).sum()),
    pl.col("i").name.map(str.upper),
]
"""Expressions that run in another form, one for each kind of node that brings it about, and one of a function."""


def test_whether_an_expression_needs_another_form_shows_in_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    exprs = [*(pl.struct(expr).alias("out") for expr in ROW_WISE.values()), *REWRITTEN]

    def found() -> list[tuple[str, str, bool, bool]]:
        results = []
        for expr in exprs:
            step = Select.of(expr)
            (settled,) = steps_for_every_row((step,), FRAME.schema)
            results.append(
                (
                    str(for_every_row(expr, FRAME.schema, read=True)),
                    runnable(step, FRAME.schema, "1 select").describe(),
                    settled is step,
                    depend_on_neighbours((step,), FRAME.schema),
                )
            )
        return results

    by_text = found()
    anything = re.compile("")
    monkeypatch.setattr("arrowstream.expressions.every_row._CHANGED", anything)
    monkeypatch.setattr("arrowstream.expressions.constant_divisors._UNSURE", anything)
    monkeypatch.setattr("arrowstream.plan.checks.pieces.MAY_BE_INEXACT", anything)
    assert found() == by_text


@pytest.mark.parametrize("text", REFUSED)
def test_expressions_over_other_rows_are_refused(text: str) -> None:
    with pytest.raises(PlanError) as raised:
        check(WithColumns.of(out=REFUSED[text]), FRAME.schema, "with_columns")
    assert raised.value.stage == "with_columns"
    assert raised.value.hint


@cache
def all_row_wise() -> Expressions:
    """One step of all these expressions."""
    return runnable(
        WithColumns.of(
            pl.struct(expr).alias(f"out{number}")
            for number, (text, expr) in enumerate(ROW_WISE.items())
            if text not in OF_TWO_TYPES
        ),
        FRAME.schema,
        "1 with_columns",
    )


@settings(max_examples=examples(25))
@given(rows=st.lists(st.integers(0, 7), max_size=20), cuts=st.lists(st.integers(0, 20), max_size=4))
def test_any_rows_cut_anywhere_give_the_same(rows: list[int], cuts: list[int]) -> None:
    frame, step = FRAME[rows], all_row_wise()
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts = [step.apply(frame[start:stop]) for start, stop in pairwise(edges)]
    assert pl.concat(parts).equals(step.apply(frame))


FLOATS = st.floats(-1e8, 1e8, width=32) | st.sampled_from([0.0, -0.0, 1e16, -1e16, 0.1, float("nan")])
LISTS = st.none() | st.lists(st.none() | FLOATS, max_size=12) | st.lists(FLOATS, max_size=200)


def _runnable(texts: dict[str, pl.Expr]) -> dict[str, pl.Expr]:
    """Without those that an old Polars gets wrong, which are refused."""
    return {text: expr for text, expr in texts.items() if not any(map(misplaces_values, _nodes(expr)))}


OF_FLOATS = _runnable(
    {
        **{
            f"list.{name}": getattr(pl.col("l").list, name)()
            for name in ("sum", "mean", "median", "std", "var")
        },
        **{
            f"list.eval {name}": pl.col("l").list.eval(getattr(pl.element(), name)())
            for name in ("sum", "mean", "median", "std", "var", "product", "cum_sum", "skew")
        },
        "sum of a part": pl.col("l").list.eval(pl.element().filter(pl.element() > 0)).list.sum(),
        "sum as a number": 1 / pl.col("l").list.sum(),
        "sum_horizontal": pl.sum_horizontal("x", "y", 0.1),
        "mean_horizontal": pl.mean_horizontal("x", "y", 0.1),
    }
)


@settings(max_examples=examples(60))
@given(rows=st.lists(st.tuples(LISTS, st.none() | FLOATS, st.none() | FLOATS), min_size=1, max_size=6))
@pytest.mark.parametrize("dtype", [pl.Float64, pl.Float32])
def test_floats_are_added_in_one_order_whatever_the_rows_around(rows, dtype):
    schema = {"l": pl.List(dtype), "x": dtype, "y": dtype}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    step = Select.of(**OF_FLOATS)
    run = PolarsBackend().prepare(
        Segment((runnable(step, frame.schema, "1"),), frame.schema, frame.schema), Refusal(("not asked",))
    )
    whole = run(Batch(frame)).polars()
    for row in range(frame.height):
        alone = run(Batch(frame.slice(row, 1))).polars()
        assert repr(alone.rows()) == repr(whole.slice(row, 1).rows())
    # Of no values Polars gives 0.0 or -0.0, depending on the rows around; and in another order of additions, other
    # digits are lost where large values take each other away.
    values = [value for floats, *others in rows for value in (*(floats or ()), *others) if value]
    lost = max(map(abs, values), default=0.0) * 1e-5
    wanted = frame.select(step.exprs)
    rounded = [name for name in wanted.columns if name.endswith(("sum", "mean", "sum of a part"))]
    assert_frame_equal(whole.select(rounded), wanted.select(rounded), abs_tol=lost)
    others = whole.drop("sum as a number", *rounded)
    assert_frame_equal(others, wanted.select(others.columns))


def _functions(node: object) -> set[tuple[str, str]]:
    found = set()
    for part, _ in containers(node):
        if isinstance(part, dict) and "function" in part and "input" in part:
            family, name, _ = function_name(part["function"])
            found.add((family, str(name)))
    return found


def test_every_function_of_the_list_is_in_a_table() -> None:
    tried = set().union(
        *(_functions(tree) for tree in map(_tree, [*ROW_WISE.values(), *WRONG.values()]) if tree is not None)
    )
    known = {
        (family, name)
        for table in (row_wise.ROW_WISE, row_wise.WITHIN_A_LIST)
        for family in table
        for name in table[family]
    }
    assert known - tried <= NOT_IN_EVERY_VERSION


NAMESPACES = ["arr", "bin", "cat", "dt", "list", "map", "name", "str", "struct"]
NO_EXPRESSION = {"meta", "deserialize", "register_plugin", "pipe", "from_json", "ext", *NAMESPACES}


def test_every_method_of_polars_is_in_a_table() -> None:
    lines = "\n".join([*ROW_WISE, *REFUSED])
    space = SimpleNamespace(**{name: getattr(pl.col("a"), name, None) for name in NAMESPACES})
    methods = [name for name in dir(pl.Expr) if name not in NO_EXPRESSION]
    methods += [f"{name}.{method}" for name in NAMESPACES for method in dir(getattr(space, name))]
    public = [method for method in methods if "._" not in method and not method.startswith("_")]
    assert [method for method in public if f".{method}(" not in lines] == []
