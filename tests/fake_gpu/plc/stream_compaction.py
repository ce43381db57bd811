"""Choice of rows."""

from typing import Any

import pyarrow.compute as pc
from pylibcudf.stream_compaction import DuplicateKeepOption
from pylibcudf.types import TypeId

from fake_gpu.calls import call
from fake_gpu.plc.column import Column, made
from fake_gpu.plc.table import Table

__all__ = [
    "DuplicateKeepOption",
    "apply_boolean_mask",
    "apply_deletion_mask",
    "apply_retention_mask",
    "drop_nulls",
]


@call
def apply_boolean_mask(
    source_table: Table, boolean_mask: Column, stream: Any = None, mr: Any = None
) -> Table:
    """Keep the rows whose mask is true: not false, not null (cpp/src/stream_compaction/apply_boolean_mask.cu)."""
    _check(source_table, boolean_mask)
    return _kept(source_table, boolean_mask.array().fill_null(False), stream)


@call
def apply_retention_mask(
    source_table: Table, retention_mask: Column, stream: Any = None, mr: Any = None
) -> Table:
    """Keep the rows whose mask is true: not false, not null."""
    _check(source_table, retention_mask)
    return _kept(source_table, retention_mask.array().fill_null(False), stream)


@call
def apply_deletion_mask(
    source_table: Table, deletion_mask: Column, stream: Any = None, mr: Any = None
) -> Table:
    """Keep the rows whose mask is false: a null drops the row, too (the same file)."""
    _check(source_table, deletion_mask)
    return _kept(source_table, pc.invert(deletion_mask.array()).fill_null(False), stream)


@call
def drop_nulls(
    source_table: Table, keys: list[int], keep_threshold: int, stream: Any = None, mr: Any = None
) -> Table:
    """Keep the rows of which at least so many keys are valid."""
    counts = sum(source_table.columns()[key].array().is_valid().cast("int32").to_numpy() for key in keys)
    return _kept(source_table, pc.greater_equal(counts, keep_threshold), stream)


def _check(table: Table, mask: Column) -> None:
    if mask.type().id() != TypeId.BOOL8:
        raise RuntimeError("CUDF failure: Mask must be Boolean type")
    if not table.num_columns():
        raise NotImplementedError("the fake filters no table without columns")
    if table.num_rows() not in (0, mask.size()):
        raise RuntimeError("CUDF failure: Column size mismatch")


def _kept(table: Table, mask: Any, stream: Any) -> Table:
    return Table([made(column.array().filter(mask), column.type(), stream) for column in table.columns()])
