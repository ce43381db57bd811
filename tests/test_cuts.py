"""The promise: however the input is cut, on any backend, the rows are those of Polars on the whole."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import polars as pl
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from strategies import TYPES, cuts, frames

from arrowstream import Pipeline, Source
from arrowstream.core.batch import to_record

FIXED: dict[str, pl.DataType] = {
    "i": pl.Int64(),
    "k": pl.Int8(),
    "f": pl.Float64(),
    "s": pl.String(),
    "t": pl.Datetime("us"),
}

# Each works on a builder and on a frame alike, and on every backend.
STEPS: dict[str, Callable[[Any], Any]] = {
    "arithmetic": lambda x: x.with_columns(a=pl.col("i") * 2 + 1, b=pl.col("f") / 3 - pl.col("i")),
    "overflow": lambda x: x.with_columns(i=pl.col("i") * pl.col("i"), k=pl.col("k") + pl.col("k")),
    "integer division": lambda x: x.with_columns(i=pl.col("i") // 7, k=pl.col("k") % 3),
    "comparison": lambda x: x.filter((pl.col("i") > 0) | pl.col("f").is_nan()),
    "null handling": lambda x: x.with_columns(i=pl.col("i").fill_null(0), s=pl.coalesce("s", pl.lit("none"))),
    "nulls kept": lambda x: x.filter(pl.col("s").is_not_null()),
    "conditional": lambda x: x.with_columns(w=pl.when(pl.col("f") > 0).then("i").otherwise(-1)),
    "membership": lambda x: x.filter(pl.col("k").is_in([0, 1, 2, 3, None]) | pl.col("s").is_in(["a", "é"])),
    "text": lambda x: x.with_columns(
        up=pl.col("s").str.to_uppercase(), n=pl.col("s").str.len_chars(), h=pl.col("s").str.starts_with("a")
    ),
    "time": lambda x: x.with_columns(
        y=pl.col("t").dt.year(), h=pl.col("t").dt.hour(), d=pl.col("t").dt.date()
    ),
    "time compared": lambda x: x.filter(pl.col("t") > datetime(1970, 1, 1)),
    "cast": lambda x: x.cast({"k": pl.Int32}).with_columns(f32=pl.col("f").cast(pl.Float32)),
    "narrowing": lambda x: x.with_columns(k=pl.col("i").cast(pl.Int8, strict=False)),
    "choice": lambda x: x.select(pl.exclude("nothing").exclude("k"), k="k"),
    "constant": lambda x: x.with_columns(one=1, word=pl.lit("w"), nothing=pl.lit(None)),
    "renaming": lambda x: x.rename({"s": "z"}).rename({"z": "s"}),
    "dropping": lambda x: x.with_columns(extra=1).drop("extra"),
}
# These are Polars' alone: the Arrow backend only passes lists, structs and decimals through, and Polars'
# optimiser throws rows away before a program could.
POLARS_STEPS: dict[str, Callable[[Any], Any]] = {
    "explode": lambda x: x.with_columns(l=pl.concat_list("i", "i")).explode("l"),
    "unnest": lambda x: x.with_columns(p=pl.struct(pa="i", pb="s")).unnest("p").drop("pa", "pb"),
    "list inside": lambda x: x.with_columns(m=pl.concat_list("i", "i").list.max()),
    "nothing left": lambda x: x.filter(pl.lit(False)),
    "decimal": lambda x: x.with_columns(dec=pl.col("k").cast(pl.Decimal(10, 2))),
}
ALL_STEPS = STEPS | POLARS_STEPS


@st.composite
def streams(draw: st.DrawFn) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """Rows of the fixed columns and some of any type, whole and cut into batches."""
    others = draw(st.lists(st.sampled_from(TYPES), max_size=3))
    schema = FIXED | {f"x{place}": dtype for place, dtype in enumerate(others)}
    whole = draw(frames(schema))
    return whole, draw(cuts(whole))


def through(steps: list[str], start: Any, backend: str = "") -> Any:
    """Apply steps to a builder or a frame; pin each to `backend` if there is one and it can run it."""
    for name in steps:
        start = ALL_STEPS[name](start)
        if backend and (backend != "arrow" or name in STEPS):
            start = start.backend(backend)
    return start


def on_the_whole(steps: list[str], whole: pl.DataFrame) -> pl.DataFrame:
    """Polars over all rows, each given twice: over a single row it divides in another way, 1 ulp apart."""
    # Single rows that are joined are one value and a length, as long as they are in the frame.
    twice = through(steps, pl.DataFrame(pl.concat([whole, whole], rechunk=True).get_columns()))
    return twice.head(twice.height // 2)


@settings(max_examples=examples(120))
@given(
    stream=streams(),
    steps=st.lists(st.sampled_from(sorted(ALL_STEPS)), min_size=1, max_size=5),
    data=st.data(),
)
def test_rows_do_not_depend_on_cuts_or_backends(
    stream: tuple[pl.DataFrame, list[pl.DataFrame]], steps: list[str], data: st.DataObject
) -> None:
    whole, batches = stream
    expected = on_the_whole(steps, whole)
    as_records = data.draw(st.booleans())
    for backend in ("arrow", "polars", "auto"):
        # Not part.to_arrow(): Polars 1.35 exports slices of structs wrongly.
        parts = [to_record(part) for part in batches] if as_records else batches
        start = Pipeline.builder().source(Source.from_frame(parts, schema=whole.schema))
        found = through(steps, start, backend).collect_sync()
        assert_frame_equal(found, expected, check_exact=True, categorical_as_str=True)


@settings(max_examples=examples(30))
@given(stream=streams(), rows=st.integers(1, 5))
def test_nor_on_batches_cut_again_on_the_way(
    stream: tuple[pl.DataFrame, list[pl.DataFrame]], rows: int
) -> None:
    whole, batches = stream
    source = Source.from_frame(batches, schema=whole.schema)
    builder = Pipeline.builder().source(source).filter(pl.col("i") != 0).batch(rows=rows)
    found = builder.with_columns(j=pl.col("i") + 1).collect_sync()
    expected = whole.filter(pl.col("i") != 0).with_columns(j=pl.col("i") + 1)
    assert_frame_equal(found, expected, check_exact=True, categorical_as_str=True)


@pytest.mark.parametrize("name", sorted(STEPS))
def test_every_step_above_really_runs_on_arrow(name: str) -> None:
    """Else the property would compare Polars with itself."""
    frame = pl.DataFrame(schema=FIXED)
    builder = STEPS[name](Pipeline.builder().source(Source.from_frame(frame)))
    steps = builder.graph.steps
    pinned = builder.backend("arrow")
    assert pinned.collect_sync().schema == builder.schema()
    assert steps
