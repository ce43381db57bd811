"""A value that is alone in its batch, list, group or file is computed as it is among others, to the last bit.

Polars multiplies several floats by the reciprocal of a constant divisor, but divides a single one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import reduce
from math import ldexp
from pathlib import Path
from random import Random

import polars as pl
import pytest
from effort import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from strategies import cuts

from arrowstream import Builder, Pipeline, Source
from arrowstream.backends import polars as polars_backend
from arrowstream.expressions.among_others import among_others
from arrowstream.expressions.constant_divisors import depends_on_neighbours, divides_by, with_reciprocals
from arrowstream.expressions.every_row import for_every_row
from arrowstream.expressions.rebuild import NotRebuilt, rebuild
from arrowstream.expressions.tree import tree_of

FRAME = pl.DataFrame(
    {
        "t": [0, 1, 40, 41, 80, 120, 121, 160, 200],
        "k": ["a", "a", "b", "a", "b", "c", "a", "b", "d"],
        "i": [5, 5, 10, 7, 5, 0, 11, 5, 20],
        "x": [5.0, 5.0, 1.25, 0.75, 2.5, 5.0, 10.0, -1.25, 0.75],
        "y": [3.0, 4.0, 3.0, 3.0, 3.0, 3.0, 6.0, 3.0, 3.0],
        "d": [timedelta(microseconds=n) for n in (5, 10, 5, 20, 5, 40, 5, 5, 7)],
        "l": [[5.0], [], None, [5.0], [], [1.1, 5.0], [], [], [0.7]],
    }
).with_columns(f=pl.col("x").cast(pl.Float32), s=pl.struct("x"))
x, y, third = pl.col("x"), pl.col("y"), pl.col("x") / 3

ROW_WISE: dict[str, pl.Expr] = {
    "a float": third,
    "an integer": pl.col("i") / 3,
    "single precision": pl.col("f") / 3,
    "by single precision": pl.col("f") / pl.lit(0.7, pl.Float32),
    "rounded down": x // 0.7,
    "negative, rounded down": (-x) // 0.7,
    "remainder": (-x) % 0.7,
    "by a computed constant": x / (pl.lit(1) + 2),
    "twice": x / 3 / 0.7,
    "of a constant": 3 / x,
    "by a column": x / y,
    "a power by a column": x**y,
    "a duration": pl.col("d") / pl.lit(timedelta(microseconds=3)),
    "a duration in another unit": pl.col("d") / pl.lit(timedelta(milliseconds=3)).cast(pl.Duration("ms")),
    "a truth": (x > 3) / 3,
    "in a list": pl.col("l").list.eval(pl.element() / 3),
    "in a struct": pl.col("s").struct.with_fields(pl.field("x") / 3),
    "in a list made of it": pl.concat_list(third, x),
    "in a branch": pl.when(x > 2).then(third).otherwise(7.0),
    "compared": third >= 5 / 3,
    "rounded": (third * 1e15).round(0),
    "an element": pl.col("l").list.first() / 3,
}
"""Expressions over one row."""

AGGREGATES: dict[str, pl.Expr] = {
    "of quotients": third.max(),
    "of quotients of integers": (pl.col("i") / 3).max(),
    "of remainders": ((-x) % 0.7).min(),
    "of powers": (x**y).max(),
    "of quotients by a column": (x / y).max(),
    "of chosen quotients": third.filter(x > 2).max(),
    "of those with a quotient": x.filter(third >= 5 / 3).count(),
    "divided": x.sum() / 3,
    "an integer divided": pl.col("i").sum() / 3,
    "a mean divided": x.mean() / 3,
    "a count divided": pl.len() / 3,
    "a remainder": x.sum() % 0.7,
    "an extreme divided": (x.max() + 1) / 3,
    "kept and divided": x.median() / 3,
    "kept quotients": third.median(),
    "chosen and divided": (x.filter(x > 2) / 3).max(),
    "a few divided": (x.top_k(1) / 3).sum(),
    "all quotients": third,
    "the first divided": x.first() / 3,
    "by a chosen constant": (x / pl.when(y > 3).then(0.7).otherwise(3.0)).max(),
    "a choice compared": (pl.lit("one") == pl.when(y > 3).then(pl.lit("one")).otherwise(pl.lit("b"))).sum(),
    # Of 1.3, the third power and the product of three differ.
    "a power": (x.sum() + 0.55) ** y.first(),
    "a mean": x.mean(),
}
"""Aggregations, in which sums of `x` are exact in any order."""

Steps = Callable[[Builder], Builder]

CUTS = {
    "whole": [FRAME],
    "alone": [FRAME[place : place + 1] for place in range(FRAME.height)],
    "one alone": [FRAME[:3], FRAME[3:4], FRAME[4:]],
}
MICROS = timedelta(microseconds=1)


def rows(steps: Steps, parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    source = Source.from_frame(list(parts)).with_event_time("t")
    return steps(Pipeline.builder().source(source)).collect_sync()


def assert_same(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    assert_frame_equal(found, expected, check_exact=True)


@pytest.mark.untraced
@pytest.mark.parametrize("name", ROW_WISE)
def test_expressions_of_a_row(name: str) -> None:
    expr = ROW_WISE[name]
    assert_same(rows(lambda b: b.with_columns(out=expr), CUTS["alone"]), FRAME.with_columns(out=expr))


@pytest.mark.parametrize("cut", CUTS)
def test_all_expressions_of_a_row(cut: str) -> None:
    assert_same(rows(lambda b: b.with_columns(**ROW_WISE), CUTS[cut]), FRAME.with_columns(**ROW_WISE))


@given(parts=cuts(FRAME), pin=st.sampled_from(["auto", "polars"]))
@settings(max_examples=examples(20))
def test_expressions_of_rows_under_any_cut(parts: list[pl.DataFrame], pin: str) -> None:
    expected = FRAME.with_columns(**ROW_WISE)
    assert_same(rows(lambda b: b.with_columns(**ROW_WISE).backend(pin), parts), expected)


@pytest.mark.untraced
@pytest.mark.parametrize("name", ROW_WISE)
def test_a_row_that_a_filter_leaves_in_a_query_of_many(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polars_backend, "_LAZY_FROM", 1)
    expr = ROW_WISE[name]
    found = rows(lambda b: b.filter(pl.col("t") == 0).with_columns(out=expr).backend("polars"), [FRAME])
    assert_same(found, FRAME.with_columns(out=expr)[:1])


@pytest.mark.parametrize("cut", CUTS)
def test_neighbours_of_explode_and_unnest(cut: str) -> None:
    def steps(b: Builder) -> Builder:
        made = b.select("t", out=pl.concat_list(third, x)).explode("out").with_columns(out=pl.col("out") / 3)
        return made.with_columns(z=pl.struct(u=pl.col("out") / 0.7)).unnest("z")

    frame = FRAME.select("t", out=pl.concat_list(third, x)).explode("out").with_columns(out=pl.col("out") / 3)
    assert_same(rows(steps, CUTS[cut]), frame.with_columns(u=pl.col("out") / 0.7))


@pytest.mark.parametrize("cut", CUTS)
def test_conditions_of_filters_and_branches(cut: str) -> None:
    side = pl.when(third == 5 / 3).then(pl.lit("exact")).otherwise(pl.lit("rounded"))

    def steps(b: Builder) -> Builder:
        split = b.filter(third < 5 / 3).split(side)
        parts = split.branch("exact", lambda b: b.with_columns(w=third)).branch(
            "rounded", lambda b: b.filter(third * 3 != 5).with_columns(w=third)
        )
        return parts.merge()

    expected = FRAME.filter(third < 5 / 3).filter(third * 3 != 5).with_columns(w=third)
    assert_same(rows(steps, CUTS[cut]).sort("t"), expected)


def grouped(by: Sequence[str | pl.Expr], expr: pl.Expr) -> pl.DataFrame:
    return FRAME.group_by(by, maintain_order=True).agg(out=expr)


@pytest.mark.untraced
@pytest.mark.parametrize("name", AGGREGATES)
def test_reduce(name: str) -> None:
    expr, expected = AGGREGATES[name], grouped(["k"], AGGREGATES[name])
    for cut in ("alone", "one alone"):
        assert_same(rows(lambda b: b.reduce(by="k", out=expr), CUTS[cut]), expected)
    updates = rows(lambda b: b.reduce(by="k", out=expr, emit="updates"), CUTS["alone"])
    assert_same(updates.unique("k", keep="last", maintain_order=True).sort("k"), expected)
    evicting = rows(lambda b: b.reduce(by="k", out=expr, max_keys=9, on_full="evict"), CUTS["one alone"])
    assert_same(evicting, expected)


@pytest.mark.untraced
@pytest.mark.parametrize("name", AGGREGATES)
def test_one_group_has_the_result_that_it_has_among_others(name: str) -> None:
    expr = AGGREGATES[name]
    for key in "abcd":
        found = rows(lambda b, key=key: b.filter(pl.col("k") == key).reduce(by="k", out=expr), [FRAME])
        assert_same(found, grouped(["k"], expr).filter(pl.col("k") == key))


@pytest.mark.untraced
@pytest.mark.parametrize("name", AGGREGATES)
def test_reduce_of_all_rows_gives_what_select_gives(name: str) -> None:
    expr = AGGREGATES[name]
    whole = FRAME.select(out=expr)
    expected = whole if whole.height == 1 else FRAME.select(out=expr.implode())
    for cut in ("alone", "one alone"):
        assert_same(rows(lambda b: b.reduce(out=expr), CUTS[cut]), expected)


SUMS = {
    "sum of quotients": third.sum(),
    "mean of quotients": third.mean(),
    "mean of remainders": ((-x) % 0.7).mean(),
}
"""Aggregations that Polars computes in another order."""


@pytest.mark.untraced
@pytest.mark.parametrize("by", [None, "k"])
def test_sums_in_the_order_of_the_rows(by: str | None) -> None:
    def steps(b: Builder) -> Builder:
        return b.reduce(by=by, **SUMS)

    expected = rows(steps, [FRAME])
    for parts in CUTS.values():
        assert_same(rows(steps, parts), expected)
    keys = FRAME["k"].to_list() if by else ["all"] * FRAME.height
    totals = dict.fromkeys(keys, 0.0)
    for key, value in zip(keys, FRAME.select(third).to_series(), strict=True):
        totals[key] += value
    assert expected["sum of quotients"].to_list() == list(totals.values())


WINDOWS: dict[str, Callable[[Builder], object]] = {
    "rows": lambda b: b.window(rows=2),
    "rows of a key": lambda b: b.window(rows=2, by="k"),
    "time": lambda b: b.window(size=40 * MICROS, on="t"),
    "time and key": lambda b: b.window(size=40 * MICROS, on="t", by="k"),
    "hopping": lambda b: b.window(size=80 * MICROS, every=40 * MICROS, on="t", by="k"),
    "sessions": lambda b: b.window(session=10 * MICROS, on="t"),
    "sessions of a key": lambda b: b.window(session=50 * MICROS, on="t", by="k"),
}


IN_WINDOWS = [
    (name, [*WINDOWS][(place + turn) % len(WINDOWS)])
    for place, name in enumerate(AGGREGATES | SUMS)
    for turn in (0, 3)
]
"""Every aggregation in two kinds of windows, and every kind with a third of the aggregations."""


@pytest.mark.untraced
@pytest.mark.parametrize(("name", "window"), IN_WINDOWS)
def test_windows(name: str, window: str) -> None:
    def steps(b: Builder) -> Builder:
        return WINDOWS[window](b).agg(out=(AGGREGATES | SUMS)[name])  # type: ignore[attr-defined, no-any-return]

    # More rows than the windows under test, so that every result has others next to it.
    later = FRAME.with_columns(pl.col("t") + 1_000, k=pl.lit("z"))
    expected = rows(steps, [pl.concat([FRAME, later])])
    order = [column for column in expected.columns if column != "out"]
    for cut in ("alone", "one alone"):
        found = rows(steps, [*CUTS[cut], later])
        assert_same(found.sort(order, maintain_order=True), expected.sort(order, maintain_order=True))


@given(parts=cuts(FRAME), window=st.sampled_from(sorted(WINDOWS)), name=st.sampled_from(sorted(AGGREGATES)))
@settings(max_examples=examples(60))
def test_windows_under_any_cut(parts: list[pl.DataFrame], window: str, name: str) -> None:
    def steps(b: Builder) -> Builder:
        return WINDOWS[window](b).agg(out=AGGREGATES[name])  # type: ignore[attr-defined, no-any-return]

    assert_same(rows(steps, parts), rows(steps, [FRAME]))


@pytest.mark.parametrize("name", AGGREGATES)
def test_windows_of_time_give_what_groups_give(name: str) -> None:
    start = (pl.col("t") // 40 * 40).alias("window_start")
    found = rows(lambda b: b.window(size=40 * MICROS, on="t").agg(out=AGGREGATES[name]), CUTS["alone"])
    assert_same(found.drop("window_end"), grouped([start], AGGREGATES[name]))


@pytest.mark.parametrize("name", ["sum", "min", "max"])
def test_windows_of_single_rows_with_equal_divisors(name: str) -> None:
    """Polars joins single rows with equal values as one value and a length, and divides by that as by a constant."""
    parts = [row.with_columns(y=pl.lit(3.0)) for row in CUTS["alone"]]
    found = rows(lambda b: b.window(size=40 * MICROS, on="t").agg(out=getattr(x / y, name)()), parts)
    windows: dict[int, list[float]] = {}
    for start, value in FRAME.select(pl.col("t") // 40 * 40, "x").rows():
        windows.setdefault(start, []).append(value / 3.0)
    # In Python 3.12, sum() adds floats in another way.
    fold = {"sum": lambda values: reduce(float.__add__, values), "min": min, "max": max}[name]
    assert dict(found.select("window_start", "out").rows()) == {
        start: fold(each) for start, each in windows.items()
    }


@pytest.mark.untraced
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("by", [None, "k"])
def test_scan(by: str | None, cut: str) -> None:
    columns = {
        "plain": third,
        "over": third.cum_sum(),
        "after": x.cum_sum() / 3,
        "power": x.cum_max() ** y,
        "of powers": (x**y).cum_max(),
        "ratio": x.cum_max() / y,
        "remainder": ((-x) % 0.7).cum_min(),
    }
    over = {name: expr.over(by) if by and name != "plain" else expr for name, expr in columns.items()}
    if by:
        over["power"], over["after"] = x.cum_max().over(by) ** y, x.cum_sum().over(by) / 3
    assert_same(rows(lambda b: b.scan(by=by, **columns), CUTS[cut]), FRAME.with_columns(**over))


@pytest.mark.untraced
@pytest.mark.parametrize("kind", ["parquet", "ipc", "csv", "ndjson"])
@pytest.mark.parametrize("size", [1, 3])
def test_files_of_few_rows(kind: str, size: int, tmp_path: Path) -> None:
    frame = FRAME.select("t", "i", "x", "y")
    for number, part in enumerate(frame.iter_slices(size)):
        getattr(part, f"write_{kind}")(tmp_path / f"{number}.{kind}")
    suffix = {"parquet": "parquet", "ipc": "ipc", "csv": "csv", "ndjson": "ndjson"}[kind]
    steps = Pipeline.builder().source(Source.from_file(str(tmp_path / f"*.{suffix}")))
    found = steps.filter(third > 0.3).with_columns(a=third, b=x**y, c=(-x) % 0.7).filter(pl.col("a") < 5 / 3)
    wanted = frame.filter(third > 0.3).with_columns(a=third, b=x**y, c=(-x) % 0.7).filter(pl.col("a") < 5 / 3)
    assert_same(found.collect_sync().sort("t"), wanted.sort("t"))


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_filter_that_divides_by_a_partition(kind: str, tmp_path: Path) -> None:
    frame = FRAME.select("t", "x", p=pl.col("y").cast(pl.Int64))
    for key, part in frame.group_by("p"):
        folder = tmp_path / f"p={key[0]}"
        folder.mkdir()
        getattr(part.drop("p"), f"write_{kind}")(folder / f"part.{kind}")
    source = Source.from_file(str(tmp_path), format=kind)
    p = pl.col("p")
    for predicate in (x / p >= 5 / 3, x / p < 5 / 3, (-x) % (p * 0.1) > 0.1, x**p > 1.3, p / 3 >= 1):
        found = Pipeline.builder().source(source).filter(predicate).select("t", "x", "p").collect_sync()
        assert_same(found.sort("t"), frame.filter(predicate))
        renamed = Pipeline.builder().source(source).rename({"p": "q"}).filter(x / pl.col("q") < 5 / 3)
        assert_same(renamed.select("t", "x").collect_sync().sort("t"), frame.filter(x / p < 5 / 3).drop("p"))


def test_a_constant_column_of_a_frame_divides_as_values() -> None:
    """Polars keeps it as one value and a length."""
    frame = FRAME.drop("y").with_columns(y=pl.lit(3.0))
    expected = FRAME.with_columns(y=pl.lit(pl.Series([3.0] * FRAME.height)))
    quotient = x / y
    for parts in ([frame], [frame[:1], frame[1:]], [frame[:4], frame[4:5], frame[5:]]):
        assert_same(
            rows(lambda b: b.scan(out=quotient.cum_max()), parts).select("out"),
            expected.select(out=quotient.cum_max()),
        )
        found = rows(lambda b: b.reduce(by="k", out=quotient.max()), parts)
        assert_same(found, expected.group_by("k", maintain_order=True).agg(out=quotient.max()))


def test_what_has_one_form_stays_as_it_is() -> None:
    for expr in (pl.col("i") // 3, pl.col("i") % 3, pl.col("d") / 3, x / y, 3 / x, x * 3, pl.lit(1) / 3):
        tree = tree_of(expr)
        assert with_reciprocals(tree, FRAME.schema) == tree
        assert not depends_on_neighbours(expr, FRAME.schema)


def test_what_cannot_be_written_as_a_product_depends_on_neighbours() -> None:
    many = pl.col("x", "f") / 3
    python = x.map_elements(lambda value: value, return_dtype=pl.Float64) / 3
    for expr in (
        many,
        python,
        x**y,
        pl.col("missing") / 3,
        pl.col("l").list.eval(pl.element() ** pl.element()),
    ):
        assert depends_on_neighbours(expr, FRAME.schema)
        assert for_every_row(expr, FRAME.schema) is expr
    assert not depends_on_neighbours(pl.col("i") ** pl.col("i"), FRAME.schema)


def test_fields_of_structs_in_the_forms_of_all_versions() -> None:
    quotient = tree_of(pl.field("x") / 3)
    structs = tree_of(pl.col("s"))
    older = {"Function": {"input": [structs, quotient], "function": {"StructExpr": "WithFields"}}}
    newer = {"StructEval": {"expr": structs, "evaluation": [quotient], "variant": "WithFields"}}
    for tree in (older, newer):
        assert '"Multiply"' in json.dumps(with_reciprocals(tree, FRAME.schema))


def test_deep_expressions_stay_as_they_are() -> None:
    deep = third
    for _ in range(60):
        deep = deep + 1
    assert for_every_row(deep, FRAME.schema) is deep
    nearly = x
    for _ in range(40):
        nearly = nearly / 3
    assert with_reciprocals(tree_of(nearly), FRAME.schema) == tree_of(nearly)
    assert divides_by(x.map_elements(lambda value: value, return_dtype=pl.Float64), {"y"})
    assert not divides_by(x / y, {"x"})
    assert divides_by(x / pl.all(), {"x"})


@example(4.9012898140042e-293)
@example(1.2345678e-25)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_constants_stay_the_same_to_the_last_bit(value: float) -> None:
    """Polars reads some floats of 17 digits from JSON as their neighbours."""
    tree = tree_of(pl.lit(value))
    with suppress(NotRebuilt):
        assert pl.select(rebuild(tree)).item() == value


def test_a_chunk_of_one_row_is_computed_as_among_others() -> None:
    expr = (pl.col("x") + 0.55) ** pl.col("y")
    frame = pl.DataFrame({"x": [10.0, 10.0, 1.0, 2.0, 3.0], "y": [3.0] * 5})
    expected = frame.select(out=expr)
    chunks = pl.concat([frame[:1], frame[1:]], rechunk=False)
    assert not chunks.select(out=expr).equals(expected)
    assert among_others(chunks, lambda rows: rows.select(out=expr)).equals(expected)


def test_nearly_all_constants_can_be_rebuilt() -> None:
    random, refused = Random(0), 0
    for _ in range(1_000):
        try:
            rebuild(tree_of(pl.lit(ldexp(random.uniform(0.5, 1), random.randint(-95, 95)))))
        except NotRebuilt:
            refused += 1
    assert refused < 5


def test_a_constant_of_17_digits_is_compared_as_it_is() -> None:
    rounded = pl.Series([5.0, 5.0]) / 3
    assert rounded[0] == 1.6666666666666665
    text = pl.lit('"Float": 1.6666666666666665')
    for expr in (third == rounded[0], pl.when(text.str.len_chars() == 27).then(third) == rounded[0]):
        assert rows(lambda b, expr=expr: b.filter(expr), [FRAME[:2], FRAME[5:6]])["x"].to_list() == [5.0] * 3
    extreme = 1.2538972770293687e-85
    with pytest.raises(NotRebuilt, match="as another number"):
        rebuild(tree_of(pl.lit(extreme)))
    found = rows(lambda b: b.reduce(out=x.max() * extreme), [FRAME[:2], FRAME[2:]])
    assert found.item() == 10.0 * extreme
