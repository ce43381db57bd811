"""What the functions of strings share."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
from pylibcudf.types import DataType, TypeId

from fake_gpu.plc.column import Column, made
from fake_gpu.plc.scalar import Scalar

TEXT = DataType(TypeId.STRING)
BOOLEAN = DataType(TypeId.BOOL8)
COUNT = DataType(TypeId.INT32)


def require_text(*columns: Column | Scalar | None) -> None:
    """Refuse what is no string: libcudf reads it as one."""
    for column in columns:
        if column is not None and column.type().id() != TypeId.STRING:
            raise RuntimeError("CUDF failure: strings_column_view only supports strings")


def text(scalar: Scalar, name: str) -> str:
    """Give a scalar's text, which must not be null."""
    require_text(scalar)
    if not scalar.value.is_valid:
        raise RuntimeError(f"CUDF failure: Parameter {name} must be valid.")
    return str(scalar.value.as_py())


def mapped(
    input: Column, function: Callable[[str], Any], out: DataType, kind: pa.DataType, stream: Any
) -> Column:
    """Compute a function of each string that is not null."""
    values = [None if value is None else function(value) for value in input.array().to_pylist()]
    return made(pa.array(values, kind), out, stream)
