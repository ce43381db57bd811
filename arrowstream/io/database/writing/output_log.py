"""`OutputLog`: the rows of one epoch in an Arrow IPC file, from which they can be written again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from arrowstream.core.checkpoints.durable import sync
from arrowstream.errors import SinkError

_END = b"\xff\xff\xff\xff\0\0\0\0"
"""End of an IPC stream."""


class OutputLog:
    """A file that is being written.

    Parameters
    ----------
    path
        The file, which is replaced.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        self._file: BinaryIO = path.open("wb")

    def append(self, rows: pa.Table) -> None:
        """Add rows; if this fails, the file is as before."""
        end = self._file.tell()
        try:
            if not end:
                self._file.write(rows.schema.serialize())
            for batch in rows.to_batches():
                self._file.write(batch.serialize())
            self._file.flush()
        except BaseException:
            self._file.seek(end)
            self._file.truncate()
            raise
        self.rows += rows.num_rows

    def seal(self) -> int:
        """Sync the file and its folder to the disk; return its bytes."""
        self._file.write(_END)
        self._file.flush()
        size = self._file.tell()
        self._file.close()
        sync(self.path)
        sync(self.path.parent)
        return size

    def written(self) -> Iterator[pa.Table]:
        """Yield the rows written so far."""
        if self.rows:
            yield from logged(self.path)

    def discard(self) -> None:
        """Delete the file."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def logged(path: Path) -> Iterator[pa.Table]:
    """Yield the rows of a log, one batch at a time."""
    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as batches:
        for batch in batches:
            yield pa.Table.from_batches([batch])


def checked(path: Path, size: int) -> Path:
    """Return the path of a log that `seal` has ended.

    Raises
    ------
    SinkError
        The file is missing, or has another size.
    """
    found = path.stat().st_size if path.exists() else None
    if found != size:
        raise SinkError(
            "the output log of a prepared epoch is damaged",
            expected=f"{path} with {size:,} bytes",
            found="no file" if found is None else f"{found:,} bytes",
            hint="the rows of the epoch are lost: restore the folder of checkpoints, or start without it",
        )
    return path
