"""`GatheredFiles`: rows gathered by partition, and written as files of a table that do not belong to it yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import polars as pl

from arrowstream.core.snapshot_store import JsonValue
from arrowstream.io.files.output.trimmed import trimmed
from arrowstream.state.owned_rows import owned_if_few

GATHERED_BYTES = 64 << 20
"""Bytes of memory of the rows that wait for a file, of all partitions together."""

Key = tuple[Any, ...]
"""Values of the columns of a partition."""


class LakeFile(Protocol):
    """A file of a table that a sink has written."""

    @property
    def path(self) -> str:
        """Where it is."""

    def as_json(self) -> JsonValue:
        """Return the file as part of a handle."""


File = TypeVar("File", bound=LakeFile)


class GatheredFiles(Generic[File]):
    """Files of a table that are being written.

    Parameters
    ----------
    partition_by
        Columns by which the rows are put into files; the files do not have them.
    write
        Writes the rows of a partition as one file.
    delete
        Removes the file of a path.
    sync
        Flushes files to the disk, if `write` has not.
    """

    def __init__(
        self,
        partition_by: tuple[str, ...],
        write: Callable[[Key, pl.DataFrame], File],
        delete: Callable[[str], None],
        sync: Callable[[list[str]], None] = lambda paths: None,
    ) -> None:
        self._partition_by = partition_by
        self._write_file = write
        self._sync = sync
        self._delete = delete
        self._gathered: dict[Key, list[pl.DataFrame]] = {}
        self._bytes: dict[Key, int] = {}
        self._files: list[File] = []

    def make_room(self) -> None:
        """Write the largest partitions if rows fill the memory for them; the next call tries again what fails."""
        if sum(self._bytes.values()) < GATHERED_BYTES:
            return
        while sum(self._bytes.values()) > GATHERED_BYTES // 2:
            self._write(max(self._bytes, key=self._bytes.__getitem__))

    def add(self, frame: pl.DataFrame) -> None:
        """Gather rows."""
        # What waits would keep the texts that a filter has left out, or those of the other partitions.
        frame, _ = trimmed(frame)
        if not self._partition_by:
            self._add((), frame)
            return
        parts = frame.partition_by(self._partition_by, as_dict=True, maintain_order=True, include_key=False)
        for key, part in parts.items():
            self._add(key, owned_if_few(part, frame.height))

    def _add(self, key: Key, frame: pl.DataFrame) -> None:
        self._gathered.setdefault(key, []).append(frame)
        self._bytes[key] = self._bytes.get(key, 0) + int(frame.estimated_size())

    def finish(self) -> list[File]:
        """Write all rows, flush their files to the disk, and return these."""
        for key in list(self._gathered):
            self._write(key)
        self._sync([file.path for file in self._files])
        files, self._files = self._files, []
        return files

    def discard(self) -> None:
        """Remove the files that `finish` has not returned."""
        self._gathered, self._bytes = {}, {}
        for file in self._files:
            self._delete(file.path)

    def _write(self, key: Key) -> None:
        self._files.append(self._write_file(key, pl.concat(self._gathered[key])))
        del self._gathered[key], self._bytes[key]
