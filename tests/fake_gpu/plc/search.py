"""Membership."""

from typing import Any

import pyarrow.compute as pc
from pylibcudf import traits
from pylibcudf.types import DataType, TypeId

from fake_gpu.calls import call
from fake_gpu.keys import normal
from fake_gpu.plc.column import Column, made


@call
def contains(haystack: Column, needles: Column, stream: Any = None, mr: Any = None) -> Column:
    """Tell for each needle whether it is in the haystack; null for a null (cpp/src/search/contains_column.cu).

    NaN equals NaN, 0.0 equals -0.0.
    """
    if haystack.type() != needles.type():
        raise TypeError("CUDF failure: DataType mismatch")
    if traits.is_nested(needles.type()):
        raise NotImplementedError("the fake searches no nested columns")
    wanted = normal(needles.array(), needles.type())
    found = pc.is_in(wanted, value_set=normal(haystack.array(), haystack.type()).drop_null())
    return made(pc.if_else(wanted.is_valid(), found, None), DataType(TypeId.BOOL8), stream)
