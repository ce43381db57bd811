"""The elements of a stream: batches of rows, and in-band marks.

A `Batch` holds its rows in the form in which they came, such as a `pyarrow.RecordBatch` or a `polars.DataFrame`, and
makes another form once, when it is first asked for. Arrow and Polars share the memory of most columns; only
strings differ in layout (offsets in Arrow, views in Polars), and converting them costs some 7 ns a row.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import polars as pl
import pyarrow as pa

from arrowstream.core.plural import counted
from arrowstream.core.position import Position, joined
from arrowstream.core.rows.forms import FORMS, Form, Rows, form_of, register_form
from arrowstream.core.rows.frame_of import with_names

_OLDEST = pl.CompatLevel.oldest()
_RECORD, _FRAME = pa.RecordBatch, pl.DataFrame


class Batch:
    """Rows of one schema, with their source position and ingest time. Immutable.

    May be used from any thread; two threads that ask for the same missing form at the same time may both make it.

    Parameters
    ----------
    rows
        The rows, in any registered form (see `arrowstream.core.rows.forms`). A RecordBatch must already have the
        schema that `arrow_schema` gives for its Polars schema; connectors cast on entry (see
        `arrowstream.core.ingest.conform`).
    position
        Source position of the rows, for error messages; None if the source does not know.
    ingest_ns
        Reading of the run's monotonic clock, in nanoseconds, when the source handed the rows over; for latency.

    Attributes
    ----------
    num_rows : int
        Number of rows.
    """

    __slots__ = ("_frame", "_others", "_record", "ingest_ns", "num_rows", "position")

    def __init__(self, rows: Rows, position: Position | None = None, ingest_ns: int | None = None) -> None:
        # Separate attributes for the two common forms are faster than a dict, and every step makes a batch.
        self._record: pa.RecordBatch | None = None
        self._frame: pl.DataFrame | None = None
        self._others: dict[str, Rows] | None = None
        self.position = position
        self.ingest_ns = ingest_ns
        kind = type(rows)
        if kind is _RECORD:
            self._record = rows
            self.num_rows: int = rows.num_rows
        elif kind is _FRAME:
            self._frame = rows
            self.num_rows = rows.height
        else:
            self._hold(rows)

    def _hold(self, rows: Rows) -> None:
        """Take rows of any other type: a subtype, or another registered form."""
        form = form_of(rows)
        self._put(form.name, rows)
        self.num_rows = form.num_rows(rows)

    def _put(self, name: str, rows: Rows) -> None:
        if name == "arrow":
            self._record = rows
        elif name == "polars":
            self._frame = rows
        else:
            self._others = {**(self._others or {}), name: rows}

    def _get(self, name: str) -> Rows | None:
        if name == "arrow":
            return self._record
        return self._frame if name == "polars" else (self._others or {}).get(name)

    def arrow(self) -> pa.RecordBatch:
        """Return the rows as one RecordBatch in the oldest-compatible Arrow types (``large_string``, ...)."""
        record = self._record
        if record is None:
            name = self._came_as()
            record = self._record = FORMS[name].to_arrow(self._get(name))
        return record

    def polars(self) -> pl.DataFrame:
        """Return the rows as a DataFrame."""
        frame = self._frame
        if frame is None:
            frame = self._frame = FORMS["polars"].from_arrow(self.arrow())
        return frame

    def form(self, name: str) -> Rows:
        """Return the rows in a registered form, converted through Arrow if the batch does not have it yet.

        Parameters
        ----------
        name
            Name of the form, such as ``"polars"``.
        """
        rows = self._get(name)
        if rows is None:
            rows = FORMS[name].from_arrow(self.arrow())
            self._put(name, rows)
        return rows

    def has(self, name: str) -> bool:
        """Return whether the batch already has this form, so that `form` costs nothing."""
        return self._get(name) is not None

    def keep(self, rows: Rows) -> None:
        """Take over the same rows in another form, so that `form` costs nothing."""
        self._put(form_of(rows).name, rows)

    def forget(self, name: str) -> None:
        """Let go the rows in a form other than Arrow's and Polars', such as one on a device.

        The batch must have them in another form, too, from which `form` makes it again.
        """
        if self._others is not None:
            self._others = {kept: rows for kept, rows in self._others.items() if kept != name}

    @property
    def is_polars(self) -> bool:
        """True if the batch already has the Polars form."""
        return self._frame is not None

    @property
    def nbytes(self) -> int:
        """Bytes of memory of the rows in one form, counting only the slice that belongs to this batch."""
        form, rows = self._preferred("arrow")
        return form.nbytes(rows)

    def with_rows(self, rows: Rows) -> Batch:
        """Return a batch of other rows made from these, in any form, with the same ingest time and position.

        If the row count changed, the position becomes a bound (``exact=False``).
        """
        batch = Batch(rows, self.position, self.ingest_ns)
        if self.position is not None and self.position.exact and batch.num_rows != self.num_rows:
            batch.position = self.position.somewhere()
        return batch

    def at(self, position: Position) -> Batch:
        """Return a batch of the same rows that come from `position`."""
        batch = self.apart()
        batch.position = position
        return batch

    def apart(self) -> Batch:
        """Return a batch of the same rows, which keeps the forms that are made of it from now on for itself."""
        batch = Batch.__new__(Batch)
        batch._record, batch._frame, batch._others = self._record, self._frame, self._others
        batch.num_rows, batch.ingest_ns, batch.position = self.num_rows, self.ingest_ns, self.position
        return batch

    def slice(self, offset: int, length: int) -> Batch:
        """Return up to `length` rows from row `offset` on, sharing memory with this batch."""
        form, rows = self._preferred("polars")
        part = Batch(form.slice(rows, offset, length), None, self.ingest_ns)
        if self.position is not None:
            part.position = self.position.part(offset, part.num_rows, self.num_rows)
        return part

    def pieces(self) -> Sequence[tuple[int, Position | None]]:
        """Return the number of rows and the position of each run of adjacent source rows, in order."""
        return self.position.pieces(self.num_rows) if self.position else [(self.num_rows, None)]

    def slice_forms(self, offset: int, length: int) -> Batch:
        """Return the same rows as `slice` in every form that this batch has, so that no part is converted again."""
        part = self.slice(offset, length)
        for name, form in FORMS.items():
            if self.has(name) and not part.has(name):
                part._put(name, form.slice(self._get(name), offset, length))
        return part

    def _preferred(self, name: str) -> tuple[Form, Rows]:
        """Return the rows in this form if the batch has it, else in another that it has."""
        if not self.has(name):
            name = self._came_as()
        return FORMS[name], self._get(name)

    def _came_as(self) -> str:
        """Return the name of a form that the batch has: Arrow only if it has no other."""
        if self._others:
            return next(iter(self._others))
        return "polars" if self._frame is not None else "arrow"

    def __repr__(self) -> str:
        return f"Batch({counted(self.num_rows, 'rows')}{f', {self.position}' if self.position else ''})"


@dataclass(frozen=True, slots=True)
class Watermark:
    """Mark: no row with an event time before `time_us` (microseconds since 1970, UTC) is expected after it."""

    time_us: int


@dataclass(frozen=True, slots=True)
class Barrier:
    """Mark that separates the rows of checkpoint `epoch` from those of the next one; `last` if none follow."""

    epoch: int
    last: bool = False


@dataclass(frozen=True, slots=True)
class Idle:
    """Mark of a silent input: until its next element, a merge does not wait for its watermarks."""


@dataclass(frozen=True, slots=True)
class Partitions:
    """Mark of a source that reads several partitions: those that rows can come from until the next such mark.

    Event time is the least of them (`operators.with_event_time`), which takes the mark out of the stream.

    Parameters
    ----------
    origins
        The `Position.origin` of each partition.
    """

    origins: frozenset[str]


Mark = Watermark | Barrier | Idle | Partitions
Element = Batch | Mark
"""Element of a channel between stages."""


def joined_batch(batches: Sequence[Batch], *, rechunk: bool = False) -> Batch:
    """Join at least one batch into one: with the ingest time of the first, and the position of every row."""
    rows = pl.concat([batch.polars() for batch in batches], rechunk=rechunk)
    places = [(batch.num_rows, batch.position) for batch in batches if batch.position is not None]
    position = joined(places) if len(places) == len(batches) else None
    return Batch(rows, position, batches[0].ingest_ns)


def to_record(frame: pl.DataFrame) -> pa.RecordBatch:
    """Convert a frame into exactly one RecordBatch, in the oldest-compatible Arrow types."""
    # Two threads that export the same frame, as branches of a fan-out may, would wait for each other for ever.
    frame = frame.clone()
    table = _through_stream(frame) if EXPORTS_SLICES_WRONGLY and _is_nested(frame) else _exported(frame)
    batches = table.to_batches()
    if len(batches) == 1:
        return batches[0]
    # Not pa.array([], type): before pyarrow 20 it cannot make dictionaries, the Arrow type of categories.
    return pa.RecordBatch.from_arrays(
        [pa.nulls(0, field.type) for field in table.schema], schema=table.schema
    )


EXPORTS_SLICES_WRONGLY = pl.__version__.startswith("1.")
"""Polars 1.35 exports slices of nullable structs and arrays with children that are too short, and gathered empty
lists with values that begin after their end. Some of these crash the process when pyarrow reads them."""


def _is_nested(frame: pl.DataFrame) -> bool:
    return any(dtype.is_nested() for dtype in frame.dtypes)


def _exported(frame: pl.DataFrame) -> pa.Table:
    return frame.to_arrow(compat_level=_OLDEST).combine_chunks()


def _through_stream(frame: pl.DataFrame) -> pa.Table:
    """Copy a frame through the Arrow IPC stream format, which every version of Polars writes correctly."""
    written = frame.write_ipc_stream(None, compat_level=_OLDEST).getvalue()
    return pa.ipc.open_stream(written).read_all().combine_chunks()


def to_frame(record: pa.RecordBatch | pa.Table) -> pl.DataFrame:
    """Convert a RecordBatch or a table into a DataFrame, sharing memory where the layouts are the same."""
    # A copy has no offset: Polars 1.35 misreads slices of decimals, Polars 2 refuses some of fixed-size lists.
    if not (EXPORTS_SLICES_WRONGLY and any("decimal" in str(field.type) for field in record.schema)):
        with suppress(pl.exceptions.ComputeError):
            return with_names(cast(pl.DataFrame, pl.from_arrow(record)), record.schema.names)
    out = io.BytesIO()
    with pa.ipc.new_stream(out, record.schema) as writer:
        writer.write(record)
    found = pl.from_arrow(pa.ipc.open_stream(out.getvalue()).read_all())
    return with_names(cast(pl.DataFrame, found), record.schema.names)


register_form(
    Form(
        "arrow",
        pa.RecordBatch,
        from_arrow=lambda record: record,
        to_arrow=lambda record: record,
        num_rows=lambda record: record.num_rows,
        nbytes=lambda record: record.nbytes,
        slice=lambda record, offset, length: record.slice(offset, length),
    )
)
register_form(
    Form(
        "polars",
        pl.DataFrame,
        from_arrow=to_frame,
        to_arrow=to_record,
        num_rows=lambda frame: frame.height,
        nbytes=lambda frame: int(frame.estimated_size()),
        slice=lambda frame, offset, length: frame.slice(offset, length),
    )
)
