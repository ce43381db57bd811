"""Integers as text."""

from typing import Any

import pyarrow as pa
from pylibcudf import traits

from fake_gpu.calls import call
from fake_gpu.plc.column import Column, made
from fake_gpu.texts import TEXT


@call
def from_integers(integers: Column, stream: Any = None, mr: Any = None) -> Column:
    """Decimal digits, after "-" if negative."""
    if not traits.is_integral_not_bool(integers.type()):
        raise RuntimeError("CUDF failure: Values for from_integers function must be an integral type.")
    return made(integers.array().cast(pa.string()), TEXT, stream)
