"""What the names of files say of the runs that wrote them: the job, and its checkpoint folder."""

from __future__ import annotations

import hashlib
import secrets

from arrowstream.core.checkpoints.context import CheckpointContext
from arrowstream.core.checkpoints.durable import read_or_make
from arrowstream.core.checkpoints.other_run import other_run
from arrowstream.core.plural import counted
from arrowstream.errors import CheckpointError, SinkError


def sink_token(checkpoint: CheckpointContext) -> str:
    """Return what tells the files of a sink from those of others: 12 hexadecimal digits, kept with the checkpoints.

    The first 4 depend on the name of the pipeline, so that a run with a new checkpoint folder knows the files of
    earlier ones.
    """
    return read_or_make(checkpoint.folder / "token", lambda: mark_of(checkpoint) + secrets.token_hex(4))


def mark_of(checkpoint: CheckpointContext) -> str:
    """Return the digits that depend on the name of the pipeline."""
    return hashlib.sha256(checkpoint.name.encode()).hexdigest()[:4]


def other_folder(place: str, shown: int, newest: int, what: str) -> CheckpointError:
    """Return the error for output that no run with this checkpoint folder has written.

    Parameters
    ----------
    place
        What the sink writes to.
    shown
        The newest epoch that it shows.
    newest
        The newest epoch that this checkpoint folder has completed.
    what
        What has to be removed so that its rows can come again.
    """
    return CheckpointError(
        f"{place} has rows of epochs after {newest}, which would come again",
        expected=f"at most epoch {newest}, the newest one in this checkpoint folder",
        found=f"epoch {shown}, of a run with a copy of this folder, or before it was brought back from a backup",
        hint="run with the checkpoint folder of that run, and end other runs; or remove "
        f"{what}: their rows then come again",
    )


def taken_names(place: str, taken: list[str]) -> SinkError:
    """Return the error for names of an epoch that were free when it was prepared, and are taken now."""
    found = f"{counted(len(taken), 'files')}, such as {taken[0]}"
    return other_run(f"into {place} with the same names", "names that nothing has", found)
