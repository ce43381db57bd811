"""Rows that failed, as rows: what they were, and what was wrong with them, in three more columns."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import polars as pl

from arrowstream.batch import Batch

REASONS = ("error", "stage", "position")
"""What is added to the rows; all are text, and the position is null where the source cannot tell."""


@dataclass(frozen=True, slots=True)
class FailedRows:
    """`length` rows of a batch from `offset`, that failed together by `error`."""

    offset: int
    length: int
    error: str


def dead_letter_schema(schema: pl.Schema) -> pl.Schema:
    """The schema of the rows that `dead_letter_frame` makes of failed ones.

    Examples
    --------
    >>> dead_letter_schema(pl.Schema({"x": pl.Int64, "error": pl.String})).names()
    ['x', 'error', '_error', 'stage', 'position']
    """
    return pl.Schema({**schema, **dict.fromkeys(_free_names(schema), pl.String())})


def dead_letter_frame(batch: Batch, failed: Sequence[FailedRows], stage: str) -> pl.DataFrame:
    """The failed rows of a batch, each once and in their order, with error, stage and source position.

    Parameters
    ----------
    batch
        What they are rows of.
    failed
        In order, apart from each other.
    stage
        The name of the stage that they failed in.
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
        .select(
            "row",
            error,
            pl.lit(stage).alias(in_stage),
            _position(batch).cast(pl.String).alias(position),
        )
    )
    rows = frame if reasons.height == frame.height else frame[reasons["row"]]
    return rows.hstack(reasons.drop("row").get_columns())


def _free_names(taken: Collection[str]) -> list[str]:
    names = []
    for name in REASONS:
        while name in taken:
            name = f"_{name}"
        names.append(name)
    return names


def _position(batch: Batch) -> pl.Expr:
    """Where the row with the number in column ``row`` came from, as `Batch.slice` would tell it."""
    place = batch.position
    if place is None:
        return pl.lit(None)
    if place.stop - place.start != batch.num_rows:
        return pl.lit(str(place))
    row = pl.col("row") + place.start
    # Not pl.format: on Polars 1.35 it panics over columns in several chunks.
    return pl.concat_str(
        pl.lit(f"{place.origin} rows "), row.cast(pl.String), pl.lit("-"), (row + 1).cast(pl.String)
    )
