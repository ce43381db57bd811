"""`Owner`: a sink of a run with checkpoints, as the log of the table knows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from arrowstream.io.lake.owner import LakeOwner


@dataclass(frozen=True, slots=True)
class Owner(LakeOwner[Any]):
    """A sink in the application transactions of its table, one for its newest epoch and one for its attempt."""

    kind: ClassVar[str] = "the Delta table"
    stored: ClassVar[str] = "in the log of the table"

    def epoch(self, table: Any) -> int:
        return 0 if table is None else table.transaction_version(self.app) or 0

    def newest(self, table: Any) -> int:
        return 0 if table is None else table.transaction_version(self._attempt_id) or 0

    def transactions(self, epoch: int | None) -> list[Any]:
        """Return what a commit of the sink stores: its attempt, and its epoch if it has one.

        A commit of an earlier run that does not know of the attempt yet is refused as a conflict.
        """
        from deltalake import Transaction

        stored = [Transaction(self._attempt_id, self.attempt)]
        return stored if epoch is None else [Transaction(self.app, epoch), *stored]

    @property
    def _attempt_id(self) -> str:
        return f"{self.app}/attempt"
