"""`LakeWriter`: rows into data files, and these into a table."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Generic

from arrowstream.core.batch import Batch
from arrowstream.core.checkpoints.context import CheckpointContext
from arrowstream.core.checkpoints.earlier_output import earlier_epochs
from arrowstream.core.checkpoints.failpoints import Failpoint, reach
from arrowstream.core.checkpoints.missing_output import missing_output
from arrowstream.core.checkpoints.other_run import other_run
from arrowstream.core.notes import ReaderNote
from arrowstream.core.step_context import StepContext
from arrowstream.errors import ArrowstreamError, SinkError
from arrowstream.io.lake.encoding import LakeEncoding
from arrowstream.io.lake.file_log import FileLog
from arrowstream.io.lake.gathered_files import File, GatheredFiles
from arrowstream.io.writer import BlockingWriter, Handle

_VERSION = 1


class LakeWriter(BlockingWriter, Generic[File]):
    """Running sink of a table.

    The files that `prepare` has written are not part of the table: no reader sees them.

    Parameters
    ----------
    table
        The table, for errors.
    context
        The sink's id, and the checkpoints of the run.
    """

    _encoding: LakeEncoding
    _files: GatheredFiles[File]

    def __init__(self, table: str, context: StepContext) -> None:
        self._table = table
        checkpoint: CheckpointContext | None = context.checkpoint
        self._app = None if checkpoint is None else f"{checkpoint.job}/{context.id}"
        self._attempt = 0 if checkpoint is None else checkpoint.attempt
        self._log = None if checkpoint is None else FileLog(checkpoint.folder)
        self._prepared: list[File] = []
        self._fresh: int | None = None
        """Number of the epoch that is prepared, until its first commit."""
        self._shown = 0
        """The newest epoch with rows that the table has."""
        self._checkpoint = checkpoint
        self._sink = context.id
        self._notes: tuple[ReaderNote, ...] = ()

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        return self._notes

    @abstractmethod
    def _writing(self) -> AbstractContextManager[None]:
        """Raise failures in the block as errors that name the table."""

    @abstractmethod
    def _shown_epoch(self, app: str) -> int:
        """Return the newest epoch that the table has of a sink; 0 for none."""

    @abstractmethod
    def _file_of(self, found: Any) -> File:
        """Return the file that a handle has as JSON."""

    @abstractmethod
    def _commit(self, files: list[File], epoch: tuple[str, int] | None, shown: int | None) -> None:
        """Make files part of the table, unless it has the epoch of the sink.

        Parameters
        ----------
        files
            The files.
        epoch
            Id of the sink in the table, and the epoch; None in a run without checkpoints.
        shown
            The newest epoch with rows that the table has, as this run knows it: with another one, it has rows of
            another run. None if the epoch may have been committed before.
        """

    @abstractmethod
    def _delete(self, path: str) -> None:
        """Remove a file if it is there and can be removed."""

    def _epochs(self) -> Mapping[str, int]:
        """Return the newest epoch of each sink of all jobs, if the table can list them."""
        return {}

    @abstractmethod
    def _claim(self) -> None:
        """Store in the table that this run has the sink, so that earlier runs commit nothing any more."""

    def _note(self) -> Callable[[str], None]:
        """Return a function that notes the path of a file that is about to be written."""
        return (lambda path: None) if self._log is None else self._log.note

    def recover(self, epoch: int, handle: Handle | None) -> None:
        assert self._app is not None and self._log is not None
        with self._writing():
            shown = self._check_shown(self._app, epoch)
            if handle is not None and shown < (before := int(str(handle["shown"]))):
                raise missing_output(
                    f"{self._table} lacks rows that earlier runs of this job have written",
                    f"the table with the rows up to epoch {before}",
                    f"epoch {shown} of {self._app!r} in its log"
                    if shown
                    else "no table, or no rows of this job",
                )
            # Until then, a run that was overtaken may have committed.
            self._claim()
            shown = self._check_shown(self._app, epoch)
            if handle is not None and int(str(handle["shown"])) < shown < int(str(handle["epoch"])):
                expected = f"epoch {handle['shown']} or {handle['epoch']}, as earlier runs have left it"
                raise other_run(f"{self._table} as {self._app!r}", expected, f"epoch {shown}")
            if handle is not None:
                self.commit(handle)
                shown = epoch
            elif not epoch:
                self._notes = self._earlier()
            self._shown = self._check_shown(self._app, epoch)
            for path in self._log.take_leftovers(shown):
                self._delete(path)

    def _earlier(self) -> tuple[ReaderNote, ...]:
        assert self._checkpoint is not None
        end = f"/{self._sink}"
        found = {app.removesuffix(end): epoch for app, epoch in self._epochs().items() if app.endswith(end)}
        return earlier_epochs(found, self._checkpoint, self._table)

    def _check_shown(self, app: str, epoch: int) -> int:
        """Return the newest epoch that the table has of this sink, which must not come after `epoch`."""
        shown = self._shown_epoch(app)
        if shown > epoch:
            raise SinkError(
                f"{self._table} has rows of epochs after {epoch}, which would come again",
                expected=f"an epoch of at most {epoch}",
                found=f"epoch {shown} of {app!r} in the log of the table",
                hint="run with the checkpoint folder of the run that wrote them; with a new folder all rows are "
                "written again, so remove those of this job first",
            )
        return shown

    def write(self, batch: Batch) -> None:
        if not batch.num_rows:
            return
        rows = self._encoding.encode(batch.polars())
        with self._writing():
            # Before the rows are added, so that a handler of errors can try the batch again.
            self._files.make_room()
        self._files.add(rows)

    def prepare(self, epoch: int) -> Handle:
        with self._writing():
            files = self._prepared = self._files.finish()
            if self._log is not None:
                reach(Failpoint.LAKE_FILES_WRITTEN)
                self._log.seal(epoch)
        self._fresh = epoch
        return {
            "version": _VERSION,
            "epoch": epoch,
            "files": [file.as_json() for file in files],
            "shown": self._shown,
        }

    def commit(self, handle: Handle) -> None:
        found: Any = handle["files"]
        number: Any = handle["epoch"]
        files = [self._file_of(file) for file in found]
        shown, self._fresh = self._shown if self._fresh == number else None, None
        with self._writing():
            try:
                self._commit(files, None if self._app is None else (self._app, int(number)), shown)
            except ArrowstreamError:
                raise
            except BaseException:
                # They may be part of the table though the call failed, and so may not be removed.
                self._prepared = []
                raise
            if self._log is not None:
                reach(Failpoint.LAKE_COMMITTED)
                self._log.committed(int(number))
                self._shown = int(number) if files else self._shown
        self._prepared = []

    def abort(self) -> None:
        self._files.discard()
        if self._log is None:
            for file in self._prepared:
                self._delete(file.path)
