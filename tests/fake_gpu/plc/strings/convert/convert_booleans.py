"""Booleans as text (cpp/src/strings/convert/convert_booleans.cu)."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pylibcudf.types import TypeId

from fake_gpu.calls import call
from fake_gpu.plc.column import Column, made
from fake_gpu.plc.scalar import Scalar
from fake_gpu.texts import TEXT


@call
def from_booleans(
    booleans: Column, true_string: Scalar, false_string: Scalar, stream: Any = None, mr: Any = None
) -> Column:
    """One of two texts, neither of which may be empty."""
    if booleans.type().id() != TypeId.BOOL8:
        raise RuntimeError("CUDF failure: Input column must be boolean type")
    for scalar in (true_string, false_string):
        if not scalar.value.as_py():
            raise RuntimeError("CUDF failure: Parameter true_string must not be empty.")
    return made(
        pc.if_else(booleans.array(), true_string.value, false_string.value).cast(pa.string()), TEXT, stream
    )
