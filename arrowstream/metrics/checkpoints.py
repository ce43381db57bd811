"""What a run's checkpoints have cost so far."""

from __future__ import annotations

from dataclasses import dataclass

from arrowstream.core.plural import counted


@dataclass(frozen=True, slots=True)
class CheckpointMetrics:
    """The checkpoints of a run at one moment.

    Parameters
    ----------
    epochs
        Number of checkpoints that this run has completed.
    last
        Number of the newest epoch, counted over all runs; None before the first.
    restored
        Number of the epoch that this run continued from; None if it started from the beginning.
    nbytes
        Size of the newest checkpoint's state in bytes.
    seconds
        Duration of the newest checkpoint, from its barriers to the commit of the sinks.
    total_seconds
        Duration of all checkpoints of this run together. Rows flow on meanwhile.
    written_bytes
        Bytes of state that this run has written: what an earlier checkpoint also has, and spilled state that is
        linked, is not written again.
    """

    epochs: int = 0
    last: int | None = None
    restored: int | None = None
    nbytes: int = 0
    seconds: float = 0.0
    total_seconds: float = 0.0
    written_bytes: int = 0

    def __str__(self) -> str:
        """Return one line for reports.

        Examples
        --------
        >>> print(CheckpointMetrics(2, 12, 10, 4_000_000, 0.02, 0.05))
        2 checkpoints, the newest is epoch 12 (4.0 MB of state, 0.020 s); continued from epoch 10
        """
        begun = "from the beginning" if self.restored is None else f"continued from epoch {self.restored}"
        if self.last is None:
            return f"no checkpoint; {begun}"
        newest = (
            f"the newest is epoch {self.last} ({self.nbytes / 1e6:.1f} MB of state, {self.seconds:.3f} s)"
        )
        return f"{counted(self.epochs, 'checkpoints')}, {newest}; {begun}"
