"""Types that Polars knows only once rows are there are refused by `build()`, in every step."""

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from arrowstream import Builder, Pipeline, Source
from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.errors import SchemaError
from arrowstream.testing import TestSink

FRAME = pl.DataFrame({"k": [1, 1, 2], "b": [True, False, True], "x": [1, 2, 3]})
TWICE = pl.col("b") * 2
CHOSEN = pl.col("b") * pl.when(pl.col("x") > 1).then(1).otherwise(0)

STEPS: dict[str, tuple[Callable[[Builder], Builder], Any]] = {
    "select": (lambda rows: rows.select(v=TWICE), [2, 0, 2]),
    "reduce": (lambda rows: rows.reduce(v=TWICE.sum(), by="k"), [2, 2]),
    "reduce of a choice": (lambda rows: rows.reduce(v=CHOSEN.sum(), by="k"), [0, 1]),
    "reduce, kept": (lambda rows: rows.reduce(v=TWICE.median(), by="k"), [1.0, 2.0]),
    "reduce, after": (lambda rows: rows.reduce(v=TWICE.sum() + pl.col("x").sum(), by="k"), [5, 5]),
    "reduce, a list": (lambda rows: rows.reduce(v=TWICE, by="k"), [[2, 0], [2]]),
    "window": (lambda rows: rows.window(rows=2).agg(v=TWICE.sum()), [2, 2]),
    "scan": (lambda rows: rows.scan(v=TWICE.cum_sum(), by="k"), [2, 2, 2]),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_boolean_with_a_number_is_computed_or_refused(step: str) -> None:
    add, expected = STEPS[step]
    builder = add(Pipeline.builder().source(Source.from_frame([FRAME[:2], FRAME[2:]])))
    if not pl.__version__.startswith("1."):
        assert builder.collect_sync()["v"].to_list() == expected
        return
    with pytest.raises(SchemaError, match="knows the type of a column only once rows are there") as raised:
        builder.sink(TestSink()).build()
    assert raised.value.hint is not None and ".cast(pl.Int64) * 2" in raised.value.hint


def test_a_boolean_that_is_cast_before_is_computed_by_every_polars() -> None:
    rows = Pipeline.builder().source(Source.from_frame([FRAME[:2], FRAME[2:]]))
    cast = pl.col("b").cast(pl.Int64)
    assert rows.reduce(v=(cast * 2).sum(), by="k").collect_sync()["v"].to_list() == [2, 2]


@pytest.mark.parametrize(
    "dtype",
    [pl.Unknown(), pl.List(pl.Unknown()), pl.Array(pl.Unknown(), 2), pl.Struct({"a": pl.List(pl.Unknown())})],
    ids=str,
)
def test_an_unknown_type_has_no_arrow_form(dtype: pl.DataType) -> None:
    schema = pl.Schema({"n": pl.Int64(), "v": dtype})
    with pytest.raises(SchemaError, match=r"(?s)knows the type of a column only once.*found: v\n"):
        arrow_schema(schema)
