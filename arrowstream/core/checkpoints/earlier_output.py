"""The note on output that an earlier run of the same job has left, with another checkpoint folder."""

from __future__ import annotations

import re
from collections.abc import Mapping

from arrowstream.core.checkpoints.context import CheckpointContext
from arrowstream.core.notes import ReaderNote


def earlier_output(what: str, count: int, first: str) -> ReaderNote:
    """Return the note: a run that begins reads its input from the start, so the rows of it come again.

    Parameters
    ----------
    what
        What is there, as a plural noun.
    count
        How many of it.
    first
        The first of it.
    """
    return ReaderNote(
        f"{what} of earlier runs of this job, with another checkpoint folder, whose rows may come again",
        count,
        first,
        lost=False,
    )


def earlier_epochs(
    found: Mapping[str, int], checkpoint: CheckpointContext, place: str
) -> tuple[ReaderNote, ...]:
    """Return a note if a table has epochs of pipelines of the same name.

    Parameters
    ----------
    found
        The newest epoch of each job that the table knows.
    checkpoint
        The checkpoints of a run that begins.
    place
        The table.
    """
    others = {job: epoch for job, epoch in found.items() if epoch and is_same_job(job, checkpoint)}
    if not others:
        return ()
    return (earlier_output("epochs", sum(others.values()), f"{place}, of {min(others)!r}"),)


def is_same_job(job: str, checkpoint: CheckpointContext) -> bool:
    """Return whether a job has the name of the pipeline, and another checkpoint folder."""
    same = rf"{re.escape(checkpoint.name)}-[0-9a-f]{{8}}"
    return job != checkpoint.job and re.fullmatch(same, job) is not None
