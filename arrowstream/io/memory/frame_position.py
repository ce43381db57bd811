"""The position of a source of frames, with what shows that the frames are still those of the earlier run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.plural import counted
from arrowstream.core.snapshot_store import JsonValue, SourcePosition, position_number
from arrowstream.errors import SourceError

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
    chosen, start, digest = _chosen(rows), 0, hashlib.sha256()
    for batch in batches:
        inside = chosen[np.searchsorted(chosen, start) : np.searchsorted(chosen, start + batch.num_rows)]
        if inside.size:
            for row in _plain(batch.polars()[inside - start]).iter_rows():
                digest.update(repr(row).encode())
        start += batch.num_rows
    return digest.hexdigest()[:16]


def _chosen(rows: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    if rows <= 2 * _ENDS + _BETWEEN:
        return np.arange(rows)
    between = _ENDS + np.arange(_BETWEEN) * (rows - 2 * _ENDS) // _BETWEEN
    return np.concatenate([np.arange(_ENDS), between, np.arange(rows - _ENDS, rows)])


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Return times as numbers: Python has fewer of them."""
    return frame.select(pl.col(name).cast(_without_times(dtype)) for name, dtype in frame.schema.items())


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
