"""`DatabaseWriter`: rows into a table, and the epoch with them, in one transaction."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from arrowstream.core.batch import Batch
from arrowstream.core.checkpoints.context import CheckpointContext
from arrowstream.core.checkpoints.failpoints import Failpoint, reach
from arrowstream.core.checkpoints.missing_output import missing_output
from arrowstream.core.checkpoints.other_run import OtherRun
from arrowstream.core.notes import ReaderNote
from arrowstream.errors import ArrowstreamError, DatabaseBusy, SinkError
from arrowstream.io.database.systems.failures import committing, writing_rows
from arrowstream.io.database.writing.output_log import OutputLog, checked, logged
from arrowstream.io.database.writing.session import Session
from arrowstream.io.writer import BlockingWriter, Handle

_VERSION = 1


class DatabaseWriter(BlockingWriter):
    """Running sink of a database.

    Rows go into an open transaction as they come. In a run with checkpoints they also go into an output log, which
    `prepare` syncs: if the transaction is lost before it is committed, `commit` writes the rows of the log.

    Parameters
    ----------
    open_session
        Connects to the database, and checks the table.
    key
        Columns of the key of a table that is upserted into; else none.
    batch_size
        Number of rows that are gathered before they are written; None to write each batch as it comes.
    checkpoint
        The checkpoints of the run; None without them.
    """

    # Until the transaction is committed, the connection has no room for another one.
    holds_until_commit = True

    def __init__(
        self,
        open_session: Callable[[], Session],
        key: tuple[str, ...],
        batch_size: int | None,
        checkpoint: CheckpointContext | None,
    ) -> None:
        self._open_session = open_session
        self._session = open_session()
        self._key = key
        self._batch_size = batch_size
        self._checkpoint = checkpoint
        self._gathered: list[pa.Table] = []
        self._careful_rows = 0
        """Rows that are written as they come: parts of a batch that was refused."""
        self._log: OutputLog | None = None
        self._logs = 0
        self._prepared: Handle | None = None
        self._shown = 0
        """The newest epoch with rows that is committed."""
        self._broken: ArrowstreamError | None = None
        self._notes: tuple[ReaderNote, ...] = ()

    @property
    def notes(self) -> tuple[ReaderNote, ...]:
        return self._notes

    def write(self, batch: Batch) -> None:
        self._check()
        if batch.num_rows:
            with writing_rows():
                self._write(batch)

    def _write(self, batch: Batch) -> None:
        rows = self._session.target.encode(batch.polars())
        if not rows.num_rows:
            return
        if self._batch_size is None:
            self._insert(rows)
            return
        self._gathered.append(rows)
        gathered_rows = sum(each.num_rows for each in self._gathered)
        if gathered_rows >= self._batch_size or self._careful_rows > 0:
            self._careful_rows -= rows.num_rows
            self._flush()

    def _check(self) -> None:
        if self._broken is not None:
            raise self._broken

    def _flush(self) -> None:
        """Write the gathered rows; if this fails, only the last batch of them may be at fault."""
        *earlier, last = gathered = self._gathered
        try:
            self._insert(self._joined(gathered))
            self._gathered = []
            return
        except DatabaseBusy:
            self._gathered = earlier  # the last one comes again
            raise
        except ArrowstreamError:
            self._gathered = []
            if not earlier:
                self._careful_rows = last.num_rows
                raise
        try:
            self._insert(self._joined(earlier))
        except ArrowstreamError as error:
            # Handlers of errors would search the last batch for rows that fail.
            advice = "without with_batch_size, handlers of errors find the rows that fail"
            error.hint = advice if error.hint is None else f"{error.hint}; {advice}"
            self._broken = error
            raise
        self._careful_rows = last.num_rows
        self._insert(last)

    def _joined(self, gathered: Sequence[pa.Table]) -> pa.Table:
        rows = pa.concat_tables(gathered)
        return self._session.target.last_of_key(rows) if self._key and len(gathered) > 1 else rows

    def _insert(self, rows: pa.Table) -> None:
        self._begin()
        database, target = self._session.database, self._session.target
        try:
            with database.writing(target.name), database.savepoint():
                for start in range(0, rows.num_rows, self._batch_size or rows.num_rows):
                    target.insert(rows.slice(start, self._batch_size))
                if self._log is not None:
                    self._log.append(rows)
        except BaseException as error:
            if not database.in_transaction:
                self._begin_again(error)
            raise

    def _begin(self) -> None:
        database, target = self._session.database, self._session.target
        if database.in_transaction:
            return
        with database.writing(target.name):
            database.begin()
            needs_log = target.may_refuse and not database.savepoints
        target.create()
        if self._log is None and (needs_log or self._checkpoint is not None):
            self._log = OutputLog(self._log_path())
            self._logs += 1

    def _begin_again(self, cause: BaseException) -> None:
        """Write the rows of a transaction again that the database has undone."""
        self._session.target.undone()
        log = self._log
        if log is None:
            self._broken = SinkError(
                f"the transaction with the rows for the table {self._session.target.name.label} was undone",
                found=str(cause),
            )
            return
        try:
            self._begin()
            for rows in log.written():
                self._session.target.insert(rows)
        except ArrowstreamError as error:
            self._broken = error

    def _log_path(self) -> Path:
        if self._checkpoint is None:
            handle, name = tempfile.mkstemp(prefix="arrowstream-rows-", suffix=".arrow")
            os.close(handle)
            return Path(name)
        return self._checkpoint.folder / f"rows-{self._checkpoint.attempt}-{self._logs}.arrow"

    def recover(self, epoch: int, handle: Handle | None) -> None:
        assert self._checkpoint is not None and self._session.epochs is not None
        if self._session.epochs.committed() > epoch:
            raise self._session.epochs.ahead(epoch)
        if handle is not None:
            self._check_shown(handle)
            self.commit(handle)
        self._make_table()
        if handle is None and not epoch:
            self._notes = self._session.epochs.earlier()
        self._shown = min(self._session.epochs.committed(), epoch)
        self._session.epochs.check(self._shown)
        # The rest was never part of a complete epoch.
        for path in self._checkpoint.folder.glob("rows-*.arrow"):
            path.unlink()

    def prepare(self, epoch: int) -> Handle:
        self._check()
        if self._gathered:
            self._flush()
        checkpoint, database, target = self._checkpoint, self._session.database, self._session.target
        if checkpoint is None:
            self._begin()
            with database.writing(target.name):
                database.check_constraints()
            return {"version": _VERSION, "epoch": epoch, "log": None}
        log, epochs = self._log, self._session.epochs
        assert epochs is not None
        if log is None or not log.rows:
            with database.writing(target.name):
                database.rollback()
            return {"version": _VERSION, "epoch": epoch, "log": None, "shown": self._shown}
        with database.writing(target.name):
            database.check_constraints()
        if epochs.committed() >= epoch:
            raise epochs.ahead(epoch - 1)
        epochs.check(self._shown)
        self._prepared = {
            "version": _VERSION,
            "epoch": epoch,
            "log": log.path.name,
            "rows": log.rows,
            "bytes": log.seal(),
            "shown": self._shown,
        }
        self._log = None
        return self._prepared

    def commit(self, handle: Handle) -> None:
        if self._checkpoint is None:
            with committing("no row of this run is in the table"):
                self._commit_run()
            return
        if handle["log"] is None:
            return
        with committing("the next run with this checkpoint writes the rows"):
            self._commit_epoch(handle, self._checkpoint)

    def _commit_run(self) -> None:
        database = self._session.database
        if database.in_transaction:
            with database.writing(self._session.target.name):
                database.commit()

    def _commit_epoch(self, handle: Handle, checkpoint: CheckpointContext) -> None:
        path = checkpoint.folder / str(handle["log"])
        if handle != self._prepared or not self._commit_open(handle):
            self._commit_log(handle, path)
        reach(Failpoint.DATABASE_COMMITTED)
        path.unlink(missing_ok=True)
        self._prepared = None
        self._shown = _number(handle, "epoch")

    def _commit_open(self, handle: Handle) -> bool:
        """Commit the open transaction; return False if its rows must be written from the log."""
        session = self._session
        assert session.epochs is not None
        try:
            session.epochs.store(_number(handle, "epoch"), _number(handle, "shown"))
            with session.database.writing(session.target.name):
                session.database.commit()
        except OtherRun:
            raise
        except ArrowstreamError:
            # Whether it is committed may be unknown; the stored epoch says it to a new connection.
            session.close()
            self._session = self._open_session()
            return False
        return True

    def _commit_log(self, handle: Handle, path: Path) -> None:
        """Write the rows of a log, unless its epoch is committed."""
        self._check_shown(handle)
        self._make_table()
        database, target, epochs = self._session.database, self._session.target, self._session.epochs
        assert epochs is not None
        epoch = _number(handle, "epoch")
        with database.writing(target.name):
            database.begin()
            try:
                if epochs.committed() < epoch:
                    for rows in logged(checked(path, _number(handle, "bytes"))):
                        target.insert(rows)
                    epochs.store(epoch, _number(handle, "shown"))
                database.commit()
            except BaseException:
                database.end()
                raise

    def _check_shown(self, handle: Handle) -> None:
        """Raise CheckpointError if rows that earlier epochs have shown are gone."""
        session, shown = self._session, _number(handle, "shown")
        assert session.epochs is not None
        stored = session.epochs.committed()
        if session.lacks_table:
            shown = max(shown, stored)
        if stored < shown or (session.lacks_table and shown):
            raise missing_output(
                f"the table {session.target.name.label} lacks rows that earlier runs of this job have written",
                f"the table with the rows up to epoch {shown}",
                "no such table" if session.lacks_table else session.epochs.state(stored),
            )

    def _make_table(self) -> None:
        """Make a table that has gone, where none of its rows are needed."""
        database, target = self._session.database, self._session.target
        if self._session.lacks_table:
            with database.writing(target.name):
                database.begin()
                target.create()
                database.commit()
            target.kept()
            self._session = replace(self._session, lacks_table=False)

    def abort(self) -> None:
        self.close()

    def close(self) -> None:
        self._session.close()
        if self._log is not None:
            self._log.discard()


def _number(handle: Handle, key: str) -> int:
    found: Any = handle[key]
    return int(found)
