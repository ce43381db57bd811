"""The types of an Iceberg table."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

import polars as pl

from arrowstream.io.lake.types import LakeTypes

if TYPE_CHECKING:
    from pyiceberg.schema import Schema
    from pyiceberg.types import IcebergType, NestedField

TYPES = LakeTypes(
    "an Iceberg table",
    same=(
        *(pl.Int32, pl.Int64, pl.Float32, pl.Float64),
        *(pl.Boolean, pl.String, pl.Binary, pl.Date, pl.Time, pl.Decimal),
    ),
    wider={
        pl.Int8(): pl.Int32(),
        pl.Int16(): pl.Int32(),
        pl.UInt8(): pl.Int32(),
        pl.UInt16(): pl.Int32(),
        pl.UInt32(): pl.Int64(),
        pl.UInt64(): pl.Decimal(20, 0),
    },
    all_partitions=True,
)


def iceberg_schema(schema: pl.Schema) -> Schema:
    """Return stored columns as the schema of an Iceberg table."""
    from pyiceberg.schema import Schema

    return Schema(*_fields(dict(schema), count(1)))


def _fields(columns: dict[str, pl.DataType], ids: Iterator[int]) -> list[NestedField]:
    """Return fields with ids; the table gives them others."""
    from pyiceberg.types import NestedField

    own = [next(ids) for _ in columns]
    return [
        NestedField(number, name, _type(dtype, ids), required=False)
        for number, (name, dtype) in zip(own, columns.items(), strict=True)
    ]


def _type(dtype: pl.DataType, ids: Iterator[int]) -> IcebergType:
    from pyiceberg import types

    if isinstance(dtype, pl.List):
        number = next(ids)
        assert isinstance(dtype.inner, pl.DataType)
        return types.ListType(number, _type(dtype.inner, ids), element_required=False)
    if isinstance(dtype, pl.Struct):
        return types.StructType(*_fields({each.name: _typed(each.dtype) for each in dtype.fields}, ids))
    if isinstance(dtype, pl.Decimal):
        return types.DecimalType(dtype.precision, dtype.scale)
    if isinstance(dtype, pl.Datetime):
        return types.TimestampType() if dtype.time_zone is None else types.TimestamptzType()
    plain: dict[pl.DataType, IcebergType] = {
        pl.Boolean(): types.BooleanType(),
        pl.Int32(): types.IntegerType(),
        pl.Int64(): types.LongType(),
        pl.Float32(): types.FloatType(),
        pl.Float64(): types.DoubleType(),
        pl.String(): types.StringType(),
        pl.Binary(): types.BinaryType(),
        pl.Date(): types.DateType(),
        pl.Time(): types.TimeType(),
    }
    return plain[dtype]


def _typed(dtype: object) -> pl.DataType:
    assert isinstance(dtype, pl.DataType)
    return dtype
