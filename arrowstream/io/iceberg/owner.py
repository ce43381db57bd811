"""`Owner`: a sink of a run with checkpoints, as its table knows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from arrowstream.io.lake.owner import LakeOwner

if TYPE_CHECKING:
    from pyiceberg.table import Table

_SINK, _EPOCH, _ATTEMPT = "arrowstream.sink", "arrowstream.epoch", "arrowstream.attempt"
"""What the summary of a snapshot says of the sink, and what properties of the table say after a name of the sink."""


@dataclass(frozen=True, slots=True)
class Owner(LakeOwner["Table"]):
    """A sink in the properties of its table, and in the summaries of its snapshots."""

    kind: ClassVar[str] = "the Iceberg table"
    stored: ClassVar[str] = "in the properties of the table"

    def epoch(self, table: Table | None) -> int:
        """Return the newest epoch that a table has of the sink; 0 for none.

        The property of the table stays when snapshots expire.
        """
        if table is None:
            return 0
        found = [int(table.properties.get(f"{_EPOCH}.{self.app}", 0))]
        for snapshot in table.snapshots():
            if snapshot.summary is not None and snapshot.summary[_SINK] == self.app:
                found.append(int(snapshot.summary[_EPOCH] or 0))
        return max(found)

    def summary(self, epoch: int | None) -> dict[str, str]:
        """Return what the summary of a snapshot says; a claim has no epoch."""
        claim = {_SINK: self.app, _ATTEMPT: str(self.attempt)}
        return claim if epoch is None else {**claim, _EPOCH: str(epoch)}

    def properties(self, epoch: int | None) -> dict[str, str]:
        """Return the properties that the table gets in the same commit."""
        claim = {f"{_ATTEMPT}.{self.app}": str(self.attempt)}
        return claim if epoch is None else {**claim, f"{_EPOCH}.{self.app}": str(epoch)}

    def newest(self, table: Table | None) -> int:
        return 0 if table is None else int(table.properties.get(f"{_ATTEMPT}.{self.app}", 0))


def shown_epochs(table: Table | None) -> dict[str, int]:
    """Return the newest epoch of each sink that a table has in its properties."""
    properties = {} if table is None else table.properties
    start = f"{_EPOCH}."
    return {
        name.removeprefix(start): int(value) for name, value in properties.items() if name.startswith(start)
    }
