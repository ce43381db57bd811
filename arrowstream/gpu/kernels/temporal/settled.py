"""The dates and times that libraries compute alike: years of four digits, in UTC or without a zone.

Outside of those years Polars computes the batch. Local times of other zones need a database of zones, and stay on the
CPU.
"""

from __future__ import annotations

from datetime import date

import pyarrow as pa

from arrowstream.gpu.kernels.conversion import DAY, TICKS
from arrowstream.gpu.kernels.tree import Node, bits, cast, within

_types = pa.types
_EPOCH = date(1970, 1, 1)


def is_universal(dtype: pa.DataType) -> bool:
    """Return whether a type is a timestamp without a zone, or in UTC."""
    return bool(_types.is_timestamp(dtype)) and dtype.tz in (None, "UTC", "Etc/UTC")


def settled(moments: Node) -> Node:
    """Return dates or timestamps, but leave batches with a year of other than four digits to Polars."""
    dtype = moments.dtype
    first, last = date(1, 1, 2), date(9999, 12, 30)
    if _types.is_timestamp(dtype) and dtype.unit == "ns":
        # The range of 64 bits, less a year for results that lie earlier or later.
        first, last = date(1678, 10, 1), date(2261, 3, 1)
    ticks = 1 if _types.is_date32(dtype) else DAY * TICKS[dtype.unit]
    return within(moments, (first - _EPOCH).days * ticks, (last - _EPOCH).days * ticks)


def to_date(moments: Node) -> Node:
    """Return the dates of settled moments."""
    return moments if _types.is_date32(moments.dtype) else cast(moments, pa.date32())


def days(moments: Node) -> Node:
    """Return the days since 1970 of settled moments, as int32."""
    return bits(to_date(moments), pa.int32())
