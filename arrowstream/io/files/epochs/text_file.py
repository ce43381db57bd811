"""One CSV or NDJSON file that grows from epoch to epoch.

::

    rows-000003-000017     in the sink's folder of the checkpoints: the bytes of an epoch
    appended               the newest epoch whose bytes are, or may be, in the text file, and where they end

Next to the text file is a `FileMarker`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from arrowstream.core.checkpoints.context import CheckpointContext
from arrowstream.core.checkpoints.durable import sync, write_durably
from arrowstream.core.checkpoints.failpoints import Failpoint, reach
from arrowstream.core.checkpoints.missing_output import missing_output
from arrowstream.core.plural import counted
from arrowstream.errors import SinkError
from arrowstream.io.files.destination.existing_rows import end_of, file_without_rows, holds_rows
from arrowstream.io.files.destination.resolved import ResolvedSink
from arrowstream.io.files.epochs.file_marker import FileMarker, epoch_in
from arrowstream.io.files.epochs.staged_rows import StagedRows
from arrowstream.io.files.epochs.target import EpochTarget
from arrowstream.io.files.output.encoder import FileEncoder
from arrowstream.io.files.output.growing_file import GrowingFile
from arrowstream.io.files.sink_errors import sink_errors
from arrowstream.io.files.staging.base import remove
from arrowstream.io.files.writer import FileWriter, SingleFileWriter
from arrowstream.io.writer import Handle

_CHUNK: Final = 1 << 20


class EpochTextFile(EpochTarget):
    """A text file at whose end the rows of each epoch are appended.

    Parameters
    ----------
    output
        What the sink writes.
    schema
        Schema of the batches.
    new_encoder
        Makes an encoder, of a header or not, and of what ends the lines.
    checkpoint
        The checkpoints of the run.
    """

    def __init__(
        self,
        output: ResolvedSink,
        schema: pl.Schema,
        new_encoder: Callable[[bool, str], FileEncoder],
        checkpoint: CheckpointContext,
    ) -> None:
        self._output = output
        self._target = output.target
        self._schema = schema
        self._new_encoder = new_encoder
        self._folder = checkpoint.folder
        self._attempt = checkpoint.attempt
        self._record = checkpoint.folder / "appended"
        self._marker = FileMarker(checkpoint, output.target)
        self._fresh = 0
        """The epoch that this run has prepared, until the first try to commit it."""
        known = json.loads(self._record.read_text()) if self._record.exists() else {"epoch": 0, "end": 0}
        self._appended: int = known["epoch"]
        self._appended_end: int = known["end"]
        self._staged: Path | None = None
        self._number = 0
        self._end = 0
        self._newline = "\n"
        self._missing = b""

    def recover(self, epoch: int, handle: Handle | None) -> None:
        with sink_errors("cannot write to", self._target):
            self._check_access()
            self._marker.take(epoch, self._appended, epoch_in(handle))
            if handle is not None:
                self._restore(epoch, handle)
            elif self._appended > epoch:
                raise self._changed("rows of later epochs, which would come again")
            self._end = self._size()
            if handle is None and not epoch:
                self.notes = self._marker.notes()
        remove(self._folder.glob("rows-*"))
        kind, schema = self._output.kind, self._schema
        if handle is None and self._output.mode == "error" and self._end:
            empty = file_without_rows(kind, schema, None)
            if holds_rows(self._target, kind, empty):
                raise self._changed(f"{counted(self._end, 'bytes')} that this job has not written")
        if self._end:
            end = end_of(self._target, schema, kind)
            self._missing, self._newline = end.missing, end.newline.decode()

    @property
    def is_bare(self) -> bool:
        return not self._end

    def begin(self) -> FileWriter:
        path = self._folder / f"rows-{self._attempt:06}-{self._number:06}"
        self._number += 1
        self._staged = path
        file = GrowingFile(lambda: path, self._target)
        if self._missing:
            file.add(self._missing)
            self._missing = b""
        encoder = self._new_encoder(not self._end, self._newline)
        return SingleFileWriter(StagedRows(path), file, encoder, self._output.unit_rows)

    def seal(self, epoch: int) -> Handle:
        self._fresh = epoch
        staged, self._staged = self._staged, None
        length = 0 if staged is None else staged.stat().st_size
        handle = {"version": 1, "epoch": epoch, "offset": self._end, "length": length}
        self._end += length
        return handle if staged is None else {**handle, "staged": staged.name}

    def commit(self, handle: Handle) -> None:
        known: Mapping[str, Any] = handle
        fresh, self._fresh = self._fresh == known["epoch"], 0
        offset, end = known["offset"], known["offset"] + known["length"]
        if "staged" not in known or self._appended > known["epoch"]:
            return
        staged = self._folder / known["staged"]
        if not staged.exists():
            if self._appended < known["epoch"] and end > offset:
                raise SinkError(
                    f"rows of the last checkpoint are lost: {staged} has been removed",
                    expected="the file with the rows of the epoch",
                    hint="start from the beginning, from_checkpoint='ignore', after removing what this sink has "
                    "written",
                )
            return
        with sink_errors("cannot append to", self._target), self._marker.showing(known["epoch"]):
            self._check_holds(offset)
            # Half of the rows may be there, but not before the first try.
            if self._size() > (offset if fresh else end):
                raise self._changed(
                    f"{counted(self._size(), 'bytes')}, of which this job has written {offset}"
                )
            self._note(known["epoch"], end)
            self._append(staged, offset)
            staged.unlink()

    def leave(self) -> None:
        return

    def _append(self, staged: Path, offset: int) -> None:
        self._target.touch()
        with self._target.open("r+b") as file, staged.open("rb") as rows:
            file.truncate(offset)
            reach(Failpoint.FILES_CUT)
            file.seek(offset)
            shutil.copyfileobj(rows, file, _CHUNK)
            file.flush()
            reach(Failpoint.FILES_APPENDED)
            os.fsync(file.fileno())
        if not offset:
            sync(self._target.parent)

    def _restore(self, epoch: int, handle: Handle) -> None:
        """Bring the file to where an epoch ends."""
        known: Mapping[str, Any] = handle
        self.commit(handle)
        end, size = known["offset"] + known["length"], self._size()
        self._check_holds(end)
        if size > end and self._output.mode == "error" and self._appended <= epoch:
            raise self._changed(f"{counted(size, 'bytes')}, of which this job has written {end}")
        if self._appended > epoch:
            if size > max(self._appended_end, end):
                raise self._changed("rows of later epochs, which would come again, and then those of others")
            if size > end:
                os.truncate(self._target, end)
                sync(self._target)
            self._note(epoch, end)

    def _check_holds(self, end: int) -> None:
        if (size := self._size()) < end:
            raise missing_output(
                f"{self._target} lacks rows that earlier runs of this job have written",
                f"a file of at least {counted(end, 'bytes')}",
                counted(size, "bytes") if self._target.exists() else "no such file",
            )

    def _note(self, epoch: int, end: int) -> None:
        write_durably(self._record, json.dumps({"epoch": epoch, "end": end}).encode())
        self._appended, self._appended_end = epoch, end

    def _size(self) -> int:
        return self._target.stat().st_size if self._target.exists() else 0

    def _check_access(self) -> None:
        """Raise OSError unless the file can be appended to, or made."""
        if self._target.exists():
            handle = os.open(self._target, os.O_WRONLY | os.O_CLOEXEC)
            os.close(handle)
        elif not os.access(self._target.parent, os.W_OK | os.X_OK):
            self._target.parent.stat()
            raise PermissionError(13, "the folder is read-only")

    def _changed(self, found: str) -> SinkError:
        return SinkError(
            f"{self._target} is not as this job has left it",
            expected="the rows of the epochs that were committed",
            found=found,
            hint="let nobody else change the file, such as a run with a copy of the checkpoint folder; to begin "
            "again, move the file away and remove the checkpoint folder",
        )
