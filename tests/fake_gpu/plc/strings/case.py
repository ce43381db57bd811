"""Capital and small letters (cpp/src/strings/case.cu): of ASCII only, as the fake has not libcudf's tables."""

from typing import Any

import pyarrow.compute as pc

from fake_gpu.calls import call
from fake_gpu.plc.column import Column, made
from fake_gpu.texts import TEXT, require_text


@call
def to_lower(input: Column, stream: Any = None, mr: Any = None) -> Column:
    return _ascii(input, pc.ascii_lower, stream)


@call
def to_upper(input: Column, stream: Any = None, mr: Any = None) -> Column:
    return _ascii(input, pc.ascii_upper, stream)


@call
def swapcase(input: Column, stream: Any = None, mr: Any = None) -> Column:
    return _ascii(input, pc.ascii_swapcase, stream)


def _ascii(input: Column, rule: Any, stream: Any) -> Column:
    require_text(input)
    array = input.array()
    changed = rule(array)
    # A value that is wrong wherever it is used, as no other is known.
    unknown = pc.binary_join_element_wise(changed, "\ufffd", "")
    return made(pc.if_else(pc.string_is_ascii(array), changed, unknown), TEXT, stream)
