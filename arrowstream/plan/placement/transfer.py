"""What it costs to take rows to a device and back: lines over bytes, fitted like those of backends over rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import polars as pl

from arrowstream.backends.base import Backend, TransferCost
from arrowstream.core.batch import Batch
from arrowstream.plan.placement.costs import LineCost
from arrowstream.plan.placement.path import HOST, Held

_TEXT_BYTES = 24
"""Assumed bytes of a value whose type has no fixed size: a short text with its offset."""

_LEAST_FIXED, _LEAST_SLOPE = 1e-3, 1e-9
"""Smallest start values, in microseconds and microseconds a byte: a line is fitted by relative errors."""

_FORGETTING = 0.9
"""Factor on the bytes of a row that were measured before, with each later transfer."""


def row_bytes(schema: pl.Schema) -> float:
    """Return the bytes that a row is assumed to have, before any is measured."""
    return sum(_value_bytes(dtype) for dtype in schema.dtypes())


def _value_bytes(dtype: pl.DataType) -> float:
    if isinstance(dtype, pl.Struct):
        return row_bytes(pl.Schema(dtype.to_schema()))
    return _BYTES.get(dtype.base_type(), _TEXT_BYTES)


_BYTES: dict[type[pl.DataType], float] = {
    pl.Null: 0,
    pl.Boolean: 1 / 8,
    **dict.fromkeys((pl.Int8, pl.UInt8), 1),
    **dict.fromkeys((pl.Int16, pl.UInt16), 2),
    **dict.fromkeys((pl.Int32, pl.UInt32, pl.Float32, pl.Date, pl.Categorical, pl.Enum), 4),
    **dict.fromkeys((pl.Int64, pl.UInt64, pl.Float64, pl.Datetime, pl.Duration, pl.Time), 8),
    pl.Decimal: 16,
}


class Crossing(NamedTuple):
    """The cost of one transfer at an edge: microseconds a batch, and microseconds a row."""

    fixed: float
    slope: float

    def __str__(self) -> str:
        return f"{self.fixed:.0f} us + {self.slope * 1000:.1f} ns/row"


class Direction:
    """The cost of transfers to or from a device, wherever they are: they share a bus, which others may use too.

    Parameters
    ----------
    assumed
        The cost before any is measured. Its time for a row is not learnt.
    """

    __slots__ = ("line", "per_row")

    def __init__(self, assumed: TransferCost) -> None:
        self.line = LineCost(max(assumed.per_batch, _LEAST_FIXED), max(assumed.per_byte, _LEAST_SLOPE))
        self.per_row = assumed.per_row

    def at(self, width: float) -> Crossing:
        """Return the cost of a transfer of rows that have `width` bytes each."""
        return Crossing(self.line.fixed, self.line.slope * width + self.per_row)

    def predict(self, rows: float, width: float) -> float:
        """Return the expected time of a transfer of rows that have `width` bytes each, in microseconds."""
        return self.line.fixed + (self.line.slope * width + self.per_row) * rows

    def observe(self, rows: int, nbytes: int, micros: float) -> None:
        """Learn that rows of `nbytes` bytes together took `micros` microseconds."""
        self.line.observe(nbytes, max(micros - self.per_row * rows, 0.0))


class TransferEdge:
    """The place between two stages: the bytes of its rows that cross over, and the transfers to each device and back.

    Parameters
    ----------
    schema
        The rows that pass.
    devices
        The backends; each that has a form of rows is a device, and those of one form are the same.
    """

    __slots__ = ("_schema", "download_width", "downloads", "returned", "upload_width", "uploads")

    def __init__(self, schema: pl.Schema, devices: Iterable[Backend]) -> None:
        self._schema = schema
        self.cross(schema, schema)
        self.uploads: dict[str, Direction] = {}
        self.downloads: dict[str, Direction] = {}
        for device in devices:
            if device.form is not None:
                self.uploads.setdefault(device.form, Direction(device.upload_cost))
                self.downloads.setdefault(device.form, Direction(device.download_cost))

    @property
    def columns(self) -> Sequence[str]:
        """The names of the columns."""
        return self._schema.names()

    def cross(self, uploaded: Collection[str], returned: Collection[str]) -> None:
        """Set the columns that go to a device here, and those that come back."""
        self.returned = tuple(name for name in self._schema if name in returned)
        self.upload_width, self.download_width = (
            row_bytes(pl.Schema({name: self._schema[name] for name in names if name in self._schema}))
            for names in (uploaded, returned)
        )

    def share(self, other: TransferEdge) -> None:
        """Learn transfers together with another edge."""
        self.uploads, self.downloads = other.uploads, other.downloads

    @property
    def upload(self) -> dict[str, Crossing]:
        """The cost of a transfer of the edge's rows to each device."""
        return {form: direction.at(self.upload_width) for form, direction in self.uploads.items()}

    @property
    def download(self) -> dict[str, Crossing]:
        """The cost of a transfer of the edge's rows from each device."""
        return {form: direction.at(self.download_width) for form, direction in self.downloads.items()}

    def upload_us(self, form: str, rows: float) -> float:
        """Return the expected time of a transfer of `rows` rows to a device, in microseconds."""
        return self.uploads[form].predict(rows, self.upload_width)

    def download_us(self, form: str, rows: float) -> float:
        """Return the expected time of a transfer of `rows` rows from a device, in microseconds."""
        return self.downloads[form].predict(rows, self.download_width)

    def observe_upload(self, form: str, rows: int, nbytes: int, micros: float) -> None:
        """Learn that rows of `nbytes` bytes together took `micros` microseconds to a device."""
        self.upload_width = _updated(self.upload_width, rows, nbytes)
        self.uploads[form].observe(rows, nbytes, micros)

    def observe_download(self, form: str, rows: int, nbytes: int, micros: float) -> None:
        """Learn that rows of `nbytes` bytes together took `micros` microseconds from a device."""
        self.download_width = _updated(self.download_width, rows, nbytes)
        self.downloads[form].observe(rows, nbytes, micros)

    def of_groups(self) -> None:
        """Assume that groups of the rows pass in place of them: too few for their number to matter."""
        self.download_width = 0.0

    def memories(self, batch: Batch) -> Held:
        """Return the memories that hold a batch."""
        forms = [form for form in self.uploads if batch.has(form)]
        if not forms:
            return HOST
        return frozenset([*forms, None]) if batch.has("arrow") or batch.is_polars else frozenset(forms)


def _updated(width: float, rows: int, nbytes: int) -> float:
    return _FORGETTING * width + (1.0 - _FORGETTING) * nbytes / max(rows, 1)
