"""The record batches of an epoch on the disk, from which a transaction is sent again."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import IO, Final

import pyarrow as pa

from arrowstream.core.checkpoints.durable import sync
from arrowstream.core.checkpoints.failpoints import Failpoint, reach
from arrowstream.errors import SinkError
from arrowstream.io.kafka.partition_name import Partition
from arrowstream.io.kafka.records.compression import Codec
from arrowstream.io.kafka.records.encode import EncodedBatch

_HEAD: Final = Struct(">IIHiIBqq")
"""Checksum of the topic and the records, bytes of the records and of the topic, number of the partition, number of
records, codec, time of the first record, and the largest time."""


class OutputLog:
    """The record batches of one epoch after another; its methods block.

    Parameters
    ----------
    folder
        Folder for the files: one for the epoch that is being written, and one for each that is prepared.

    Attributes
    ----------
    size : int
        Bytes of the epoch that is being written.
    topics : set
        Topics of its record batches.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._growing = folder / "open.log"
        self._file: IO[bytes] | None = None
        self.size = 0
        self.topics: set[str] = set()

    def append(self, partition: Partition, batch: EncodedBatch) -> None:
        """Add a record batch to the epoch that is being written."""
        if self._file is None:
            self._file = self._growing.open("wb")
        topic, number = partition
        name = topic.encode()
        checksum = zlib.crc32(batch.records, zlib.crc32(name))
        fields = batch.record_count, batch.codec, batch.base_time, batch.max_time
        head = _HEAD.pack(checksum, len(batch.records), len(name), number, *fields)
        for part in (head, name, batch.records):
            self._file.write(part)
            self.size += len(part)
        self.topics.add(topic)

    def truncate(self, size: int) -> None:
        """Remove what comes after `size` bytes of the epoch that is being written."""
        if self._file is not None:
            self._file.seek(size)
            self._file.truncate()
            self.size = size

    def growing(self) -> Iterator[tuple[Partition, EncodedBatch]]:
        """Return the record batches of the epoch that is being written."""
        if self._file is not None:
            self._file.flush()
            yield from _read(self._growing)

    def seal(self, epoch: int) -> None:
        """Flush what was written to the disk, as the record batches of this epoch; begin the next one.

        Raises
        ------
        OSError
            The disk failed or is full.
        """
        if self._file is not None:
            file, self._file = self._file, None
            with file:
                file.flush()
                os.fsync(file.fileno())
            reach(Failpoint.KAFKA_LOG_FLUSHED)
            self._growing.replace(self.path(epoch))
            sync(self._folder)
        self.size = 0
        self.topics = set()

    def path(self, epoch: int) -> Path:
        """Return the path of the record batches of an epoch that was prepared."""
        return self._folder / f"{epoch:08}.log"

    def sealed(self, epoch: int) -> Iterator[tuple[Partition, EncodedBatch]]:
        """Return the record batches of an epoch that was prepared.

        Raises
        ------
        SinkError
            The file is damaged.
        """
        return _read(self.path(epoch))

    def remove(self, epoch: int) -> None:
        """Remove the record batches of an epoch, which the servers show."""
        self.path(epoch).unlink(missing_ok=True)

    def keep_only(self, epoch: int | None) -> None:
        """Remove what earlier runs have left, except the record batches of one epoch, if any."""
        kept = None if epoch is None else self.path(epoch)
        for path in self._folder.glob("*.log"):
            if path != kept:
                path.unlink()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _read(path: Path) -> Iterator[tuple[Partition, EncodedBatch]]:
    with path.open("rb") as file:
        while head := file.read(_HEAD.size):
            whole = len(head) == _HEAD.size
            checksum, size, length, number, count, codec, base, largest = (
                _HEAD.unpack(head) if whole else (0,) * 8
            )
            name, records = file.read(length), file.read(size)
            if not whole or zlib.crc32(records, zlib.crc32(name)) != checksum:
                raise SinkError(
                    "the rows of a prepared epoch cannot be sent again",
                    expected="a log as it was written",
                    found=f"a damaged record batch before byte {file.tell():,} of {path}",
                    hint="restore the checkpoint folder from a backup, or start from the beginning: "
                    "from_checkpoint='ignore'",
                )
            batch = EncodedBatch(count, Codec(codec), pa.py_buffer(records), base, largest)
            yield (name.decode(), number), batch
