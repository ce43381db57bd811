"""What a sink knows of the checkpoints of its run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class CheckpointContext:
    """The checkpoints of a run, as one sink sees them.

    Parameters
    ----------
    job
        Name of the job that no other job has: that of the pipeline when the checkpoint folder was made, and a token
        of the folder. It stays if the pipeline is renamed.
    attempt
        Number of the run, counted from 1 by all runs that used this checkpoint folder. A receiver that has seen a
        higher one refuses rows of this run: another run has taken over.
    folder
        Folder for durable files of this sink alone, such as a log of rows that are prepared but not committed. It
        exists, is the same in every run, and nothing but the sink removes files from it.
    newest
        The newest epoch that a run with this checkpoint folder has completed, though its manifest may be damaged
        now. A receiver that shows a later one was written with another folder: a copy of this one, or this one
        before it was brought back from a backup.
    """

    job: str
    attempt: int
    folder: Path
    newest: int

    @property
    def name(self) -> str:
        """The name of the pipeline, without the token of the checkpoint folder."""
        return self.job.rpartition("-")[0]
