"""Statistics of groups with NaN and infinities: every way to group gives what Polars gives over the whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from arrowstream import Pipeline, Source

NAN, INF = float("nan"), float("inf")
GROUPS = [
    [NAN],
    [INF],
    [-INF],
    [1.5],
    [NAN, 1.0],
    [1.0, NAN],
    [INF, 1.0],
    [INF, INF],
    [None, NAN],
    [None],
    [2.0, 3.0, INF],
]
X = pl.col("x")
STATISTICS = {
    "var": X.var(),
    "var_0": X.var(ddof=0),
    "std": X.std(),
    "std_0": X.std(ddof=0),
    "of some": X.filter(X > 0).var(ddof=0),
    "over more": (X.var(ddof=0) + X.std(ddof=0)) / 2,
    "skew": X.skew(),
    "kurtosis": X.kurtosis(),
    "mean": X.mean(),
    "sum": X.sum(),
    "median": X.median(),
}  # fmt: skip
FRAME = pl.DataFrame(
    {
        "t": [1_000_000 * place for place, group in enumerate(GROUPS) for _ in group],
        "k": [place for place, group in enumerate(GROUPS) for _ in group],
        "far": [place * 10**12 for place, group in enumerate(GROUPS) for _ in group],
        "s": [f"group {place:02}" for place, group in enumerate(GROUPS) for _ in group],
        "x": [x for group in GROUPS for x in group],
    },
    schema={"t": pl.Int64, "k": pl.Int64, "far": pl.Int64, "s": pl.String, "x": pl.Float64},
).with_columns(pl.col("t").cast(pl.Datetime("us")))
EXPECTED = FRAME.group_by("k", maintain_order=True).agg(**STATISTICS).drop("k")

CUTS = {
    "whole": [FRAME],
    "rows": [FRAME[place : place + 1] for place in range(FRAME.height)],
    "threes": [FRAME[place : place + 3] for place in range(0, FRAME.height, 3)],
}
WAYS: dict[str, Callable[[Any], Any]] = {
    "time window": lambda b: b.window("1s", on="t").agg(**STATISTICS),
    "time window, close keys": lambda b: b.window("1s", on="t", by="k").agg(**STATISTICS),
    "time window, far keys": lambda b: b.window("1s", on="t", by="far").agg(**STATISTICS),
    "time window, text keys": lambda b: b.window("1s", on="t", by="s").agg(**STATISTICS),
    "session": lambda b: b.window(session="500ms", on="t").agg(**STATISTICS),
    "session, keys": lambda b: b.window(session="500ms", on="t", by="s").agg(**STATISTICS),
    "reduce, close keys": lambda b: b.reduce(**STATISTICS, by="k"),
    "reduce, text keys": lambda b: b.reduce(**STATISTICS, by="s"),
}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("way", WAYS)
def test_statistics_of_groups(way: str, cut: str) -> None:
    found = WAYS[way](Pipeline.builder().source(Source.from_frame(CUTS[cut]))).collect_sync()
    assert found.select(*STATISTICS).equals(EXPECTED)


@pytest.mark.untraced
@pytest.mark.parametrize("cut", ["whole", "rows"])
@pytest.mark.parametrize("place", range(len(GROUPS)))
def test_statistics_of_all_rows(place: int, cut: str) -> None:
    rows = FRAME.filter(pl.col("k") == place)
    parts = [rows] if cut == "whole" else [rows[row : row + 1] for row in range(rows.height)]
    source = Source.from_frame(parts)
    for found in (
        Pipeline.builder().source(source).reduce(**STATISTICS).collect_sync(),
        Pipeline.builder().source(source).window(rows=rows.height).agg(**STATISTICS).collect_sync(),
    ):
        assert found.select(*STATISTICS).equals(EXPECTED[place])


@pytest.mark.untraced
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("by", [None, "k", "s"])
def test_rolling_statistics(by: str | None, cut: str) -> None:
    exprs = {
        "var": X.rolling_var(1, ddof=0),
        "std": X.rolling_std(2, min_samples=1, ddof=0),
        "kurtosis": X.rolling_kurtosis(4, min_samples=1),
    }
    found = Pipeline.builder().source(Source.from_frame(CUTS[cut])).scan(**exprs, by=by).collect_sync()
    over = {name: expr if by is None else expr.over(by) for name, expr in exprs.items()}
    whole = FRAME.with_columns(**over)
    assert found.select(*exprs).equals(whole.select(*exprs))


@pytest.mark.untraced
@pytest.mark.parametrize("dtype", [pl.Float32, pl.Float64])
@pytest.mark.parametrize("rows", [1, 2, 9])
@pytest.mark.parametrize("values", [[2.0, NAN, None, 1.0], [NAN, 1.0, 2.0, None], [None, NAN, NAN, None]])
def test_the_largest_is_nan_only_where_all_are(
    values: list[float | None], rows: int, dtype: pl.DataType
) -> None:
    frame = pl.DataFrame({"x": pl.Series(values, dtype=dtype), "row": range(4), "k": 0, "t": range(4)})
    stream = Pipeline.builder().source(
        Source.from_frame([frame[start : start + rows] for start in range(0, 4, rows)])
    )
    of_largest = pl.col("row").filter(X.max() == X)
    expected = [NAN] if values[0] is None else [2.0]
    for by in ([], ["k"]):
        found = (
            stream.reduce(x=X.max(), by=by).collect_sync(),
            stream.window("9us", on="t", by=by).agg(x=X.max()).collect_sync(),
            stream.window("4us", every="2us", on="t", by=by).agg(x=X.max()).collect_sync()[1:2],
        )
        for each in found:
            assert each["x"].equals(pl.Series("x", expected, dtype=dtype)), each
        for each in (
            stream.reduce(row=of_largest, by=by).collect_sync(),
            stream.window("9us", on="t", by=by).agg(row=of_largest).collect_sync(),
        ):
            assert each["row"].to_list() == [
                [row for row, x in enumerate(values) if repr(x) == repr(expected[0])]
            ]
