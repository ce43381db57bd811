"""`LakeOwner`: a sink of a run with checkpoints, as its table knows it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from arrowstream.errors import SinkError

Table = TypeVar("Table")


@dataclass(frozen=True, slots=True)
class LakeOwner(ABC, Generic[Table]):
    """A sink in what its table stores of it.

    Parameters
    ----------
    app
        Id of the sink.
    attempt
        Number of the run, stored apart from the epoch: of two runs, the later one has the sink.
    """

    kind: ClassVar[str]
    """What the table is, such as ``the Delta table``."""
    stored: ClassVar[str]
    """Where the table stores attempts, such as ``in the log of the table``."""
    app: str
    attempt: int

    @abstractmethod
    def epoch(self, table: Table | None) -> int:
        """Return the newest epoch that a table has of the sink; 0 for none."""

    @abstractmethod
    def newest(self, table: Table | None) -> int:
        """Return the latest attempt that has claimed the sink; 0 for none."""

    def owns(self, table: Table) -> bool:
        """Return whether any run of the job has claimed the sink."""
        return self.newest(table) > 0

    def has_claimed(self, table: Table | None) -> bool:
        """Return whether this run has claimed the sink, and no later one."""
        return self.newest(table) == self.attempt

    def check(self, location: object, table: Table | None) -> None:
        """Check that no later run has claimed the sink.

        Raises
        ------
        SinkError
            One has: this run must not write any more.
        """
        found = self.newest(table)
        if found > self.attempt:
            raise SinkError(
                f"a later run of the job writes {self.kind} {location}",
                expected=f"no run after attempt {self.attempt}",
                found=f"attempt {found} of {self.app!r} {self.stored}",
                hint="end this run: the later one has taken over",
            )
