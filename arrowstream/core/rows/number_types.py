"""Groups of Polars types by their layout in memory. For a type with parameters, look up its `base_type()`."""

from __future__ import annotations

from typing import Any

import polars as pl

INTEGERS: frozenset[Any] = frozenset(
    {pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64}
)
"""Integers of up to 64 bits, which numpy also has."""

NUMBERS: frozenset[Any] = INTEGERS | {pl.Float32, pl.Float64}

TIMES: frozenset[Any] = frozenset({pl.Date, pl.Time, pl.Datetime, pl.Duration})
"""Dates, times and spans of time: integers in memory."""
