"""What stands for the package pylibcudf: modules and functions of the same names. See `fake_gpu`."""

from pylibcudf import DataType, TypeId, interop, traits, types

from fake_gpu.plc import (
    aggregation,
    binaryop,
    column,
    concatenate,
    copying,
    datetime,
    expressions,
    filling,
    groupby,
    join,
    null_mask,
    reduce,
    replace,
    round,
    scalar,
    search,
    sorting,
    stream_compaction,
    strings,
    table,
    transform,
    unary,
)
from fake_gpu.plc.column import Column
from fake_gpu.plc.gpumemoryview import gpumemoryview
from fake_gpu.plc.scalar import Scalar
from fake_gpu.plc.table import Table

__all__ = [
    "Column",
    "DataType",
    "Scalar",
    "Table",
    "TypeId",
    "aggregation",
    "binaryop",
    "column",
    "concatenate",
    "copying",
    "datetime",
    "expressions",
    "filling",
    "gpumemoryview",
    "groupby",
    "interop",
    "join",
    "null_mask",
    "reduce",
    "replace",
    "round",
    "scalar",
    "search",
    "sorting",
    "stream_compaction",
    "strings",
    "table",
    "traits",
    "transform",
    "types",
    "unary",
]
