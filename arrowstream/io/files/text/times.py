"""Dates and times in text: ISO 8601 with the year first, each value as it is written or none.

Polars' readers take the first of many formats that fits. They read 03/04/2026 as a day in April and 03/04/26 as one
of the year 26, cut the nanoseconds of a time in microseconds and the tenth digit of a time of day, make the next
minute of second 60, move 10:00+02:00 in a column without a zone to 8:00, and give another time for one that
nanoseconds do not reach. Here, texts that differ only in their digits have one format.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

import polars as pl

from arrowstream.io.files.columnar.given_types import Misfit

if TYPE_CHECKING:
    from polars._typing import PolarsDataType, TimeUnit

_SHAPE: Final = re.compile(
    r" *[+-]?0{4,6}([-/])0{1,2}([-/])0{1,2}"
    r"(?:([T ])0{1,2}:00(:00(\.0+)?)?(Z|[+-]00:00|[+-]0000)?)?"
)
"""A date or a time whose digits are all 0."""

_CLOCK_SHAPE: Final = re.compile(r" *0{1,2}:00(:00(\.0+)?)?")
"""A time of day whose digits are all 0."""

_UTC: Final = "(?:Z|[+-]00:?00)$"
_DIGITS: Final = {"ms": 3, "us": 6, "ns": 9}


def is_time(dtype: PolarsDataType) -> bool:
    """Return whether a type is one of the dates and times whose texts `read_times` reads."""
    return isinstance(dtype, pl.Date | pl.Datetime | pl.Time)


def times_as_texts(dtype: PolarsDataType) -> PolarsDataType:
    """Return a type with text in place of dates and times, at any depth; the type itself if it has none."""
    if is_time(dtype):
        return pl.String()
    if isinstance(dtype, pl.List | pl.Array):
        inner = times_as_texts(dtype.inner)
        if inner is dtype.inner:
            return dtype
        return pl.List(inner) if isinstance(dtype, pl.List) else pl.Array(inner, dtype.size)
    if isinstance(dtype, pl.Struct):
        fields = {field.name: times_as_texts(field.dtype) for field in dtype.fields}
        return dtype if all(fields[each.name] is each.dtype for each in dtype.fields) else pl.Struct(fields)
    return dtype


def with_times(
    values: pl.Expr, dtype: PolarsDataType, *, lenient: bool = False, skips_empty: bool = False
) -> pl.Expr:
    """Return values of a type with dates and times, read from the texts that stand in their places.

    Parameters
    ----------
    values
        Values of the type that `times_as_texts` gives.
    dtype
        The type.
    lenient
        Whether a text that is no time becomes null; else it raises Misfit.
    skips_empty
        Whether an empty text is null.
    """
    read = partial(checked_times, lenient=lenient, skips_empty=skips_empty)

    def change(texts: pl.Expr, dtype: PolarsDataType) -> pl.Expr:
        return texts.map_batches(partial(read, dtype=dtype), dtype, is_elementwise=True)

    return changed_inside(values, dtype, is_time, change)


def checked_times(texts: pl.Series, dtype: PolarsDataType, *, lenient: bool, skips_empty: bool) -> pl.Series:
    """Return the dates or times of texts, as `with_times` does."""
    times = read_times(texts, dtype)
    if not lenient and times.null_count() > texts.null_count():
        refused = times.is_null() & texts.is_not_null()
        if (refused & (texts != "") if skips_empty else refused).any():
            raise Misfit(texts.name)
    return times


def changed_inside(
    values: pl.Expr,
    dtype: PolarsDataType,
    is_changed: Callable[[PolarsDataType], bool],
    change: Callable[[pl.Expr, PolarsDataType], pl.Expr],
) -> pl.Expr:
    """Apply `change` to all values of some types among values of a type, at any depth."""
    if isinstance(dtype, pl.Struct):
        new = [
            changed_inside(pl.field(field.name), field.dtype, is_changed, change).alias(field.name)
            for field in dtype.fields
            if has_inside(field.dtype, is_changed)
        ]
        return values.struct.with_fields(new)
    if isinstance(dtype, pl.Array):
        inside = changed_inside(pl.element(), dtype.inner, is_changed, change)
        return values.arr.to_list().list.eval(inside).list.to_array(dtype.size)
    if isinstance(dtype, pl.List):
        return values.list.eval(changed_inside(pl.element(), dtype.inner, is_changed, change))
    return change(values, dtype)


def has_inside(dtype: PolarsDataType, wanted: Callable[[PolarsDataType], bool]) -> bool:
    """Return whether a type is one of those wanted, or has one inside, at any depth."""
    if isinstance(dtype, pl.Struct):
        return any(has_inside(field.dtype, wanted) for field in dtype.fields)
    return has_inside(dtype.inner, wanted) if isinstance(dtype, pl.List | pl.Array) else wanted(dtype)


def read_times(texts: pl.Series, dtype: PolarsDataType) -> pl.Series:
    """Return the dates or times of texts; null for null, and for a text that is none or has another value.

    A time in a column with a zone has an offset or ``Z``; one without is in UTC, where that is the column's zone.
    A time in a column without a zone has no offset, or that of UTC.

    Parameters
    ----------
    texts
        Texts, or nulls.
    dtype
        Date, Time, or Datetime of any unit and zone.

    Examples
    --------
    >>> read_times(pl.Series(["2026-01-31", "2026-1-31", "31/01/2026"]), pl.Date()).dt.day().to_list()
    [31, 31, None]
    >>> texts = pl.Series(["2026-01-31T12:00:00Z", "2026-01-31 12:00+02:00"])
    >>> read_times(texts, pl.Datetime("us", "UTC")).dt.hour().to_list()
    [12, 10]
    """
    first = texts.is_not_null().arg_max()
    shape = re.sub("[0-9]", "0", (None if first is None else texts[first]) or "")
    any_shape = _CLOCK_SHAPE if dtype == pl.Time else _SHAPE
    if any_shape.fullmatch(shape) and texts.str.contains(_alike(shape)).all():
        return _of_shape(texts, shape, dtype)
    shapes = texts.str.replace_all("[0-9]", "0")
    found = shapes.unique()
    times = _nulls(texts, dtype)
    for shape in found.filter(found.str.contains(f"^(?:{any_shape.pattern})$")):
        at = (shapes == shape).arg_true()
        times = times.scatter(at, _of_shape(texts[at], shape, dtype))
    return times


def _alike(shape: str) -> str:
    """Return the pattern of the texts that differ from a shape in their digits only."""
    return f"^{''.join('[0-9]' if sign == '0' else f'[{sign}]' for sign in shape)}$"


def _of_shape(texts: pl.Series, shape: str, dtype: PolarsDataType) -> pl.Series:
    """Return the values of texts that differ in their digits only; nulls if they are no values of the type."""
    if clock := _CLOCK_SHAPE.fullmatch(shape):
        seconds, fraction = clock.groups()
        return _with_digits(texts, seconds, fraction, "ns").str.to_time(
            _clock(seconds, fraction), strict=False
        )
    form = _SHAPE.fullmatch(shape)
    if form is None or form[1] != form[2]:
        return _nulls(texts, dtype)
    day = f"%Y{form[1]}%m{form[1]}%d"
    between, seconds, fraction, zone = form.group(3, 4, 5, 6)
    if not isinstance(dtype, pl.Datetime):
        return _nulls(texts, dtype) if between else texts.str.to_date(day, strict=False)
    if zone is None and dtype.time_zone not in (None, "UTC"):
        return _nulls(texts, dtype)
    if zone is not None and dtype.time_zone is None:
        texts = _those(texts, texts.str.contains(_UTC))
    texts = _with_digits(texts, seconds, fraction, dtype.time_unit)
    if between is None:
        texts, between = texts + "T00:00", "T"
    zone_form = "" if zone is None else "Z" if zone == "Z" else "%:z" if ":" in zone else "%z"
    times = _parsed(texts, f"{day}{between}{_clock(seconds, fraction)}{zone_form}", dtype.time_unit)
    return (
        times
        if dtype.time_zone is None
        else times.dt.replace_time_zone("UTC").dt.convert_time_zone(dtype.time_zone)
    )


def _clock(seconds: str | None, fraction: str | None) -> str:
    """Return the format of a time of day with or without seconds, and a fraction of them."""
    return f"%H:%M{':%S' if seconds else ''}{'%.f' if fraction else ''}"


def _with_digits(texts: pl.Series, seconds: str | None, fraction: str | None, unit: TimeUnit) -> pl.Series:
    """Return times with the digits that a unit holds; null for those with further ones, and for second 60."""
    if seconds:  # it would become the next minute; no other part that may be ":60" is a time either
        texts = _those(texts, ~texts.str.contains(":60", literal=True))
    digits = _DIGITS[unit]
    if len(fraction or "") > digits + 1:
        texts = texts.str.replace(rf"([.][0-9]{{{digits}}})0+", "${1}")
        texts = _those(texts, ~texts.str.contains(rf"[.][0-9]{{{digits + 1}}}"))
    return texts


def _parsed(texts: pl.Series, form: str, unit: TimeUnit) -> pl.Series:
    """Return the times in UTC, in a column without a zone."""
    zone = "UTC" if form.endswith("z") else None
    times = texts.str.to_datetime(form, time_unit=unit, time_zone=zone, strict=False)
    if unit == "ns":  # what is too far away would become another time
        far = texts.str.to_datetime(form, time_unit="us", time_zone=zone, strict=False)
        times = _those(times, times.dt.year() == far.dt.year())
    return times.dt.replace_time_zone(None)


def _those(values: pl.Series, kept: pl.Series) -> pl.Series:
    """Return the values that are kept, and nulls in place of the others."""
    return pl.select(pl.when(kept).then(values)).to_series()


def _nulls(values: pl.Series, dtype: PolarsDataType) -> pl.Series:
    return pl.Series(values.name, [None], dtype=dtype).new_from_index(0, len(values))
