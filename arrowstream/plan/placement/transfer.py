"""What it costs to take the rows between two stages to a device, and back: lines, fitted like those of backends."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from arrowstream.backends.base import Backend, TransferCost
from arrowstream.core.batch import Batch
from arrowstream.plan.placement.costs import LineCost
from arrowstream.plan.placement.path import HOST, Held

_VIEW_BYTES = 24
"""Assumed bytes of a value whose type has no fixed size: a short text with its offset."""

_LEAST_FIXED, _LEAST_SLOPE = 1e-3, 1e-7
"""Smallest start values, in microseconds: a line is fitted by relative errors, so that 0 has none."""


def row_bytes(schema: pl.Schema) -> float:
    """Return the bytes that a row is assumed to have, before any is measured."""
    return sum(_value_bytes(dtype) for dtype in schema.dtypes())


def _value_bytes(dtype: pl.DataType) -> float:
    if isinstance(dtype, pl.Struct):
        return row_bytes(pl.Schema(dtype.to_schema()))
    if isinstance(dtype, pl.Decimal):
        return 16
    return _BYTES.get(dtype.base_type(), _VIEW_BYTES)


_BYTES: dict[type[pl.DataType], float] = {
    pl.Null: 0,
    pl.Boolean: 1 / 8,
    **dict.fromkeys((pl.Int8, pl.UInt8), 1),
    **dict.fromkeys((pl.Int16, pl.UInt16), 2),
    **dict.fromkeys((pl.Int32, pl.UInt32, pl.Float32, pl.Date, pl.Categorical, pl.Enum), 4),
    **dict.fromkeys((pl.Int64, pl.UInt64, pl.Float64, pl.Datetime, pl.Duration, pl.Time), 8),
}


class Edge:
    """The place between two stages: the cost of transfers of its rows, by device.

    Parameters
    ----------
    schema
        The rows that pass.
    devices
        The backends; each that has a form of rows is a device, and those of one form are the same.
    """

    __slots__ = ("download", "upload")

    def __init__(self, schema: pl.Schema, devices: Iterable[Backend]) -> None:
        width = row_bytes(schema)
        self.upload: dict[str, LineCost] = {}
        self.download: dict[str, LineCost] = {}
        for device in devices:
            if device.form is not None:
                self.upload.setdefault(device.form, _line(device.upload_cost, width))
                self.download.setdefault(device.form, _line(device.download_cost, width))

    def memories(self, batch: Batch) -> Held:
        """Return the memories that hold a batch."""
        forms = [form for form in self.upload if batch.has(form)]
        if not forms:
            return HOST
        return frozenset([*forms, None]) if batch.has("arrow") or batch.is_polars else frozenset(forms)


def _line(cost: TransferCost, width: float) -> LineCost:
    slope = cost.per_row + cost.per_byte * width
    return LineCost(max(cost.per_batch, _LEAST_FIXED), max(slope, _LEAST_SLOPE))
