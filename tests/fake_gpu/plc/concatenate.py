"""Columns and tables one after the other."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from fake_gpu.calls import call
from fake_gpu.plc.column import Column, made
from fake_gpu.plc.table import Table


@call
def concatenate(objects: Sequence[Any], stream: Any = None, mr: Any = None) -> Any:
    """Copy the rows of columns or tables of the same types together."""
    if not objects:
        raise ValueError("input list may not be empty")
    if isinstance(objects[0], Table):
        if len({table.num_columns() for table in objects}) > 1:
            raise RuntimeError("CUDF failure: Mismatch in table columns to concatenate.")
        parts = zip(*(table.columns() for table in objects), strict=True)
        return Table([_joined(list(columns), stream) for columns in parts])
    return _joined(list(objects), stream)


def _joined(columns: list[Column], stream: Any) -> Column:
    if any(column.type() != columns[0].type() for column in columns):
        raise TypeError("CUDF failure: Type mismatch in columns to concatenate.")
    return made(pa.concat_arrays([column.array() for column in columns]), columns[0].type(), stream)
