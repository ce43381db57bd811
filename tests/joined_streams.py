"""Two streams for joins within a time, drawn at random, and what their join over the whole gives."""

from typing import Any

import polars as pl
from hypothesis import strategies as st

from arrowstream.core.batch import Batch, Element
from arrowstream.operators.joins.interval.within import Within

HOW = ["inner", "left", "right", "full", "semi", "anti"]
SECOND = 1_000_000


def expected(
    left: pl.DataFrame, right: pl.DataFrame, keys: list[str], within: Within, how: str, nulls_equal: bool
) -> pl.DataFrame:
    """Return the rows of the join over the whole, by a join on the keys and a filter on times.

    Floats are joined as text: Polars joins no NaN of a single row with that of another one.
    """
    floats = {name: left.schema[name] for name in keys if left.schema[name].is_float()}
    left, right = (each.cast(dict.fromkeys(floats, pl.String())) for each in (left, right))
    lefts, rights = left.with_row_index("#l"), right.with_row_index("#r")
    time = pl.col("ts_right") - pl.col("ts")
    inner = lefts.join(rights, on=keys, nulls_equal=nulls_equal, suffix="_right").filter(
        time >= -within.before_us, time <= within.after_us
    )
    alone_left = lefts.join(inner, on="#l", how="anti").drop("#l")
    alone_right = rights.join(inner, on="#r", how="anti").drop("#r")
    alone_right = alone_right.rename(
        {name: f"{name}_right" for name in alone_right.columns if name in left.columns and name not in keys}
    )
    pairs = inner.drop("#l", "#r")
    if how in ("semi", "anti"):
        rows = alone_left if how == "anti" else lefts.join(inner, on="#l", how="semi").drop("#l")
        return rows.cast(floats)
    parts = [
        pairs,
        *([alone_left] if how in ("left", "full") else []),
        *([alone_right] if how in ("right", "full") else []),
    ]
    return pl.concat(parts, how="diagonal").select(pairs.columns).cast(floats)


def rows_of(elements: list[Element]) -> list[tuple[Any, ...]]:
    return [row for element in elements if isinstance(element, Batch) for row in element.polars().rows()]


def by_text(rows: Any) -> list[str]:
    return sorted(map(str, rows))


@st.composite
def streams(draw: Any) -> list[pl.DataFrame]:
    """Draw two streams: times in order but for some disorder, keys of few values."""
    frames = []
    for value in ("a", "b"):
        height = draw(st.integers(0, 25))
        steps = draw(st.lists(st.integers(0, 6), min_size=height, max_size=height))
        times = [sum(steps[: n + 1]) * SECOND for n in range(height)]
        jitter = draw(st.lists(st.integers(0, 3), min_size=height, max_size=height))
        frames.append(
            pl.DataFrame(
                {
                    "ts": [max(time - late * SECOND, 0) for time, late in zip(times, jitter, strict=True)],
                    "k": draw(
                        st.lists(
                            st.sampled_from(["x", "y", "a longer key than that", None]),
                            min_size=height,
                            max_size=height,
                        )
                    ),
                    "n": draw(st.lists(st.sampled_from([0, 1, None]), min_size=height, max_size=height)),
                    value: range(height),
                },
                schema={"ts": pl.Int64, "k": pl.String, "n": pl.Int8, value: pl.Int64},
            )
        )
    return frames
