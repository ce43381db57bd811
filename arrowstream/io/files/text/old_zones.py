"""Times in zones as they were before their offsets had whole minutes, written so that text keeps the moment.

Until some time between 1847 and 1972, the clocks of a zone followed the sun: 5:53:28 ahead of UTC in Calcutta,
0:44:30 behind it in Monrovia. The offset in a text has hours and minutes only (ISO 8601, RFC 3339), and Polars rounds
it, but not the time of day next to it. So the text of such a time gets the time of day of the rounded offset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

_LAST = datetime(1972, 1, 7, 12, tzinfo=UTC)
"""Since then, every offset has whole minutes (Monrovia was the last to get one)."""


def with_whole_minutes(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with times that Polars writes as text for the same moments.

    Parameters
    ----------
    frame
        Rows to be written. Times of a zone are changed by up to 30 seconds where their offset has seconds.

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
        _changed(pl.col(name), dtype, _as_utc if _is_near_a_change(leaves) else _moved).alias(name)
        for name, dtype in frame.schema.items()
        if _has_zones(dtype) and (leaves := [leaf for leaf in _leaves(frame[name]) if _may_be_old(leaf)])
    ]
    return frame.with_columns(changed) if changed else frame


def _has_zones(dtype: Any) -> bool:
    """Whether there are times of a zone in a type; UTC never had another offset."""
    if isinstance(dtype, pl.Datetime):
        return dtype.time_zone not in (None, "UTC")
    if isinstance(dtype, pl.Struct):
        return any(_has_zones(field.dtype) for field in dtype.fields)
    return isinstance(dtype, pl.List | pl.Array) and _has_zones(dtype.inner)


def _leaves(column: pl.Series) -> Iterator[pl.Series]:
    """The times of a zone in a column, those in lists and structs included."""
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
    """Whether there is a time which has another offset once it is moved, so that it cannot be written in its zone.

    These are up to 30 seconds around the moment at which a zone got an offset of whole minutes.
    """
    for times in columns:
        moved = times.to_frame("").select(_moved(pl.col(""), times.dtype)).to_series()
        rest = moved.to_frame("").select(_rest(pl.col(""), times.dtype)).to_series()
        if not (times - moved).equals(rest.cast((times - moved).dtype)):
            return True
    return False


def _changed(values: pl.Expr, dtype: Any, change: Callable[[pl.Expr, Any], pl.Expr]) -> pl.Expr:
    """Values of a type with zones in it, with all times changed."""
    if isinstance(dtype, pl.Struct):
        fields = [field for field in dtype.fields if _has_zones(field.dtype)]
        new = [_changed(pl.field(field.name), field.dtype, change).alias(field.name) for field in fields]
        return values.struct.with_fields(new)
    if isinstance(dtype, pl.Array):
        lists = values.arr.to_list().list.eval(_changed(pl.element(), dtype.inner, change))
        return lists.list.to_array(dtype.size)
    if isinstance(dtype, pl.List):
        return values.list.eval(_changed(pl.element(), dtype.inner, change))
    return change(values, dtype)


def _as_utc(times: pl.Expr, dtype: Any) -> pl.Expr:
    return times.dt.convert_time_zone("UTC")


def _moved(times: pl.Expr, dtype: Any) -> pl.Expr:
    """Times whose time of day is that of the rounded offset."""
    # Where a moved time would have the offset of before a change, it is that offset which is rounded.
    return times - _rest(times - _rest(times, dtype), dtype)


def _rest(times: pl.Expr, dtype: Any) -> pl.Expr:
    """By how much the offset of times is longer than the rounded one."""
    offset = (times.dt.base_utc_offset() + times.dt.dst_offset()).dt.total_seconds()
    rounded = (offset.abs() + 30) // 60 * 60 * offset.sign()
    return pl.duration(seconds=offset - rounded, time_unit=dtype.time_unit)
