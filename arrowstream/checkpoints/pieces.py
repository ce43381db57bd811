"""States in pieces that are named by their content, so that a piece that has not changed is written once.

A piece is a file that is named by the SHA-256 of its bytes: an Arrow IPC stream of one record batch, or, of a state
in key shards, of a batch of each of some shards; or a spill file of the step, which is linked. Of a range of keys it
is two files: the keys, which are written once, and the other columns. An epoch names the pieces of each state, and a
file stays as long as an epoch names it.
"""

from __future__ import annotations

import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from arrowstream.checkpoints.content import Content, name_of
from arrowstream.core.batch import to_record
from arrowstream.core.checkpoints.durable import sync
from arrowstream.core.checkpoints.failpoints import Failpoint, reach
from arrowstream.errors import CheckpointError
from arrowstream.state.snapshot import common_metadata, shard_of, with_shard
from arrowstream.state.snapshots.key_ranges import RangePart, joined
from arrowstream.state.snapshots.snapshot_batches import Part, PartInFile, SnapshotBatches
from arrowstream.state.spill_file import rows_in_file

_FULL = 4 << 20
"""Bytes up to which batches of several shards share a piece: flushing a file takes milliseconds."""


@dataclass(frozen=True, slots=True)
class StatePiece:
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
    keys
        Of a range of keys, the hash of the file with the last columns, the keys, of the same batches.
    """

    name: str
    shards: tuple[int, ...] = ()
    spans: tuple[tuple[int, int], ...] = ()
    start: int = 0
    keys: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """The names of its files."""
        return (self.name, self.keys) if self.keys else (self.name,)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> StatePiece:
        """Return a piece from its JSON values in a manifest."""
        spans = tuple((start, stop) for start, stop in values["spans"])
        return cls(values["name"], tuple(values["shards"]), spans, values["start"], values["keys"])


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

    pieces: tuple[StatePiece, ...] = ()
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
                pieces.append(StatePiece(file.hash(name_of), (), file.spans, part.rows.start))
                self._put(pieces[-1].name, file.put)
                nbytes += file.content.size
            elif isinstance(part, RangePart):
                metadata = part.metadata
                content = Content(part.values())
                pieces.append(
                    StatePiece(self._put_content(content), tuple(part.shards), keys=self._put_keys(part))
                )
                nbytes += content.nbytes + part.saved.nbytes
            else:
                metadata = common_metadata(part[0].schema)
                content = Content(part)
                shards = (shard_of(batch.schema) for batch in part)
                present = tuple(shard for shard in shards if shard is not None)
                pieces.append(StatePiece(self._put_content(content), present))
                nbytes += content.nbytes
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

    def _put_keys(self, part: RangePart) -> str:
        """Write the keys of a range unless an earlier epoch has; return the name of their file."""
        saved = part.saved
        if not saved.name:
            content = Content(part.keys())
            saved.nbytes = content.nbytes
            saved.name = self._put_content(content)
        # It is missing only where someone has removed it.
        self._put(saved.name, lambda path: Content(part.keys()).write(path))
        return saved.name

    def _put_content(self, content: Content) -> str:
        name = content.name()
        self._put(name, content.write)
        return name

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
        content = _checked(folder, piece, id, piece.name)
        if piece.spans:
            for frame in rows_in_file(content, piece.spans, piece.start):
                yield to_record(frame).replace_schema_metadata(metadata)
            continue
        with pa.ipc.open_stream(content) as stream:
            if not piece.shards:
                yield stream.read_next_batch().replace_schema_metadata(metadata or None)
                continue
            batches: Iterable[pa.RecordBatch] = stream
            if piece.keys:
                batches = map(joined, stream, pa.ipc.open_stream(_checked(folder, piece, id, piece.keys)))
            for shard, batch in zip(piece.shards, batches, strict=True):
                yield with_shard(batch, metadata, shard, present)


def check_state(folder: Path, state: State, id: str) -> None:
    """Check every piece of a state.

    Raises
    ------
    CheckpointError
        A piece is missing, or its content is another one.
    """
    for piece in state.pieces:
        for name in piece.files:
            _checked(folder, piece, id, name)


def remove_pieces(folder: Path, used: set[str]) -> None:
    """Remove all pieces but those that are used."""
    for path in folder.iterdir():
        if path.name.removesuffix(".arrow") not in used:
            path.unlink()


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.arrow"


def _together(
    parts: Iterator[Part],
) -> Iterator[list[pa.RecordBatch] | PartInFile | RangePart]:
    """Yield what makes each piece: a file, a range of keys, a batch, or small batches of ascending shards."""
    waiting: list[pa.RecordBatch] = []
    nbytes, last = 0, -1
    for part in parts:
        if isinstance(part, PartInFile | RangePart):
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


def _checked(folder: Path, piece: StatePiece, id: str, name: str) -> pa.Buffer:
    """Return the bytes of a file of a piece, a spill file mapped, if they are what its name says."""
    path = _path(folder, name)
    try:
        with pa.memory_map(str(path)) if piece.spans else pa.OSFile(str(path)) as file:
            content = file.read_buffer()
    except OSError as error:
        raise _damaged(path, id, str(error)) from error
    found = name_of(content)
    if found != name:
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
