"""The position of a source of frames, with what shows that the frames are still those of the earlier run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa

from arrowstream.core.batch import Batch
from arrowstream.core.plural import counted
from arrowstream.core.snapshot_store import JsonValue, SourcePosition, position_number
from arrowstream.errors import SourceError

_Numbers = np.ndarray[tuple[int], np.dtype[np.int64]]

VERSION: Final = 2
_ENDS: Final = 256
"""Rows at the beginning, and at the end, of which every value is compared."""
_BETWEEN: Final = 512
"""Rows between these, at equal distances, of which every value is compared."""


class FramePosition(Mapping[str, JsonValue]):
    """A row of a list of batches, as JSON that is made when it is looked at: a position is taken after every batch.

    Parameters
    ----------
    batches
        The batches.
    row
        Number of rows that were handed out.
    """

    def __init__(self, batches: Sequence[Batch], row: int) -> None:
        self._batches = batches
        self._row = row

    def __getitem__(self, key: str) -> JsonValue:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        # Whether a source has moved is asked at each checkpoint.
        if isinstance(other, FramePosition) and other._batches is self._batches:
            return other._row == self._row
        return super().__eq__(other)

    __hash__ = None  # type: ignore[assignment]  # as of every Mapping

    @cached_property
    def _values(self) -> dict[str, JsonValue]:
        return {"version": VERSION, "row": self._row, "content": _content(self._batches, self._row)}


def row_to_continue(batches: Sequence[Batch], resume: SourcePosition) -> int:
    """Return the row after which reading continues.

    Raises
    ------
    SourceError
        The rows before it are not those that the earlier run has handed out.
    """
    row = position_number(resume, "row", VERSION)
    there = sum(batch.num_rows for batch in batches)
    if there < row or _content(batches, row) != resume["content"]:
        raise SourceError(
            f"the frame does not begin with the {counted(row, 'rows')} that an earlier run has read",
            expected="the frame of that run, which may have further rows at its end",
            found=counted(there, "rows") + (" with other values" if there >= row else ""),
            hint="give it the same rows again; for new data use another checkpoint folder, or from_checkpoint="
            "'ignore'",
        )
    return row


def _content(batches: Sequence[Batch], rows: int) -> str:
    """Return a hash of values in the first `rows` rows: all of them, or those of some rows if there are many."""
    digest = hashlib.sha256()
    for row in _plain(_gathered(batches, _chosen(rows))).iter_rows() if rows else ():
        digest.update(repr(row).encode())
    return digest.hexdigest()[:16]


def _gathered(batches: Sequence[Batch], rows: _Numbers) -> pl.DataFrame:
    """Return some rows of all batches, in ascending order, as one frame.

    Slices are joined before they are converted: a conversion for each of 512 rows would hold up the run for 40 ms.
    """
    ends = np.cumsum([batch.num_rows for batch in batches])
    which = np.searchsorted(ends, rows, side="right")
    apart = np.flatnonzero((np.diff(rows) != 1) | (np.diff(which) != 0)) + 1
    firsts = np.concatenate([[0], apart])
    lengths = np.diff(np.append(firsts, len(rows)))
    parts = []
    for first, number, length in zip(
        rows[firsts].tolist(), which[firsts].tolist(), lengths.tolist(), strict=True
    ):
        batch = batches[number]
        parts.append(batch.slice(first - int(ends[number]) + batch.num_rows, length))
    if all(part.is_polars for part in parts):
        joined: pl.DataFrame = pl.concat([part.polars() for part in parts])
        return joined
    (record,) = pa.Table.from_batches([part.arrow() for part in parts]).combine_chunks().to_batches()
    return Batch(record).polars()


def _chosen(rows: int) -> _Numbers:
    if rows <= 2 * _ENDS + _BETWEEN:
        return np.arange(rows)
    between = _ENDS + np.arange(_BETWEEN) * (rows - 2 * _ENDS) // _BETWEEN
    return np.concatenate([np.arange(_ENDS), between, np.arange(rows - _ENDS, rows)])


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Return times as numbers: Python has fewer of them."""
    types = {name: _without_times(dtype) for name, dtype in frame.schema.items()}
    changed = [pl.col(name).cast(dtype) for name, dtype in types.items() if dtype != frame.schema[name]]
    return frame.with_columns(changed) if changed else frame


def _without_times(dtype: Any) -> pl.DataType:
    found: pl.DataType = dtype
    if isinstance(dtype, pl.List):
        found = pl.List(_without_times(dtype.inner))
    elif isinstance(dtype, pl.Array):
        found = pl.Array(_without_times(dtype.inner), dtype.size)
    elif isinstance(dtype, pl.Struct):
        found = pl.Struct({field.name: _without_times(field.dtype) for field in dtype.fields})
    elif isinstance(dtype, pl.Date):
        found = pl.Int32()
    elif found.is_temporal():
        found = pl.Int64()
    return found
