"""State as one Arrow table: a frame, with a few plain values in the metadata of its schema."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pyarrow as pa

from arrowstream.core.batch import to_frame, to_record

_VALUES = b"arrowstream.values"


def to_table(frame: pl.DataFrame | None, **values: Any) -> pa.Table:
    """The frame, which may be None, and the values, which must have a form in JSON."""
    table = pa.table({}) if frame is None else pa.Table.from_batches([to_record(frame)])
    return table.replace_schema_metadata({_VALUES: json.dumps(values).encode()})


def from_table(table: pa.Table) -> tuple[pl.DataFrame | None, dict[str, Any]]:
    """What was put in."""
    values: dict[str, Any] = json.loads(table.schema.metadata[_VALUES])
    frame = to_frame(table) if table.num_columns else None
    return frame, values
