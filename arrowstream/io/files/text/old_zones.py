"""Old times in zones whose offsets had seconds, changed so that their text keeps the moment.

Until some year between 1847 and 1972, the clocks of a zone followed the sun: 5:53:28 ahead of UTC in Calcutta,
0:44:30 behind UTC in Monrovia. The offset in a text has hours and minutes only (ISO 8601, RFC 3339), and Polars
rounds it, but not the time of day next to it. So such a time is moved to the time of day of the rounded offset.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from arrowstream.io.files.text.times import changed_inside, has_inside

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

_LAST = datetime(1972, 1, 7, 12, tzinfo=UTC)
"""Moment since which every offset has whole minutes (Monrovia's was the last to change)."""


def with_whole_minutes(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with times changed so that the text Polars writes for them means the same moments.

    Parameters
    ----------
    frame
        Rows to be written. Times in a zone are changed by up to 30 s if their offset has seconds.

    Examples
    --------
    >>> import polars as pl
    >>> from arrowstream.io.files.text.old_zones import with_whole_minutes
    >>> old = pl.Series(["1899-12-31T18:30:00Z"]).str.to_datetime("%+", time_zone="UTC")
    >>> frame = old.alias("t").dt.convert_time_zone("Asia/Kolkata").to_frame()
    >>> with_whole_minutes(frame)["t"].dt.to_string("%FT%T%:z")[0]
    '1899-12-31T23:51:00+05:21'
    """
    changed = [
        changed_inside(
            pl.col(name), dtype, _is_zoned, _as_utc if _is_near_a_change(leaves) else _moved
        ).alias(name)
        for name, dtype in frame.schema.items()
        if _has_zones(dtype) and (leaves := [leaf for leaf in _leaves(frame[name]) if _may_be_old(leaf)])
    ]
    return frame.with_columns(changed) if changed else frame


def has_zones(schema: pl.Schema) -> bool:
    """Return True if a column contains times in a zone other than UTC, at any depth."""
    return any(map(_has_zones, schema.values()))


def _has_zones(dtype: PolarsDataType) -> bool:
    """Return True if a type contains times in a zone other than UTC, whose offset never changed."""
    return has_inside(dtype, _is_zoned)


def _is_zoned(dtype: PolarsDataType) -> bool:
    return isinstance(dtype, pl.Datetime) and dtype.time_zone not in (None, "UTC")


def _leaves(column: pl.Series) -> Iterator[pl.Series]:
    """Yield the times in a zone in a column, including those in lists and structs."""
    dtype = column.dtype
    if isinstance(dtype, pl.Struct):
        for field in dtype.fields:
            yield from _leaves(column.struct.field(field.name))
    elif isinstance(dtype, pl.List | pl.Array):
        yield from _leaves(column.explode())
    elif _has_zones(dtype):
        yield column


def _may_be_old(times: pl.Series) -> bool:
    # As integers, since Python has no dates before the year 1.
    last = pl.Series([_LAST]).cast(times.dtype).to_physical()[0]
    first = times.to_physical().min()
    return isinstance(first, int) and first < last


def _is_near_a_change(columns: Sequence[pl.Series]) -> bool:
    """Return True if moving a time changes its offset, so that it cannot be written in its zone.

    This holds for times up to 30 s around the moment at which a zone got an offset of whole minutes.
    """
    for times in columns:
        moved = times.to_frame("").select(_moved(pl.col(""), times.dtype)).to_series()
        rest = moved.to_frame("").select(_rest(pl.col(""), times.dtype)).to_series()
        if not (times - moved).equals(rest.cast((times - moved).dtype)):
            return True
    return False


def _as_utc(times: pl.Expr, dtype: Any) -> pl.Expr:
    return times.dt.convert_time_zone("UTC")


def _moved(times: pl.Expr, dtype: Any) -> pl.Expr:
    """Move times to the time of day of the rounded offset."""
    # If a moved time falls before a change of the offset, the offset before the change is the rounded one.
    return times - _rest(times - _rest(times, dtype), dtype)


def _rest(times: pl.Expr, dtype: Any) -> pl.Expr:
    """Return the offset of times minus the rounded offset, as a duration."""
    offset = (times.dt.base_utc_offset() + times.dt.dst_offset()).dt.total_seconds()
    rounded = (offset.abs() + 30) // 60 * 60 * offset.sign()
    return pl.duration(seconds=offset - rounded, time_unit=dtype.time_unit)
