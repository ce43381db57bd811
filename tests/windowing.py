"""What the tests of windows share: rows of events, feeding a process, and the answer of Polars on the whole."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import polars as pl
from hypothesis import strategies as st

from arrowstream.core.batch import Batch
from arrowstream.operators.base import Operator, Process
from arrowstream.operators.windows import pane_store, panes, summed_windows
from arrowstream.operators.windows.groups import dense_groups, extreme_of_panes, hashed_groups
from arrowstream.state import small_frames, snapshot

x, f, s = pl.col("x"), pl.col("f"), pl.col("s")

MERGED: dict[str, pl.Expr] = {
    "sum": x.sum(),
    "sum of small integers": pl.col("k").sum().alias("small"),
    "count": x.count(),
    "len": pl.len(),
    "len of a column": x.len(),
    "nulls": x.null_count(),
    "min": x.min(),
    "max": s.max(),
    "max of floats": f.max(),
    "mean": x.mean(),
    "var": x.var(),
    "std": (x / 7).std(ddof=0),
    "first": x.first(),
    "last": s.last(),
    "any": (x > 1).any(),
    "all": (x > 1).all(),
    "any with nulls": (x > 1).any(ignore_nulls=False),
    "all with nulls": (x > 1).all(ignore_nulls=False),
    "n_unique": s.n_unique(),
    "computed": (x.sum() / pl.len()).round(2).alias("r"),
    "conditional": pl.when(x.sum() > 3).then(pl.len()).otherwise(None),
    "filtered": x.filter(x > 0).sum(),
    "filtered away": x.filter(x > 0).min(),
    "renamed": x.max().name.suffix("_max"),
    "several": pl.col("x", "f").min(),
    "cast": x.sum().cast(pl.String),
    "duration": x.cast(pl.Duration("ms")).sum(),
    "nan": f.nan_min(),
    "nan most": f.nan_max(),
    "functions": x.abs().fill_null(0).sum(),
    "truths of functions": x.is_null().all(),
}  # fmt: skip
KEPT: dict[str, pl.Expr] = {
    "median": x.median(),
    "quantile": x.quantile(0.3, "linear"),
    "values": s,
    "sorted": s.sort_by("x", maintain_order=True).first(),
    "running": x.cum_sum(),
    "constant": pl.lit(3),
    "a function": x.map_batches(lambda values: values.head(1), pl.Int64, returns_scalar=True),
    "key": pl.col("k").median().alias("again"),
    "constants": pl.lit(2).sum(),
    "sum of decimals": x.cast(pl.Decimal(20, 2)).sum().alias("cents"),
    "mean of times": x.cast(pl.Duration("us")).mean(),
    "spread of truths": (x > 1).var(),
    "least bytes": s.cast(pl.Binary).min(),
    "function of others": x.sum().cum_sum(),
    "filtered ends": x.filter(x > 0).last(),
    "of the largest": s.filter(x == x.max()),
    "first of the smallest": x.filter(f.min() == f).first(),
    "sorted of the largest text": f.filter(s == s.max()).sort(),
    "last of the largest": f.filter(x == x.max()).last(),
    "unique structs": pl.struct("x").n_unique(),
    "unique bytes": s.cast(pl.Binary).n_unique(),
    "nan literal": x.cast(pl.Float64).fill_null(float("nan")).sum(),
    "everything": pl.all().sort_by(x, maintain_order=True).first().name.prefix("of_"),
}
AGGREGATES = MERGED | KEPT


def answer(rows: pl.DataFrame, groups: Sequence[str], exprs: Iterable[pl.Expr]) -> pl.DataFrame:
    """Polars over all rows, the groups in the order in which they first came."""
    return rows.group_by(groups, maintain_order=True).agg(*exprs)


SCHEMA: dict[str, pl.DataType] = {
    "ts": pl.Int64(),
    "k": pl.Int8(),
    "g": pl.Categorical(),
    "x": pl.Int64(),
    "f": pl.Float64(),
    "s": pl.String(),
}


VALUES: dict[str, list[Any]] = {
    "k": [0, 1, 2, None, None],
    "g": ["red", "green", None],
    "x": [*range(6), *range(-5, 0), *[None] * 5],
    "f": [float(number) for number in range(6)]
    + [-1.0, -2.0, -5.0, float("nan"), float("nan"), None, None, None],
    "s": ["a", "b", "é", None, None],
}
"""Values of the columns, those that are to come often several times."""

_ROWS = math.prod(map(len, VALUES.values()))
"""Number of different rows without their time."""

_ROW_BYTES = 6
"""Bytes that a row is made from."""


@st.composite
def events(draw: st.DrawFn, max_rows: int = 30, spread: int = 60) -> pl.DataFrame:
    """Rows with times of a few seconds, a key of a few values, numbers that add up exactly, and text."""
    rows = draw(st.integers(0, max_rows))
    # Rows are drawn in one piece: to draw each of its values takes half the time of a test.
    packed = draw(st.binary(min_size=rows * _ROW_BYTES, max_size=rows * _ROW_BYTES))
    drawn = [int.from_bytes(packed[at : at + _ROW_BYTES]) for at in range(0, len(packed), _ROW_BYTES)]
    times = [number // _ROWS % (spread + 11) - 10 for number in drawn]
    columns: dict[str, list[Any]] = {"ts": [seconds * 500_000 for seconds in times]}
    for name, values in VALUES.items():
        columns[name] = [values[number % len(values)] for number in drawn]
        drawn = [number // len(values) for number in drawn]
    return pl.DataFrame(columns, schema=SCHEMA)


@contextmanager
def little_put_aside(data: st.DataObject) -> Iterator[None]:
    """Panes that are grouped, and small frames that are joined, after few rows already: what else needs many."""
    rows = data.draw(st.sampled_from([1, 3, 10, 1 << 20]), "rows put aside")
    size = data.draw(st.sampled_from([64, 1 << 20]), "bytes put aside")
    many = data.draw(st.sampled_from([2, 64]), "frames that are many")
    piece = data.draw(st.sampled_from([1, 100, 1 << 20]), "bytes of a piece of a snapshot")
    with (
        mock.patch.object(snapshot, "PIECE_BYTES", piece),
        mock.patch.object(pane_store, "_ASIDE_ROWS", rows),
        mock.patch.object(pane_store, "_PART_ROWS", rows),
        mock.patch.object(
            pane_store, "_WORTH_SIFTING", data.draw(st.sampled_from([1, 4_096]), "rows sifted")
        ),
        mock.patch.object(extreme_of_panes, "_PIECE", data.draw(st.sampled_from([2, 5]), "rows compared")),
        mock.patch.object(pane_store, "_CUTS", data.draw(st.sampled_from([0, 4]), "cuts of a row")),
        mock.patch.object(pane_store, "_ASIDE_BYTES", size),
        mock.patch.object(small_frames, "MANY", many),
        mock.patch.object(panes, "_STREAMED", data.draw(st.sampled_from([1, 100_000]), "rows streamed")),
        mock.patch.object(panes, "_FAR", data.draw(st.sampled_from([1, 1 << 32]), "numbers apart")),
        mock.patch.object(dense_groups, "_PIECE", data.draw(st.sampled_from([1, 2, 5]), "rows of a piece")),
        mock.patch.object(summed_windows, "_MANY", data.draw(st.sampled_from([1, 1_000]), "groups summed")),
        mock.patch.object(
            hashed_groups, "_LEAST_ROWS", data.draw(st.sampled_from([1, 100_000]), "rows hashed")
        ),
        mock.patch.object(hashed_groups, "_PIECE", data.draw(st.sampled_from([1, 32_768]), "rows looked up")),
        mock.patch.object(
            hashed_groups, "_LEAST_BITS", data.draw(st.sampled_from([2, 14]), "bits of places")
        ),
    ):
        yield


def feed(process: Process, items: Iterable[pl.DataFrame | int]) -> list[Any]:
    """What a process gives for frames and for watermarks (integers): frames and marks."""
    out: list[Any] = []
    for item in items:
        elements = process.on_watermark(item) if isinstance(item, int) else process.process(Batch(item))
        out += [each.polars() if isinstance(each, Batch) else each for each in elements]
    return out


def end(process: Process) -> list[Any]:
    return [each.polars() if isinstance(each, Batch) else each for each in process.finish()]


def joined(operator: Operator, schema: pl.Schema, out: Iterable[Any]) -> pl.DataFrame:
    """All rows that came out, as one frame."""
    empty = pl.DataFrame(schema=operator.output_schema(schema))
    return pl.concat([empty, *(each for each in out if isinstance(each, pl.DataFrame))])
