"""Parts of strings (cpp/src/strings/slice.cu, pylibcudf/strings/slice.pyx)."""

from typing import Any

import pyarrow as pa
from pylibcudf.types import TypeId

from fake_gpu.calls import call
from fake_gpu.plc.column import Column, made
from fake_gpu.plc.scalar import Scalar
from fake_gpu.texts import TEXT, mapped, require_text


@call
def slice_strings(
    input: Column,
    start: Column | Scalar | None = None,
    stop: Column | Scalar | None = None,
    step: Scalar | None = None,
    stream: Any = None,
    mr: Any = None,
) -> Column:
    """Characters [start, stop), of which negative ones count from the end.

    A null scalar stands for the beginning or the end. An argument that is left out stands for 0: of `stop`, too.
    """
    require_text(input)
    if isinstance(start, Column) or isinstance(stop, Column):
        return _by_row(input, start, stop, step, stream)
    if start is None and stop is None and step is None:
        raise TypeError("No matching signature found")
    first, last, by = _number(start, 0), _number(stop, 0), _number(step, 1)
    if by == 0:
        raise RuntimeError("CUDF failure: Step parameter must not be 0")
    if by is not None and by < 0:
        raise NotImplementedError("the fake takes no steps back")
    return mapped(input, lambda value: value[first:last:by], TEXT, pa.string(), stream)


def _number(scalar: Scalar | None, otherwise: int) -> int | None:
    if scalar is None:
        return otherwise
    if scalar.type().id() != TypeId.INT32:
        raise AssertionError(f"slice_strings reads a scalar of {scalar.type().id().name} as if it were INT32")
    found: int | None = scalar.value.as_py()
    return found


def _by_row(input: Column, start: Any, stop: Any, step: Any, stream: Any) -> Column:
    """Of columns: a negative start is 0, a negative stop the end."""
    if step is not None:
        raise ValueError("Column-wise slice does not support step")
    if start is None or stop is None:
        raise ValueError("start and stop must be provided for Column-wise slice")
    if start.size() != input.size() or stop.size() != input.size():
        raise RuntimeError("CUDF failure: Strings and starts column must have the same number of rows.")
    if start.null_count() or stop.null_count():
        raise RuntimeError("CUDF failure: starts and stops columns must not have nulls")
    rows = zip(*(column.array().to_pylist() for column in (input, start, stop)), strict=True)
    found = [
        None if value is None else value[max(first, 0) : (last if last >= 0 else None)]
        for value, first, last in rows
    ]
    return made(pa.array(found, pa.string()), TEXT, stream)
