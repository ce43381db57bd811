"""What travels through a pipeline: batches of rows, and in-band marks.

A `Batch` holds its rows as Arrow memory in one of two forms, a `pyarrow.RecordBatch` or a
`polars.DataFrame`, and makes the other form once, when somebody first asks for it. Both are Arrow
columns; only strings differ in layout (offsets here, views there), and converting those costs some
7 ns a row. Keeping the form a batch arrived in lets a Parquet file read by Polars, transformed by
Polars and written by Polars never pay for it, while small batches stay with Arrow all the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import polars as pl
import pyarrow as pa

from arrowstream.core.position import Position, joined
from arrowstream.errors import SchemaError

_OLDEST = pl.CompatLevel.oldest()


class Batch:
    """Rows of one schema, with where and when they came in. Never changed after it is made.

    Parameters
    ----------
    rows
        The rows. A RecordBatch must already have the schema `arrow_schema` gives for its Polars
        schema; connectors cast on entry (see `arrowstream.core.ingest.conform`).
    position
        Where the rows came from, for error messages; None if the source cannot tell.
    ingest_ns
        Monotonic clock reading (ns) at which the source handed the rows over, for latency.
    """

    __slots__ = ("_frame", "_record", "ingest_ns", "position")

    def __init__(
        self,
        rows: pa.RecordBatch | pl.DataFrame,
        position: Position | None = None,
        ingest_ns: int | None = None,
    ) -> None:
        self._frame: pl.DataFrame | None
        self._record: pa.RecordBatch
        if isinstance(rows, pl.DataFrame):
            self._frame, self._record = rows, None
        else:
            self._frame, self._record = None, rows
        self.position = position
        self.ingest_ns = ingest_ns

    def arrow(self) -> pa.RecordBatch:
        """The rows as one RecordBatch in the oldest-compatible Arrow types (``large_string``, ...)."""
        if self._record is None:
            assert self._frame is not None
            self._record = to_record(self._frame)
        return self._record

    def polars(self) -> pl.DataFrame:
        """The rows as a DataFrame."""
        if self._frame is None:
            self._frame = cast(pl.DataFrame, pl.from_arrow(self._record))
        return self._frame

    @property
    def is_polars(self) -> bool:
        """Whether the Polars form is at hand, so that asking for it costs nothing."""
        return self._frame is not None

    @property
    def num_rows(self) -> int:
        return self._frame.height if self._frame is not None else int(self._record.num_rows)

    @property
    def nbytes(self) -> int:
        """Bytes of the rows' buffers, counting only the slice that belongs to this batch."""
        if self._record is not None:
            return int(self._record.nbytes)
        assert self._frame is not None
        return int(self._frame.estimated_size())

    def with_rows(self, rows: pa.RecordBatch | pl.DataFrame) -> Batch:
        """Other rows made from these: same ingest time, and, if they are as many, the same position.

        Where rows were added or left out, all that is known from then on is among which ones they were.
        """
        position = self.position
        if position is not None and position.exact and len(rows) != self.num_rows:
            position = position.somewhere()
        return Batch(rows, position, self.ingest_ns)

    def at(self, position: Position) -> Batch:
        """The same rows, known to come from `position`."""
        batch = Batch.__new__(Batch)
        batch._frame, batch._record, batch.ingest_ns = self._frame, self._record, self.ingest_ns
        batch.position = position
        return batch

    def slice(self, offset: int, length: int) -> Batch:
        """`length` rows from `offset`, sharing memory with this batch."""
        rows = self._frame if self._frame is not None else self._record
        part, position = rows.slice(offset, length), self.position
        if position is not None:
            position = position.part(offset, len(part), self.num_rows)
        return Batch(part, position, self.ingest_ns)

    def __repr__(self) -> str:
        return f"Batch({self.num_rows} rows{f', {self.position}' if self.position else ''})"


@dataclass(frozen=True, slots=True)
class Watermark:
    """No row with an event time before `time_us` (microseconds since 1970, UTC) is expected after this."""

    time_us: int


@dataclass(frozen=True, slots=True)
class Barrier:
    """Separates the rows of checkpoint `epoch` from those of the next one."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Idle:
    """This input is silent: until it delivers again, nobody waits for its watermarks where streams meet."""


Mark = Watermark | Barrier | Idle
Element = Batch | Mark
"""What a channel between stages carries."""


def joined_batch(batches: Sequence[Batch], *, rechunk: bool = False) -> Batch:
    """The rows of several batches, at least one, as one batch: as old as the first, each row with its own place."""
    rows = pl.concat([batch.polars() for batch in batches], rechunk=rechunk)
    places = [(batch.num_rows, batch.position) for batch in batches if batch.position is not None]
    position = joined(places) if len(places) == len(batches) else None
    return Batch(rows, position, batches[0].ingest_ns)


def to_record(frame: pl.DataFrame) -> pa.RecordBatch:
    """A frame as exactly one RecordBatch, in the oldest-compatible Arrow types."""
    try:
        table = frame.to_arrow(compat_level=_OLDEST).combine_chunks()
    except (pa.ArrowInvalid, IndexError):
        # Polars 1.35 exports slices of nullable structs with children that are too short, and gathered empty lists
        # with values that begin behind their end, but writes both well.
        written = frame.write_ipc_stream(None, compat_level=_OLDEST)
        table = pa.ipc.open_stream(written.getvalue()).read_all().combine_chunks()
    batches = table.to_batches()
    if len(batches) == 1:
        return batches[0]
    # Not pa.array([], type): before pyarrow 20 that cannot make dictionaries, which categories are.
    return pa.RecordBatch.from_arrays(
        [pa.nulls(0, field.type) for field in table.schema], schema=table.schema
    )


def arrow_schema(schema: pl.Schema) -> pa.Schema:
    """The one Arrow schema an edge of this Polars schema has.

    Raises
    ------
    SchemaError
        A column's type has no Arrow form (`Object`, 128-bit integers).
    """
    return _arrow_schema(tuple(schema.items()))


@lru_cache(maxsize=512)
def _arrow_schema(items: tuple[tuple[str, pl.DataType], ...]) -> pa.Schema:
    try:
        # Polars would hand out the addresses of Python objects as binary.
        if any(dtype == pl.Object for _, dtype in items):
            raise pa.ArrowInvalid("Python objects")
        return pl.DataFrame(schema=dict(items)).to_arrow(compat_level=_OLDEST).schema
    except (pa.ArrowException, pl.exceptions.PolarsError) as error:
        raise SchemaError(
            "a column's type has no Arrow form",
            expected="types that Apache Arrow defines",
            found=", ".join(f"{name}: {dtype}" for name, dtype in items),
            hint="cast the column (Int128 to Int64 or Decimal, Object to String) before it enters the pipeline",
        ) from error
