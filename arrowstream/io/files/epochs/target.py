"""Contract of what a file sink writes to in a run with checkpoints."""

from __future__ import annotations

from abc import ABC, abstractmethod

from arrowstream.core.notes import ReaderNote
from arrowstream.io.files.writer import FileWriter
from arrowstream.io.writer import Handle


class EpochTarget(ABC):
    """A target that grows from epoch to epoch.

    `recover` is the first call. Then come, for each epoch: `begin` with its first row, `seal` after its last one,
    and `commit` once the checkpoint is complete; the next epoch may begin before the `commit`.
    """

    notes: tuple[ReaderNote, ...] = ()
    """What a user should know about the target as `recover` has found it."""

    @abstractmethod
    def recover(self, epoch: int, handle: Handle | None) -> None:
        """Bring what is visible to the state of an epoch, and look at it; see `Writer.recover`."""

    @property
    @abstractmethod
    def is_bare(self) -> bool:
        """True if readers could not see the columns, so that an epoch writes a file even without rows."""

    @abstractmethod
    def begin(self) -> FileWriter:
        """Begin the files of an epoch; return their writer, whose `prepare` makes them durable, but not visible."""

    @abstractmethod
    def seal(self, epoch: int) -> Handle:
        """Return the handle of the files written since the last call, or of no files.

        Raises
        ------
        SinkError
            The operating system refuses.
        """

    @abstractmethod
    def commit(self, handle: Handle) -> None:
        """Make the files of an epoch visible, unless they are.

        Raises
        ------
        SinkError
            The operating system refuses, or somebody else has changed the target; the call can be repeated.
        """

    @abstractmethod
    def leave(self) -> None:
        """Remove empty folders of this run; never raises."""
