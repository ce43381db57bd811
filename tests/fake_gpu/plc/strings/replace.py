"""Parts of strings replaced (cpp/src/strings/replace/replace.cu)."""

from typing import Any

import pyarrow as pa

from fake_gpu.calls import call
from fake_gpu.plc.column import Column
from fake_gpu.plc.scalar import Scalar
from fake_gpu.texts import TEXT, mapped, require_text, text


@call
def replace(
    input: Column, target: Scalar, repl: Scalar, maxrepl: int = -1, stream: Any = None, mr: Any = None
) -> Column:
    """Replace a text that is not empty, at most so often in a string; -1 for everywhere."""
    require_text(input)
    new, old = text(repl, "repl"), text(target, "target")
    if not old:
        raise RuntimeError("CUDF failure: Parameter target must not be empty string.")
    return mapped(input, lambda value: value.replace(old, new, maxrepl), TEXT, pa.string(), stream)
