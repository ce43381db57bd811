"""`select`, `with_columns`, `filter`, `drop`, `rename`, `cast`, `explode`, `unnest` against Polars itself."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import polars as pl
import polars.selectors as cs
import pytest

from arrowstream.errors import PlanError
from arrowstream.operators.base import Expressions
from arrowstream.operators.cast import Cast
from arrowstream.operators.drop import Drop
from arrowstream.operators.explode import Explode
from arrowstream.operators.filter import Filter
from arrowstream.operators.filter_map import FilterMap
from arrowstream.operators.flat_map import FlatMap
from arrowstream.operators.map import MapFunction
from arrowstream.operators.map_zero_copy import MapZeroCopy
from arrowstream.operators.rename import Rename
from arrowstream.operators.select import Select
from arrowstream.operators.unnest import Unnest
from arrowstream.operators.with_columns import WithColumns
from arrowstream.plan.composites.router import Router

a, b = pl.col("a"), pl.col("b")
FRAME = pl.DataFrame(
    {
        "a": [1, None, 3],
        "b": [1.5, 2.5, None],
        "flag": [True, None, False],
        "two words": ["x", "y", None],
        "l": [[1, 2], None, [3]],
        "m": [["p", "q"], None, ["r"]],
        "st": [{"x": 1, "y": "p"}, {"x": 2, "y": None}, None],
    }
)

Reference = Callable[[pl.LazyFrame], pl.LazyFrame]

CASES: dict[str, tuple[Expressions, Reference]] = {
    "select(a, b)": (Select.of("a", b), lambda f: f.select("a", b)),
    "select(a, twice = a * 2)": (Select.of("a", twice=a * 2), lambda f: f.select("a", twice=a * 2)),
    "select(b, a)": (Select.of(name for name in ("b", "a")), lambda f: f.select(["b", "a"])),
    "select(a, x = b)": (Select.of(["a"], x="b"), lambda f: f.select(["a"], x="b")),
    "select(a, 1)": (Select.of("a", 1), lambda f: f.select("a", pl.lit(1))),
    "select(a, [1, 2])": (Select.of("a", [1, 2]), lambda f: f.select("a", [1, 2])),
    "select(all())": (Select.of(pl.all()), lambda f: f.select(pl.all())),
    "with_columns(a = a + b)": (
        WithColumns.of((a + b).alias("a")),
        lambda f: f.with_columns((a + b).alias("a")),
    ),
    "with_columns(c = 7)": (WithColumns.of(c=7), lambda f: f.with_columns(c=7)),
    "with_columns(a = b, b = a)": (WithColumns.of(a=b, b="a"), lambda f: f.with_columns(a=b, b="a")),
    "filter(a > 1)": (Filter.of(a > 1), lambda f: f.filter(a > 1)),
    "filter(flag)": (Filter.of("flag"), lambda f: f.filter("flag")),
    "filter(flag, a < 3)": (Filter.of(["flag", a < 3]), lambda f: f.filter("flag", a < 3)),
    'filter(a == 1, col("two words") == "x")': (
        Filter.of(a=1, **{"two words": "x"}),
        lambda f: f.filter(a=1, **{"two words": "x"}),
    ),
    "drop(a)": (Drop.of("a"), lambda f: f.drop("a")),
    "drop(a, b, l)": (Drop.of(["a", b], pl.col("l")), lambda f: f.drop("a", "b", "l")),
    "drop(cs.boolean(), a)": (
        Drop.of(cs.by_dtype(pl.Boolean), "a"),
        lambda f: f.drop(cs.by_dtype(pl.Boolean), "a"),
    ),
    'rename(a -> id, col("two words") -> word)': (
        Rename.of({"a": "id", "two words": "word"}),
        lambda f: f.rename({"a": "id", "two words": "word"}),
    ),
    "rename(a -> b, b -> a)": (Rename.of({"a": "b", "b": "a"}), lambda f: f.rename({"a": "b", "b": "a"})),
    "cast(a: Float64)": (Cast.of({"a": float}), lambda f: f.cast({"a": float})),
    "cast(a: Int8, b: Float32)": (
        Cast.of({"a": pl.Int8, cs.by_name("b"): pl.Float32()}),
        lambda f: f.cast({"a": pl.Int8, "b": pl.Float32}),
    ),
    "cast(cs.by_dtype([Int64]): Int16)": (
        Cast.of({pl.Int64: pl.Int16}),
        lambda f: f.cast({pl.Int64: pl.Int16}),
    ),
    "cast(cs.by_dtype([Float64]): Int16)": (
        Cast.of({pl.Float64(): pl.Int16}),
        lambda f: f.cast({pl.Float64: pl.Int16}),
    ),
    "cast(a: Datetime(time_unit='us', time_zone=None))": (
        Cast.of({"a": pl.Datetime}),
        lambda f: f.cast({"a": pl.Datetime}),
    ),
    "explode(l)": (Explode.of("l"), lambda f: f.explode("l")),
    "explode(l, m)": (Explode.of("l", "m"), lambda f: f.explode("l", "m")),
    "unnest(st)": (Unnest.of("st"), lambda f: f.unnest("st")),
}  # fmt: skip


@pytest.mark.untraced
@pytest.mark.parametrize("text", CASES)
def test_as_in_polars_over_eager_and_lazy_frames(text: str) -> None:
    step, reference = CASES[text]
    wanted = reference(FRAME.lazy()).collect()
    assert step.describe() == text
    assert step.apply(FRAME).equals(wanted)
    assert step.apply(FRAME.lazy()).collect().equals(wanted)
    assert step.apply(FRAME).schema == wanted.schema


def test_all_columns_at_once_and_values_that_do_not_fit() -> None:
    step = Cast.of(pl.Int8, strict=False)
    assert step.describe() == "cast(all(): Int8, strict=False)"
    assert step.apply(pl.DataFrame({"x": [1, 300], "y": [2, 3]})).rows() == [(1, 2), (None, 3)]
    with pytest.raises(pl.exceptions.InvalidOperationError):
        Cast.of(pl.Int8).apply(pl.DataFrame({"x": [300]}))


@pytest.mark.parametrize("native", [True, False])
def test_an_empty_list_gives_no_row_and_a_null_one_a_null(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pl.DataFrame(
        {"k": [1, 2, 3], "l": [[1, 2], [], None], "m": [["a", "b"], [], None]},
        schema_overrides={"l": pl.List(pl.Int64)},
    )
    if not native:
        monkeypatch.setattr("arrowstream.operators.explode._TAKES_EMPTY_AS_NULL", False)
    assert Explode.of("l").apply(frame.drop("m")).rows() == [(1, 1), (1, 2), (3, None)]
    wanted = [(1, 1, "a"), (1, 2, "b"), (3, None, None)]
    assert Explode.of("l", cs.by_name("m")).apply(frame).rows() == wanted
    assert Explode.of("l", "m").apply(frame.lazy()).collect().rows() == wanted


@pytest.mark.parametrize("native", [True, False])
def test_arrays_explode_too(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not native:
        monkeypatch.setattr("arrowstream.operators.explode._TAKES_EMPTY_AS_NULL", False)
    frame = pl.DataFrame({"l": [[1, 2], None]}, schema={"l": pl.Array(pl.Int64, 2)})
    assert Explode.of("l").apply(frame).rows() == [(1,), (2,), (None,)]


def test_lists_of_unequal_length_fail() -> None:
    with pytest.raises(pl.exceptions.PolarsError):
        Explode.of("l", "m").apply(pl.DataFrame({"l": [[1, 2]], "m": [[1, 2, 3]]}))


def nothing(frame: Any) -> Any:
    return frame


@pytest.mark.untraced
@pytest.mark.parametrize(
    "step",
    [
        *(step for step, _ in CASES.values() if step.expressions()),
        *(MapFunction(nothing), FlatMap(nothing), FilterMap(nothing), MapZeroCopy((nothing,))),
        Router(a, ("1",)),
    ],
    ids=lambda step: step.describe(),
)
def test_steps_are_equal_only_to_themselves(step: Any) -> None:
    """Expressions compare to an expression, so that nobody could tell whether two steps are equal."""
    other = replace(step)
    assert step.describe() == other.describe()
    assert step == step and step != other
    assert {step: 1}.get(other) is None


def test_expressions_are_what_the_check_must_see() -> None:
    assert len(Select.of("a", x=b).expressions()) == 2
    assert len(WithColumns.of("a").expressions()) == 1
    assert len(Filter.of(a > 1, b=2).expressions()) == 2
    (cast,) = Cast.of({"a": pl.Int8}, strict=False).expressions()
    assert FRAME.select(cast).schema == {"a": pl.Int8}
    for step in (Drop.of("a"), Rename.of({"a": "b"}), Explode.of("l"), Unnest.of("st")):
        assert step.expressions() == ()


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "nothing to select": (lambda: Select.of(), "select() has no expression"),
    "an empty list": (lambda: Select.of([]), "select() has no expression"),
    "no new column": (lambda: WithColumns.of(), "with_columns() has no expression"),
    "a mapping": (lambda: WithColumns.of({"x": a}), "with_columns(**mapping)"),
    "an object": (lambda: Select.of(object()), "found: object <object"),
    "a type": (lambda: Select.of(pl.Int64), "cannot make an expression"),
    "an unfinished when": (lambda: Select.of(pl.when(a > 1)), "cannot make an expression"),
    "no predicate": (lambda: Filter.of(), "filter() has no predicate"),
    "a mask": (lambda: Filter.of([True, False]), "mask of booleans"),
    "a Series": (lambda: Filter.of(pl.Series([True])), "found: Series"),
    "no column": (lambda: Drop.of(), "drop() names no column"),
    "a number": (lambda: Explode.of(3), "found: int 3"),
    "a computed column": (lambda: Drop.of(a.sum()), "compute with with_columns(...) first"),
    "no name": (lambda: Rename.of({}), "at least one pair"),
    "a function": (lambda: Rename.of(str.upper), "takes a mapping of names"),
    "a new name that is none": (lambda: Rename.of({"a": 1}), "takes a mapping of names"),
    "no cast": (lambda: Cast.of({}), "cast() names no column"),
    "no type": (lambda: Cast.of({"a": "x"}), "found: str 'x'"),
    "a type that is not whole": (lambda: Cast.of(pl.Decimal), "cast() takes types"),
    "a type from a column": (lambda: Cast.of({"a": pl.dtype_of("b")}), "goes into with_columns"),
    "a wrong key": (lambda: Cast.of({3: pl.Int8}), "cast() takes columns"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_are_found_where_they_are_written(case: str) -> None:
    build, said = WRONG[case]
    with pytest.raises(PlanError) as raised:
        build()
    assert said in str(raised.value)


def test_a_function_as_predicate_is_named_and_sent_to_map() -> None:
    def cheap(row: Any) -> bool:
        return bool(row)

    with pytest.raises(PlanError, match=r"filter\(\) takes boolean expressions") as caught:
        Filter.of(cheap)
    assert str(caught.value.found).endswith(".cheap")
    assert str(caught.value.hint).startswith(".map(fn) calls a function of a batch")
