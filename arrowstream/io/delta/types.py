"""The types of a Delta table."""

from __future__ import annotations

from typing import Any

import polars as pl

from arrowstream.core.rows.arrow_schema import arrow_schema
from arrowstream.io.lake.types import LakeTypes

TYPES = LakeTypes(
    "a Delta table",
    same=(
        *(pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Float32, pl.Float64),
        *(pl.Boolean, pl.String, pl.Binary, pl.Date, pl.Decimal),
    ),
    wider={
        pl.UInt8(): pl.Int16(),
        pl.UInt16(): pl.Int32(),
        pl.UInt32(): pl.Int64(),
        pl.UInt64(): pl.Decimal(20, 0),
    },
)


def delta_schema(schema: pl.Schema) -> Any:
    """Return stored columns as the schema of a Delta table."""
    from deltalake import Schema

    return Schema.from_arrow(arrow_schema(schema))
