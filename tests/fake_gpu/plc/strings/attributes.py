"""Lengths of strings (cpp/src/strings/attributes.cu)."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fake_gpu.calls import call
from fake_gpu.plc.column import Column, made
from fake_gpu.texts import COUNT, require_text


@call
def count_characters(source_strings: Column, stream: Any = None, mr: Any = None) -> Column:
    """Code points, as INT32."""
    require_text(source_strings)
    return made(pc.utf8_length(source_strings.array()).cast(pa.int32()), COUNT, stream)


@call
def count_bytes(source_strings: Column, stream: Any = None, mr: Any = None) -> Column:
    """Bytes of UTF-8, as INT32."""
    require_text(source_strings)
    return made(pc.binary_length(source_strings.array()).cast(pa.int32()), COUNT, stream)
