"""Times in the usual form of ISO 8601, all written alike: one format reads them fast.

Polars' JSON reader tries formats for every value, which takes some 5 us each; one known format takes 0.02 us.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

_TIME = re.compile(
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ])[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.([0-9]+))?(Z|[+-][0-9]{2}:[0-9]{2})?$"
)
_DATE = re.compile(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
_DIGITS = {"ms": 3, "us": 6, "ns": 9}


def is_read_alike(dtype: PolarsDataType) -> bool:
    """Return whether texts of this type may be read by `times_alike`."""
    return dtype == pl.Date or (isinstance(dtype, pl.Datetime) and dtype.time_zone in (None, "UTC"))


def times_alike(texts: pl.Series, dtype: PolarsDataType) -> pl.Series | None:
    """Return the times or dates of texts that are all written like the first one; None if they are not.

    Parameters
    ----------
    texts
        Texts, or nulls.
    dtype
        A type for which `is_read_alike` is true.

    Examples
    --------
    >>> times_alike(pl.Series(["2026-01-31T12:00:00Z", None]), pl.Datetime("us", "UTC")).dt.hour().to_list()
    [12, None]
    >>> times_alike(pl.Series(["2026-01-31T12:00:00Z", "12 o'clock"]), pl.Datetime("us", "UTC")) is None
    True
    """
    lengths = texts.str.len_bytes()
    if lengths.min() != lengths.max():
        return None
    first = texts[index] if (index := texts.is_not_null().arg_max()) is not None else None
    form = "%Y-%m-%d" if first is None else _form(first, dtype)
    # A format of Polars also takes a sign before a year, blanks before a number, and a zone without its colon.
    usual = _TIME if isinstance(dtype, pl.Datetime) else _DATE
    if form is None or not texts.str.contains(usual.pattern).all():
        return None
    try:
        if not isinstance(dtype, pl.Datetime):
            return texts.str.to_date(form)
        times = texts.str.to_datetime(
            form, time_unit=dtype.time_unit, time_zone="UTC" if "z" in form else None
        )
    except pl.exceptions.PolarsError:
        return None
    return times.dt.replace_time_zone(dtype.time_zone)


def _form(text: str, dtype: PolarsDataType) -> str | None:
    """Return the format of a text in the usual form; None if it has another, or one that `dtype` does not hold."""
    if not isinstance(dtype, pl.Datetime):
        return "%Y-%m-%d" if _DATE.fullmatch(text) else None
    if (found := _TIME.fullmatch(text)) is None:
        return None
    between, fraction, zone = found.groups()
    if (zone is None) != (dtype.time_zone is None) or len(fraction or "") > _DIGITS[dtype.time_unit]:
        return None
    return f"%Y-%m-%d{between}%H:%M:%S{'%.f' if fraction else ''}{ {None: '', 'Z': 'Z'}.get(zone, '%:z') }"
