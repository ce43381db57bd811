"""Strings filled up (cpp/include/cudf/strings/detail/pad_impl.cuh)."""

from typing import Any

import pyarrow as pa
from pylibcudf.strings.side_type import SideType

from fake_gpu.calls import call
from fake_gpu.plc.column import Column
from fake_gpu.texts import TEXT, mapped, require_text


@call
def pad(
    input: Column, width: int, side: SideType, fill_char: str, stream: Any = None, mr: Any = None
) -> Column:
    """Fill up to a width in characters, with the first character given; longer strings stay."""
    require_text(input)
    if not fill_char:
        raise RuntimeError("CUDF failure: fill_char parameter must not be empty")
    fill = fill_char[0]

    def padded(value: str) -> str:
        lacking = max(width - len(value), 0)
        if side == SideType.LEFT:
            return fill * lacking + value
        if side == SideType.RIGHT:
            return value + fill * lacking
        right = lacking // 2 if width % 2 else lacking - lacking // 2
        return fill * (lacking - right) + value + fill * right

    return mapped(input, padded, TEXT, pa.string(), stream)


@call
def zfill(input: Column, width: int, stream: Any = None, mr: Any = None) -> Column:
    """Fill up with zeros, after a sign."""
    require_text(input)
    return mapped(input, lambda value: value.zfill(width), TEXT, pa.string(), stream)
