"""The format of a snapshot: record batches of one schema, with metadata on what wrote them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pyarrow as pa

from arrowstream.core.batch import Batch
from arrowstream.errors import SnapshotError

_KIND, _VERSION, _VALUES = b"arrowstream.kind", b"arrowstream.version", b"arrowstream.values"
_OURS = (_KIND, _VERSION, _VALUES)

PIECE_BYTES = 16 << 20
"""The approximate bytes of a record batch of a snapshot, made one at a time in addition to the state itself."""


@dataclass(frozen=True, slots=True)
class SnapshotFormat:
    """The snapshot format of a process: rows of one schema, and a few values that have a form in JSON.

    Parameters
    ----------
    kind
        The kind of state, such as ``"reduce"``.
    version
        The version of its format; raise it with every change that cannot read older snapshots.

    Examples
    --------
    >>> import polars as pl
    >>> totals = SnapshotFormat("totals", 1)
    >>> batches = totals.write([Batch(pl.DataFrame({"k": ["a"], "sum": [3]}))], next_row=7)
    >>> values, rows = totals.read(batches)
    >>> values, [batch.polars().rows() for batch in rows]
    ({'next_row': 7}, [[('a', 3)]])
    """

    kind: str
    version: int

    def write(self, rows: Iterable[Batch] = (), **values: Any) -> Iterator[pa.RecordBatch]:
        """Yield a snapshot, made while it is read: at least one record batch.

        Parameters
        ----------
        rows
            Batches of one schema; larger ones are cut into slices of about `PIECE_BYTES`.
        values
            Values that have a form in JSON.
        """
        ours = {
            _KIND: self.kind.encode(),
            _VERSION: str(self.version).encode(),
            _VALUES: json.dumps(values).encode(),
        }
        count = 0
        for piece in chain.from_iterable(map(_pieces, rows)):
            record, count = piece.arrow(), count + 1
            yield record.replace_schema_metadata({**(record.schema.metadata or {}), **ours})
        if not count:
            yield pa.RecordBatch.from_pydict({}).replace_schema_metadata(ours)

    def read(self, batches: Iterator[pa.RecordBatch]) -> tuple[dict[str, Any], Iterator[Batch]]:
        """Return the values and the rows of a snapshot; rows are read from `batches` as they are consumed.

        Raises
        ------
        SnapshotError
            The snapshot is of another kind or version.
        """
        first = next(batches, None)
        metadata = {} if first is None else first.schema.metadata or {}
        kind, version = (metadata.get(key, b"nothing").decode() for key in (_KIND, _VERSION))
        if (kind, version) != (self.kind, str(self.version)):
            raise SnapshotError(
                "the snapshot cannot be restored here",
                expected=f"state of {self.kind}, version {self.version}",
                found=f"state of {kind}, version {version}",
                hint="restore with the pipeline and the version of arrowstream that wrote it, or start without it",
            )
        return json.loads(metadata[_VALUES]), _rows(chain((first,), batches))


def _pieces(batch: Batch) -> Iterator[Batch]:
    """Yield the rows in slices of about `PIECE_BYTES`."""
    rows = max(batch.num_rows, 1)
    most = max(PIECE_BYTES * rows // max(batch.nbytes, 1), 1)
    if rows <= most:
        yield batch
        return
    for start in range(0, rows, most):
        yield batch.slice(start, most)


def _rows(records: Iterable[pa.RecordBatch]) -> Iterator[Batch]:
    for record in records:
        if record.num_columns:
            theirs = {key: value for key, value in record.schema.metadata.items() if key not in _OURS}
            yield Batch(record.replace_schema_metadata(theirs or None))
