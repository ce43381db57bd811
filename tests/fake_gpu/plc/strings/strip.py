"""Ends of strings taken off (cpp/include/cudf/strings/detail/strip.cuh)."""

from typing import Any

import pyarrow as pa
from pylibcudf.strings.side_type import SideType

from fake_gpu.calls import call
from fake_gpu.plc.column import Column
from fake_gpu.plc.scalar import Scalar
from fake_gpu.texts import TEXT, mapped, require_text, text

_BLANKS = "".join(map(chr, range(ord(" ") + 1)))


@call
def strip(
    input: Column,
    side: SideType = SideType.BOTH,
    to_strip: Scalar | None = None,
    stream: Any = None,
    mr: Any = None,
) -> Column:
    """Strip characters; without any, all up to the blank in ASCII, and no other spaces of Unicode."""
    require_text(input)
    characters = (text(to_strip, "to_strip") if to_strip is not None else "") or _BLANKS
    rule = {SideType.LEFT: str.lstrip, SideType.RIGHT: str.rstrip, SideType.BOTH: str.strip}[side]
    return mapped(input, lambda value: rule(value, characters), TEXT, pa.string(), stream)
