"""Dead letters: the rows that failed, with three more columns for error, stage and source position."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import polars as pl

from arrowstream.core.batch import Batch

REASONS = ("error", "stage", "position")
"""The columns added to the rows, all String; the position is null where the source does not know it."""


@dataclass(frozen=True, slots=True)
class FailedRows:
    """`length` rows of a batch from row `offset` on, which failed together with `error`."""

    offset: int
    length: int
    error: str


def dead_letter_schema(schema: pl.Schema) -> pl.Schema:
    """Return the schema of the frame that `dead_letter_frame` makes: `schema` and three columns of String.

    Examples
    --------
    >>> dead_letter_schema(pl.Schema({"x": pl.Int64, "error": pl.String})).names()
    ['x', 'error', '_error', 'stage', 'position']
    """
    return pl.Schema({**schema, **dict.fromkeys(_free_names(schema), pl.String())})


def dead_letter_frame(batch: Batch, failed: Sequence[FailedRows], stage: str) -> pl.DataFrame:
    """Return the failed rows of a batch, each once and in order, with error, stage and source position.

    Parameters
    ----------
    batch
        The batch that holds the rows.
    failed
        The ranges of failed rows, in order, without overlap.
    stage
        Name of the stage in which they failed.
    """
    frame = batch.polars()
    error, in_stage, position = _free_names(frame.columns)
    parts = pl.DataFrame(
        {
            "start": [part.offset for part in failed],
            "stop": [part.offset + part.length for part in failed],
            error: [part.error for part in failed],
        },
        schema={"start": pl.Int64, "stop": pl.Int64, error: pl.String},
    )
    reasons = (
        parts.with_columns(row=pl.int_ranges("start", "stop"))
        .explode("row")
        .drop_nulls("row")  # a range without rows
        .select("row", error, pl.lit(stage).alias(in_stage))
    )
    reasons = reasons.with_columns(_positions(batch, reasons["row"]).alias(position))
    rows = frame if reasons.height == frame.height else frame[reasons["row"]]
    return rows.hstack(reasons.drop("row").get_columns())


def _free_names(taken: Collection[str]) -> list[str]:
    names = []
    for name in REASONS:
        while name in taken:
            name = f"_{name}"
        names.append(name)
    return names


def _positions(batch: Batch, rows: pl.Series) -> pl.Series:
    """Return the position of each of these batch rows as text (String), as `Batch.slice` would give it."""
    place = batch.position
    if place is None:
        return pl.Series([None], dtype=pl.String).new_from_index(0, len(rows))
    counts, places = zip(*place.pieces(batch.num_rows), strict=True)
    pieces = pl.DataFrame(
        {
            "rows": counts,
            "origin": [place.origin for place in places],
            "unit": [place.unit for place in places],
            "start": [place.start if place.exact else None for place in places],
            "whole": [str(place) for place in places],
        },
        schema={
            "rows": pl.Int64,
            "origin": pl.String,
            "unit": pl.String,
            "start": pl.Int64,
            "whole": pl.String,
        },
    ).with_columns(first=pl.col("rows").cum_sum() - pl.col("rows"))
    row = pl.col("row") - pl.col("first") + pl.col("start")
    # Not pl.format: on Polars 1.35 it panics over columns in several chunks.
    own = pl.concat_str(
        "origin",
        pl.lit(" "),
        "unit",
        pl.lit(" "),
        row.cast(pl.String),
        pl.lit("-"),
        (row + 1).cast(pl.String),
    )
    found = rows.alias("row").to_frame().join_asof(pieces, left_on="row", right_on="first")
    return found.select(pl.coalesce(own, "whole")).to_series()
