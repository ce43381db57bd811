"""The format of a snapshot: record batches of one schema, with metadata on what wrote them.

State with keys comes in key shards: each batch has rows of one shard, whose number is in its metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any

import pyarrow as pa

from arrowstream.core.batch import Batch
from arrowstream.errors import SnapshotError
from arrowstream.state.snapshots.key_ranges import RangePart, RangeRows
from arrowstream.state.snapshots.key_shards import SHARD, SHARDS
from arrowstream.state.snapshots.sharded_rows import Keys, ShardCutter, in_order
from arrowstream.state.snapshots.snapshot_batches import Part, PartInFile, SavedRows, SnapshotBatches
from arrowstream.state.spill_file import RowsInFile

_KIND, _VERSION, _VALUES = b"arrowstream.kind", b"arrowstream.version", b"arrowstream.values"
_PRESENT, _ORDERED = b"arrowstream.shards", b"arrowstream.ordered"
_OURS = (_KIND, _VERSION, _VALUES, SHARD, _PRESENT, _ORDERED)

PIECE_BYTES = 4 << 20
"""The approximate bytes of a record batch of a snapshot, made one at a time in addition to the state itself.

Checkpoints write a piece that has not changed once."""


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

    def write(
        self,
        rows: Iterable[SavedRows] = (),
        by: Keys = (),
        ordered: bool = False,
        **values: Any,
    ) -> SnapshotBatches:
        """Return a snapshot, made while it is read: at least one record batch.

        Parameters
        ----------
        rows
            Batches of one schema, which do not change once they are made; larger ones are cut into slices of about
            `PIECE_BYTES`. Rows in files stay as they are, with the keys of all shards, and so do ranges of keys,
            which are cut already.
        by
            The key columns, or a function that returns the keys of rows, for a snapshot in key shards; empty for
            state without keys.
        ordered
            Whether `read` gives the rows of all shards in the order in which they are here. Otherwise only rows of
            the same shard keep their order, and each batch that is read has rows of one batch that was written.
        values
            Values that have a form in JSON.
        """
        ours = {
            _KIND: self.kind.encode(),
            _VERSION: str(self.version).encode(),
            _VALUES: json.dumps(values).encode(),
        }

        if by and ordered:
            ours[_ORDERED] = b"yes"
        shards = ShardCutter(by, ordered) if by else None

        def encoded(parts: Iterator[SavedRows]) -> Iterator[Part]:
            empty = pa.RecordBatch.from_pydict({}).replace_schema_metadata(ours)
            made = chain.from_iterable(_made(part, shards, ours) for part in parts)
            yield next(made, empty)
            yield from made

        return SnapshotBatches(rows, encoded)

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
        assert first is not None
        rows = _rows(chain((first,), batches))
        if _ORDERED not in metadata:
            return json.loads(metadata[_VALUES]), (batch for _, batch in rows)
        present = json.loads(metadata.get(_PRESENT, b"null")) or range(SHARDS)
        return json.loads(metadata[_VALUES]), _in_order(rows, present)


POSITION = SnapshotFormat("source position", 1)
"""The format of a source's position, which is its value ``position``."""


def kind_of(schema: pa.Schema) -> str:
    """Return the kind of a snapshot with this schema; empty if it is none."""
    metadata: dict[bytes, bytes] = schema.metadata or {}
    return metadata.get(_KIND, b"").decode()


def shard_of(schema: pa.Schema) -> int | None:
    """Return the key shard of a batch of a snapshot with this schema; None for state without keys."""
    metadata: dict[bytes, bytes] = schema.metadata or {}
    return int(metadata[SHARD]) if SHARD in metadata else None


def common_metadata(schema: pa.Schema) -> dict[bytes, bytes] | None:
    """Return the metadata that all batches of a snapshot have."""
    return schema.metadata and {key: value for key, value in schema.metadata.items() if key != SHARD}


def with_shard(
    batch: pa.RecordBatch, metadata: Mapping[bytes, bytes], shard: int, present: Iterable[int]
) -> pa.RecordBatch:
    """Return a batch of a snapshot with the metadata of all batches, its shard, and the shards that the state has."""
    own = {SHARD: str(shard).encode(), _PRESENT: json.dumps(sorted(present)).encode()}
    return batch.replace_schema_metadata({**metadata, **own})


def _made(rows: SavedRows, shards: ShardCutter | None, metadata: Mapping[bytes, bytes]) -> Iterator[Part]:
    """Yield the parts of a snapshot with these rows, with this metadata in addition to their own."""
    if isinstance(rows, RowsInFile):
        yield PartInFile(rows, metadata)
    elif isinstance(rows, RangeRows):
        yield RangePart(rows, metadata)
    elif shards is None:
        yield from _records(rows, metadata)
    else:
        for shard, part in shards.cut(rows.polars()):
            yield from _records(Batch(part), {**metadata, SHARD: str(shard).encode()})


def _records(rows: Batch, metadata: Mapping[bytes, bytes]) -> Iterator[pa.RecordBatch]:
    for piece in _pieces(rows):
        record = piece.arrow()
        yield record.replace_schema_metadata({**(record.schema.metadata or {}), **metadata})


def _pieces(batch: Batch) -> Iterator[Batch]:
    """Yield the rows in slices of about `PIECE_BYTES`."""
    rows = max(batch.num_rows, 1)
    most = max(PIECE_BYTES * rows // max(batch.nbytes, 1), 1)
    if rows <= most:
        yield batch
        return
    for start in range(0, rows, most):
        yield batch.slice(start, most)


def _in_order(rows: Iterable[tuple[int | None, Batch]], present: Iterable[int]) -> Iterator[Batch]:
    """Yield rows in the order in which they were saved; those in files were not cut into shards."""
    for sharded, group in groupby(rows, lambda each: each[0] is not None):
        frames = ((shard or 0, batch.polars()) for shard, batch in group)
        yield from map(Batch, in_order(frames, present) if sharded else (frame for _, frame in frames))


def _rows(records: Iterable[pa.RecordBatch]) -> Iterator[tuple[int | None, Batch]]:
    """Yield the shard and the rows of each batch; the shard is None for rows in files and for state without keys."""
    for record in records:
        if record.num_columns:
            theirs = {key: value for key, value in record.schema.metadata.items() if key not in _OURS}
            yield shard_of(record.schema), Batch(record.replace_schema_metadata(theirs or None))
