"""`Owner`: a sink of a run with checkpoints, as its table knows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from arrowstream.errors import SinkError
from arrowstream.io.iceberg.location import IcebergLocation

if TYPE_CHECKING:
    from pyiceberg.table import Table

_SINK, _EPOCH, _ATTEMPT = "arrowstream.sink", "arrowstream.epoch", "arrowstream.attempt"
"""What the summary of a snapshot says of the sink, and what properties of the table say after a name of the sink."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A sink in the properties of its table, and in the summaries of its snapshots.

    Parameters
    ----------
    app
        Id of the sink.
    attempt
        Number of the run: of two runs, the later one has the sink.
    """

    app: str
    attempt: int

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

    def owns(self, table: Table) -> bool:
        """Return whether any run of the job has claimed the sink."""
        return self._newest(table) > 0

    def has_claimed(self, table: Table | None) -> bool:
        """Return whether this run has claimed the sink, and no later one."""
        return self._newest(table) == self.attempt

    def check(self, location: IcebergLocation, table: Table | None) -> None:
        """Check that no later run has claimed the sink.

        Raises
        ------
        SinkError
            One has: this run must not write any more.
        """
        found = self._newest(table)
        if found > self.attempt:
            raise SinkError(
                f"a later run of the job writes the Iceberg table {location}",
                expected=f"no run after attempt {self.attempt}",
                found=f"attempt {found} of {self.app!r} in the properties of the table",
                hint="end this run: the later one has taken over",
            )

    def summary(self, epoch: int | None) -> dict[str, str]:
        """Return what the summary of a snapshot says; a claim has no epoch."""
        claim = {_SINK: self.app, _ATTEMPT: str(self.attempt)}
        return claim if epoch is None else {**claim, _EPOCH: str(epoch)}

    def properties(self, epoch: int | None) -> dict[str, str]:
        """Return the properties that the table gets in the same commit."""
        claim = {f"{_ATTEMPT}.{self.app}": str(self.attempt)}
        return claim if epoch is None else {**claim, f"{_EPOCH}.{self.app}": str(epoch)}

    def _newest(self, table: Table | None) -> int:
        return 0 if table is None else int(table.properties.get(f"{_ATTEMPT}.{self.app}", 0))


def shown_epochs(table: Table | None) -> dict[str, int]:
    """Return the newest epoch of each sink that a table has in its properties."""
    properties = {} if table is None else table.properties
    start = f"{_EPOCH}."
    return {
        name.removeprefix(start): int(value) for name, value in properties.items() if name.startswith(start)
    }
