"""The whitelist, over every method of Polars' expressions on the version at hand."""

import datetime as dt
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import polars.selectors as cs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arrowstream.errors import PlanError, SchemaError
from arrowstream.operators.select import Select
from arrowstream.operators.with_columns import WithColumns
from arrowstream.plan.checks.row_local import check

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


def _table(file: str) -> dict[str, pl.Expr]:
    """The expressions of a table that this version of Polars can build."""
    built = {}
    for line in (HERE / file).read_text().splitlines():
        if not line.startswith("#"):
            try:
                built[line] = eval(line, NAMES)
            except AttributeError:
                continue  # a method of another version
    return built


pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

with pytest.warns() as _:
    ROW_WISE = _table("expressions_row_wise.txt")
    REFUSED = _table("expressions_refused.txt")

# Polars 1 gives another type where a batch happens to be empty: refused for that.
WRONG_ON_NO_ROWS = (
    {
        "c.l.list.gather([0], null_on_oob=True)",
        "c.l.list.gather(c.l2, null_on_oob=True)",
    }
    if pl.__version__.startswith("1.")
    else set()
)


@pytest.mark.parametrize("text", ROW_WISE)
def test_row_wise_expressions_are_allowed_and_no_cut_shows(text: str) -> None:
    step = Select.of(pl.struct(ROW_WISE[text]).alias("out"))
    if text in WRONG_ON_NO_ROWS:
        with pytest.raises(SchemaError):
            check(step, FRAME.schema, "select")
        return
    schema = check(step, FRAME.schema, "select")
    whole = step.apply(FRAME)
    assert whole.schema == schema
    for width in (1, 3):
        parts = [step.apply(FRAME.slice(start, width)) for start in range(0, FRAME.height, width)]
        assert pl.concat(parts).equals(whole), width


@pytest.mark.parametrize("text", REFUSED)
def test_expressions_over_other_rows_are_refused(text: str) -> None:
    with pytest.raises(PlanError) as raised:
        check(WithColumns.of(out=REFUSED[text]), FRAME.schema, "with_columns")
    assert raised.value.stage == "with_columns"
    assert raised.value.hint


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.integers(0, 7), max_size=20), cuts=st.lists(st.integers(0, 20), max_size=4))
def test_any_rows_cut_anywhere_give_the_same(rows: list[int], cuts: list[int]) -> None:
    frame = FRAME[rows]
    step = WithColumns.of(
        pl.struct(expr).alias(f"out{number}")
        for number, (text, expr) in enumerate(ROW_WISE.items())
        if text not in WRONG_ON_NO_ROWS
    )
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts = [step.apply(frame[start:stop]) for start, stop in pairwise(edges)]
    assert pl.concat(parts).equals(step.apply(frame))


NAMESPACES = ["arr", "bin", "cat", "dt", "list", "map", "name", "str", "struct"]
NO_EXPRESSION = {"meta", "deserialize", "register_plugin", "pipe", "from_json", "ext", *NAMESPACES}


def test_every_method_of_polars_is_in_a_table() -> None:
    lines = "\n".join([*ROW_WISE, *REFUSED])
    space = SimpleNamespace(**{name: getattr(pl.col("a"), name, None) for name in NAMESPACES})
    methods = [name for name in dir(pl.Expr) if name not in NO_EXPRESSION]
    methods += [f"{name}.{method}" for name in NAMESPACES for method in dir(getattr(space, name))]
    public = [method for method in methods if "._" not in method and not method.startswith("_")]
    assert [method for method in public if f".{method}(" not in lines] == []
