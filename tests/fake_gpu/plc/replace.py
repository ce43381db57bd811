"""Replacement of values."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pylibcudf.replace import ReplacePolicy

from fake_gpu.calls import call
from fake_gpu.plc.column import Column, made
from fake_gpu.plc.scalar import Scalar

__all__ = ["ReplacePolicy", "replace_nulls"]


@call
def replace_nulls(
    source_column: Column, replacement: Column | Scalar | ReplacePolicy, stream: Any = None, mr: Any = None
) -> Column:
    """Put other values in place of nulls; a replacement that is null stays null."""
    array = source_column.array()
    if isinstance(replacement, ReplacePolicy):
        fill = pc.fill_null_forward if replacement == ReplacePolicy.PRECEDING else pc.fill_null_backward
        return made(fill(array), source_column.type(), stream)
    if replacement.type() != source_column.type():
        raise TypeError("CUDF failure: Data type mismatch")
    if isinstance(replacement, Column):
        if replacement.size() != source_column.size():
            raise ValueError("CUDF failure: Column size mismatch")
        other = replacement.array()
    else:
        other = pa.repeat(replacement.value, len(array))
    return made(pc.if_else(array.is_valid(), array, other), source_column.type(), stream)
