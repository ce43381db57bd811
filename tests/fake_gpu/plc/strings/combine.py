"""Strings put together (cpp/src/strings/combine/concatenate.cu)."""

from typing import Any

import pyarrow as pa
from pylibcudf.strings.combine import OutputIfEmptyList, SeparatorOnNulls

from fake_gpu.calls import call
from fake_gpu.plc.column import Column, made
from fake_gpu.plc.scalar import Scalar
from fake_gpu.plc.table import Table
from fake_gpu.texts import TEXT, require_text, text

__all__ = ["OutputIfEmptyList", "SeparatorOnNulls", "concatenate"]


@call
def concatenate(
    strings_columns: Table,
    separator: Column | Scalar,
    narep: Scalar | None = None,
    col_narep: Scalar | None = None,
    separate_nulls: SeparatorOnNulls = SeparatorOnNulls.YES,
    stream: Any = None,
    mr: Any = None,
) -> Column:
    """Join the strings of each row.

    A null scalar `narep` makes null of a row with a null; one that is left out stands for "" (combine.pyx).
    """
    if isinstance(separator, Column):
        raise NotImplementedError("the fake joins with one separator only")
    if col_narep is not None:
        raise ValueError("col_narep cannot be specified when separator is a Scalar")
    if strings_columns.num_columns() < 2:
        raise RuntimeError("CUDF failure: At least two columns must be specified")
    require_text(*strings_columns.columns(), separator, narep)
    instead = "" if narep is None else narep.value.as_py()
    if not strings_columns.num_rows():
        return made(pa.array([], pa.string()), TEXT, stream)
    between = text(separator, "separator")
    rows = zip(*(column.array().to_pylist() for column in strings_columns.columns()), strict=True)
    return made(
        pa.array([_joined(row, between, instead, separate_nulls) for row in rows], pa.string()), TEXT, stream
    )


def _joined(
    row: tuple[str | None, ...], between: str, instead: str | None, policy: SeparatorOnNulls
) -> str | None:
    if instead is None:
        return None if None in row else between.join(row)  # type: ignore[arg-type]
    if policy == SeparatorOnNulls.YES:
        return between.join(instead if value is None else value for value in row)
    found, separate = "", False
    for value in row:
        if separate and value is not None:
            found += between
            separate = False
        found += instead if value is None else value
        separate = separate or value is not None
    return found
