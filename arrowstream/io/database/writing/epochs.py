"""The table `arrowstream_epochs`: the last epoch that each sink of a job has committed, in the database itself."""

from __future__ import annotations

from arrowstream.core.checkpoints.context import CheckpointContext
from arrowstream.core.checkpoints.earlier_output import earlier_epochs
from arrowstream.core.checkpoints.failpoints import Failpoint, reach
from arrowstream.core.checkpoints.other_run import other_run
from arrowstream.core.notes import ReaderNote
from arrowstream.errors import SinkError
from arrowstream.io.database.identifiers import TableName
from arrowstream.io.database.systems.database import Database

_NAME = "arrowstream_epochs"


class Epochs:
    """The row of one sink of a job.

    Parameters
    ----------
    database
        The open connection.
    beside
        The table of the sink, in whose schema the epochs are.
    sink
        Id of the sink.
    checkpoint
        The job and the number of this run.
    """

    def __init__(
        self, database: Database, beside: TableName, sink: str, checkpoint: CheckpointContext
    ) -> None:
        self._database = database
        self._table = beside.sibling(_NAME)
        self._label = beside.label
        self._job = checkpoint.job
        self._sink = sink
        self._checkpoint = checkpoint
        self._attempt = checkpoint.attempt

    def claim(self) -> bool:
        """Make the row in the name of this run; return whether it was there.

        Raises
        ------
        SinkError
            A later run of the job has the sink.
        """
        database, table = self._database, self._table
        with database.writing(table):
            if database.columns(table) is None:
                columns = {"job": "text", "sink": "text", "epoch": "bigint", "attempt": "bigint"}
                database.create(table, columns, ("job", "sink"))
            found = self._stored()
            if found is None:
                values = (self._job, self._sink, 0, self._attempt)
                database.execute(f"INSERT INTO {table.sql} VALUES ($1, $2, $3, $4)", values)
                return False
            self._check_attempt(found[1])
            database.execute(
                f"UPDATE {table.sql} SET attempt = $1 WHERE job = $2 AND sink = $3",
                (self._attempt, self._job, self._sink),
            )
            return True

    def committed(self) -> int:
        """Return the last epoch that is committed; 0 for none.

        Raises
        ------
        SinkError
            A later run of the job has the sink.
        """
        with self._database.writing(self._table):
            found = self._stored() or (0, self._attempt)
        self._check_attempt(found[1])
        return found[0]

    def store(self, epoch: int, after: int) -> None:
        """Store an epoch, in the transaction of its rows.

        Parameters
        ----------
        epoch
            The epoch.
        after
            The newest epoch with rows before it, as this run knows it.

        Raises
        ------
        SinkError
            A later run of the job has the sink, or another one with a copy of the checkpoint folder has stored an
            epoch.
        """
        self._update("attempt", self._attempt)
        # After the update, which locks the row: no other run can take over before the transaction ends.
        self.check(after)
        self._update("epoch", epoch)
        reach(Failpoint.DATABASE_EPOCH_STORED)

    def check(self, shown: int) -> None:
        """Check that the last epoch that is committed is one that this run knows.

        Raises
        ------
        SinkError
            Another run has committed one, or a later run of the job has the sink.
        """
        if (found := self.committed()) != shown:
            what = f"the table {self._label} as {(self._job, self._sink)!r}"
            raise other_run(what, f"epoch {shown}, as this run has left it", self.state(found))

    def earlier(self) -> tuple[ReaderNote, ...]:
        """Return a note if the sink has epochs of the same job with another checkpoint folder."""
        with self._database.writing(self._table):
            found = self._database.rows(
                f"SELECT job, epoch FROM {self._table.sql} WHERE sink = $1", (self._sink,)
            )
        epochs = {str(job): int(epoch) for job, epoch in found}
        return earlier_epochs(epochs, self._checkpoint, f"the table {self._table.label}")

    def ahead(self, epoch: int) -> SinkError:
        """Return the error for a table that has rows of epochs after `epoch`, which would come again."""
        return SinkError(
            f"the table has rows of epochs after {epoch}, which would be written again",
            expected=f"an epoch of at most {epoch} in the table {self._table.label}",
            found=self.state(self.committed()),
            hint="run with the checkpoint folder of the run that wrote them, or delete this row of the table, which "
            "lets rows be written again",
        )

    def state(self, epoch: int) -> str:
        """Return the stored epoch and its place, for errors."""
        return f"epoch {epoch} in {self._table.label} for ({self._job!r}, {self._sink!r})"

    def _update(self, column: str, value: int) -> None:
        """Set a number in the row of the sink, unless a later run of the job has it."""
        with self._database.writing(self._table):
            self._database.execute(
                f"UPDATE {self._table.sql} SET {column} = $1 WHERE job = $2 AND sink = $3 AND attempt <= $4",
                (value, self._job, self._sink, self._attempt),
            )

    def _stored(self) -> tuple[int, int] | None:
        found = self._database.rows(
            f"SELECT epoch, attempt FROM {self._table.sql} WHERE job = $1 AND sink = $2",
            (self._job, self._sink),
        )
        return (int(found[0][0]), int(found[0][1])) if found else None

    def _check_attempt(self, stored: int) -> None:
        if stored > self._attempt:
            raise SinkError(
                "a later run of the job writes this sink",
                expected=f"no run after attempt {self._attempt}",
                found=f"attempt {stored} in the table {self._table.label}",
                hint="end this run: the later one has taken over",
            )
