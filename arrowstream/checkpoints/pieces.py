"""States in pieces that are named by their content, so that a piece that has not changed is written once.

A piece is a file that is named by the SHA-256 of its bytes: an Arrow IPC stream of one record batch, or, of a state
in key shards, of a batch of each of some shards; or a spill file of the step, which is linked. An epoch names the
pieces of each state, and a piece stays as long as an epoch names it.
"""

from __future__ import annotations

import hashlib
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from arrowstream.core.batch import to_record
from arrowstream.core.checkpoints.durable import sync
from arrowstream.core.checkpoints.failpoints import Failpoint, reach
from arrowstream.errors import CheckpointError
from arrowstream.state.snapshot import common_metadata, shard_of, with_shard
from arrowstream.state.snapshots.snapshot_batches import PartInFile, SnapshotBatches
from arrowstream.state.spill_file import rows_in_file

_FULL = 4 << 20
"""Bytes up to which batches of several shards share a piece: flushing a file takes milliseconds."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a state.

    Parameters
    ----------
    name
        The hash of its bytes.
    shards
        The key shard of each of its batches, ascending; empty for the one batch of a state without keys, and for a
        spill file, which has rows of all shards.
    spans
        Of a spill file, the first byte of each frame, and the one after its last.
    start
        Of a spill file, the number of rows before the first one that belongs to the state.
    """

    name: str
    shards: tuple[int, ...] = ()
    spans: tuple[tuple[int, int], ...] = ()
    start: int = 0

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Piece:
        """Return a piece from its JSON values in a manifest."""
        spans = tuple((start, stop) for start, stop in values["spans"])
        return cls(values["name"], tuple(values["shards"]), spans, values["start"])


@dataclass(frozen=True, slots=True)
class State:
    """The saved state of one step, or the position of one source.

    Parameters
    ----------
    pieces
        The pieces in order; empty if the step had nothing to save.
    nbytes
        Size of all pieces in bytes.
    metadata
        The metadata of the batches' schema in base64. It holds numbers that change with every epoch, which would make
        every piece another one.
    """

    pieces: tuple[Piece, ...] = ()
    nbytes: int = 0
    metadata: Mapping[str, str] | None = None

    @property
    def shards(self) -> list[int]:
        """The key shards that have rows, ascending."""
        return sorted({shard for piece in self.pieces for shard in piece.shards})


class PieceWriter:
    """Writes the pieces of one epoch; may be called from several threads.

    Parameters
    ----------
    folder
        The folder of all pieces.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self.new: set[str] = set()
        """Names of the pieces that this epoch has and earlier ones have not."""
        self.written_bytes = 0
        """Bytes that were written for these pieces, without files that were linked."""

    def write(self, batches: Iterator[pa.RecordBatch]) -> State:
        """Write the pieces of a state that are not there yet; the batches are made while they are read.

        Raises
        ------
        OSError
            The disk failed or is full.
        """
        pieces, nbytes, metadata = [], 0, None
        for part in _together(batches.parts() if isinstance(batches, SnapshotBatches) else batches):
            if isinstance(part, PartInFile):
                metadata, file = part.metadata, part.rows.file
                pieces.append(Piece(file.hash(_name), (), file.spans, part.rows.start))
                self._put(pieces[-1].name, file.put)
                nbytes += file.content.size
                continue
            metadata = common_metadata(part[0].schema)
            content = _encoded(part)
            shards = (shard_of(batch.schema) for batch in part)
            pieces.append(Piece(_name(content), tuple(shard for shard in shards if shard is not None)))
            self._put(pieces[-1].name, partial(Path.write_bytes, data=content))
            nbytes += content.size
        if pieces:
            reach(Failpoint.STATE_WRITTEN)
        return State(tuple(pieces), nbytes, _as_text(metadata))

    def flush(self, name: str) -> None:
        """Flush a new piece to the disk.

        Raises
        ------
        OSError
            The disk failed.
        """
        sync(_path(self._folder, name))
        reach(Failpoint.STATE_SAVED)

    def _put(self, name: str, write: Callable[[Path], int]) -> None:
        path = _path(self._folder, name)
        # Pieces that are there belong to complete epochs, or to this one: others are removed before a run writes.
        if path.exists():
            return
        staged = path.with_name(f"{name}.{threading.get_ident()}.tmp")
        written = write(staged)
        staged.replace(path)
        with self._lock:
            self.new.add(name)
            self.written_bytes += written


def read_state(folder: Path, state: State, id: str) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a state; each piece is checked before its batch is yielded.

    Raises
    ------
    CheckpointError
        A piece is missing, or its content is another one.
    """
    metadata = {b64decode(key): b64decode(value) for key, value in (state.metadata or {}).items()}
    present = state.shards
    for piece in state.pieces:
        content = _checked(folder, piece, id)
        if piece.spans:
            for frame in rows_in_file(content, piece.spans, piece.start):
                yield to_record(frame).replace_schema_metadata(metadata)
            continue
        with pa.ipc.open_stream(content) as stream:
            for shard in piece.shards:
                yield with_shard(stream.read_next_batch(), metadata, shard, present)
            if not piece.shards:
                yield stream.read_next_batch().replace_schema_metadata(metadata or None)


def check_state(folder: Path, state: State, id: str) -> None:
    """Check every piece of a state.

    Raises
    ------
    CheckpointError
        A piece is missing, or its content is another one.
    """
    for piece in state.pieces:
        _checked(folder, piece, id)


def remove_pieces(folder: Path, used: set[str]) -> None:
    """Remove all pieces but those that are used."""
    for path in folder.iterdir():
        if path.name.removesuffix(".arrow") not in used:
            path.unlink()


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.arrow"


def _together(
    parts: Iterator[pa.RecordBatch | PartInFile],
) -> Iterator[list[pa.RecordBatch] | PartInFile]:
    """Yield what makes each piece: a file, a batch, or small batches of ascending shards."""
    waiting: list[pa.RecordBatch] = []
    nbytes, last = 0, -1
    for part in parts:
        if isinstance(part, PartInFile):
            yield from [waiting] if waiting else []
            yield part
            waiting, nbytes = [], 0
            continue
        shard = shard_of(part.schema)
        if waiting and (shard is None or shard <= last or nbytes + part.nbytes > _FULL):
            yield waiting
            waiting, nbytes = [], 0
        waiting.append(part)
        nbytes, last = nbytes + part.nbytes, -1 if shard is None else shard
    if waiting:
        yield waiting


def _encoded(batches: list[pa.RecordBatch]) -> pa.Buffer:
    """Return the batches as a stream, without the metadata of their schema."""
    plain = [batch.replace_schema_metadata(None) for batch in batches]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, plain[0].schema) as stream:
        for batch in plain:
            stream.write_batch(batch)
    return sink.getvalue()


def _name(content: pa.Buffer) -> str:
    # The processors of servers have instructions for it: half the time of BLAKE2.
    return hashlib.sha256(content).hexdigest()


def _checked(folder: Path, piece: Piece, id: str) -> pa.Buffer:
    """Return the bytes of a piece, those of a spill file mapped, if they are what its name says."""
    path = _path(folder, piece.name)
    try:
        with pa.memory_map(str(path)) if piece.spans else pa.OSFile(str(path)) as file:
            content = file.read_buffer()
    except OSError as error:
        raise _damaged(path, id, str(error)) from error
    found = _name(content)
    if found != piece.name:
        raise _damaged(path, id, f"{content.size:,} bytes with the hash {found}")
    return content


def _as_text(metadata: Mapping[bytes, bytes] | None) -> dict[str, str] | None:
    if metadata is None:
        return None
    return {b64encode(key).decode(): b64encode(value).decode() for key, value in metadata.items()}


def _damaged(path: Path, id: str, found: str) -> CheckpointError:
    return CheckpointError(
        f"the saved state of {id} is damaged",
        expected=f"{path}, whose name is the hash of its bytes",
        found=found,
        hint="restore the file from a backup; or remove what the sinks show, and use from_checkpoint='ignore'",
    )
