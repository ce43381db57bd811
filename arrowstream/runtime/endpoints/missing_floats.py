"""Counts NaN and infinity that a sink writes as null, because its format has neither."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.notes import ReaderNote
from arrowstream.errors import UndeliveredRows
from arrowstream.io.sink import JsonPart
from arrowstream.io.writer import BlockingWriter, Writer
from arrowstream.metrics.counters import StageCounters

_WHAT: Final = "values of NaN or infinity written as null"


class MissingFloats:
    """The values of one sink, counted once they are written, on the thread that has written them.

    Parameters
    ----------
    part
        Returns the part of rows that is written in a format without NaN.
    label
        The sink's label, for the note.
    """

    def __init__(self, part: JsonPart, label: str) -> None:
        self._part = part
        self._label = label
        self._count = 0
        self._first = ""

    @classmethod
    def of(cls, part: JsonPart | None, schema: pl.Schema, label: str) -> MissingFloats | None:
        """Return a counter for a sink of rows of `schema`; None if it has no floats to count."""
        if part is None or not any(map(has_floats, part(pl.DataFrame(schema=schema)).dtypes)):
            return None
        return cls(part, label)

    def after(self, writer: Writer | BlockingWriter, counters: StageCounters) -> Callable[[Batch], Any]:
        """Return the writer's `write` with a count of what it has written, which becomes a note of `counters`.

        Of a batch of which a writer has refused some rows, the others are counted.
        """

        def write(batch: Batch) -> None:
            writer.write(batch)
            self._add(batch.polars(), counters)

        async def write_waiting(batch: Batch) -> None:
            rows = batch.polars()
            try:
                await writer.write(batch)  # type: ignore[misc]
            except UndeliveredRows as error:
                self._add(_delivered(rows, error.parts), counters)
                raise
            self._add(rows, counters)

        return write if isinstance(writer, BlockingWriter) else write_waiting

    def _add(self, rows: pl.DataFrame, counters: StageCounters) -> None:
        for column in self._part(rows):
            if count := non_finite(column):
                self._count += count
                self._first = self._first or f"column {column.name!r} of {self._label}"
                others = (note for note in counters.notes if note.what != _WHAT)
                counters.notes = (*others, ReaderNote(_WHAT, self._count, self._first))


def has_floats(dtype: Any) -> bool:
    """Return whether values of a type are floats, or have floats in them."""
    if isinstance(dtype, pl.Struct):
        return any(has_floats(field.dtype) for field in dtype.fields)
    if isinstance(dtype, pl.List | pl.Array):
        return has_floats(dtype.inner)
    return bool(dtype.is_float())


def non_finite(column: pl.Series) -> int:
    """Return the number of values of a column that are NaN or infinite, those inside of its lists and structs too.

    Examples
    --------
    >>> non_finite(pl.Series([[{"x": float("nan")}, {"x": 1.0}], None, [{"x": float("inf")}]]))
    2
    """
    return sum(
        len(floats) - floats.null_count() - int(floats.is_finite().sum()) for floats in _floats(column)
    )


def _floats(column: pl.Series) -> Iterator[pl.Series]:
    dtype = column.dtype
    if not has_floats(dtype):
        return
    if isinstance(dtype, pl.Struct):
        for field in dtype.fields:
            yield from _floats(column.struct.field(field.name))
    elif isinstance(dtype, pl.List | pl.Array):
        yield from _floats(column.explode())
    else:
        yield column


def _delivered(rows: pl.DataFrame, refused: Iterable[tuple[int, int, str]]) -> pl.DataFrame:
    """Return the rows without those of the refused runs."""
    pieces, start = [rows.clear()], 0
    for first, length, _ in refused:
        pieces.append(rows.slice(start, first - start))
        start = first + length
    return pl.concat([*pieces, rows.slice(start)])
