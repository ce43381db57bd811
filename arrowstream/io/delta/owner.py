"""`Owner`: a sink of a run with checkpoints, as the log of the table knows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from arrowstream.errors import SinkError
from arrowstream.io.delta.location import DeltaLocation


@dataclass(frozen=True, slots=True)
class Owner:
    """The ids of a sink in the application transactions of its table.

    Parameters
    ----------
    app
        Id under which the newest epoch is stored.
    attempt
        Number of the run, stored under an id of its own: of two runs, the later one has the sink.
    """

    app: str
    attempt: int

    def epoch(self, table: Any) -> int:
        """Return the newest epoch that a table has of the sink; 0 for none."""
        return 0 if table is None else table.transaction_version(self.app) or 0

    def owns(self, table: Any) -> bool:
        """Return whether any run of the job has claimed the sink."""
        return self._newest(table) > 0

    def has_claimed(self, table: Any) -> bool:
        """Return whether this run has claimed the sink, and no later one."""
        return self._newest(table) == self.attempt

    def check(self, location: DeltaLocation, table: Any) -> None:
        """Check that no later run has claimed the sink.

        Raises
        ------
        SinkError
            One has: this run must not write any more.
        """
        found = self._newest(table)
        if found > self.attempt:
            raise SinkError(
                f"a later run of the job writes the Delta table {location}",
                expected=f"no run after attempt {self.attempt}",
                found=f"attempt {found} of {self.app!r} in the log of the table",
                hint="end this run: the later one has taken over",
            )

    def transactions(self, epoch: int | None) -> list[Any]:
        """Return what a commit of the sink stores: its attempt, and its epoch if it has one.

        A commit of an earlier run that does not know of the attempt yet is refused as a conflict.
        """
        from deltalake import Transaction

        stored = [Transaction(self._attempt_id, self.attempt)]
        return stored if epoch is None else [Transaction(self.app, epoch), *stored]

    def _newest(self, table: Any) -> int:
        return 0 if table is None else table.transaction_version(self._attempt_id) or 0

    @property
    def _attempt_id(self) -> str:
        return f"{self.app}/attempt"
