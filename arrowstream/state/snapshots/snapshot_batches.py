"""A snapshot while it is made: rows are taken from the state ahead of what is read; spilled rows stay in files."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa

from arrowstream.core.batch import Batch, to_record
from arrowstream.state.snapshots.key_ranges import RangePart, RangeRows
from arrowstream.state.spill_file import RowsInFile

SavedRows: TypeAlias = Batch | RangeRows | RowsInFile
"""Rows of a state: copied or unchanging, the values of a range of keys, or in a file."""

HELD_BYTES = 64 << 20
"""The bytes of rows up to which a step goes on while its snapshot is being written."""


@dataclass(frozen=True, slots=True)
class PartInFile:
    """A part of a snapshot that lies in a file which never changes.

    Parameters
    ----------
    rows
        The rows.
    metadata
        The metadata of the schema of the snapshot's batches.
    """

    rows: RowsInFile
    metadata: Mapping[bytes, bytes]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows as batches of the snapshot."""
        for frame in self.rows.frames():
            yield to_record(frame).replace_schema_metadata(self.metadata)


Part: TypeAlias = pa.RecordBatch | RangePart | PartInFile
"""A part of a snapshot."""


class SnapshotBatches(Iterator[pa.RecordBatch]):
    """A snapshot, made while it is read; its rows are taken ahead, up to `HELD_BYTES`.

    Once all rows are taken, the snapshot no longer depends on the state, and the process may change it.

    Parameters
    ----------
    rows
        The rows, read from the state.
    encoded
        Makes the parts of the snapshot from rows.
    """

    __slots__ = ("_each", "_nbytes", "_parts", "_rows", "_taken", "_when_apart")

    def __init__(
        self,
        rows: Iterable[SavedRows],
        encoded: Callable[[Iterator[SavedRows]], Iterator[Part]],
    ) -> None:
        self._rows = iter(rows)
        self._taken: deque[SavedRows] = deque()
        self._nbytes = 0
        self._parts = encoded(self._given())
        self._each = self._all_batches()
        self._when_apart: Callable[[], object] | None = None

    def __next__(self) -> pa.RecordBatch:
        return next(self._each)

    def parts(self) -> Iterator[Part]:
        """Yield the snapshot with its files as they are, in place of batches of their rows."""
        self._take()
        yield from self._parts

    def when_apart(self, call: Callable[[], object]) -> None:
        """Call a function once the snapshot no longer depends on the state, in the thread that reads it."""
        self._when_apart = call

    def _all_batches(self) -> Iterator[pa.RecordBatch]:
        for part in self.parts():
            if isinstance(part, PartInFile | RangePart):
                yield from part.batches()
            else:
                yield part

    def _take(self) -> None:
        while self._nbytes <= HELD_BYTES:
            rows = next(self._rows, None)
            if rows is None:
                call, self._when_apart = self._when_apart, None
                if call is not None:
                    call()
                return
            self._taken.append(rows)
            self._nbytes += _held(rows)

    def _given(self) -> Iterator[SavedRows]:
        while self._taken:
            rows = self._taken.popleft()
            self._nbytes -= _held(rows)
            yield rows
            self._take()


def _held(rows: SavedRows) -> int:
    return 0 if isinstance(rows, RowsInFile) else rows.nbytes
