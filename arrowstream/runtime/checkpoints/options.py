"""The arguments of a run that are about checkpoints."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, get_args

from arrowstream.core.checks import PathLike
from arrowstream.core.defaults import CHECKPOINT_SECONDS
from arrowstream.core.duration import Duration, seconds
from arrowstream.core.hints import did_you_mean
from arrowstream.errors import PlanError

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")

FromCheckpoint = Literal["newest", "ignore"]
"""Where a run begins: after the newest checkpoint, or at the beginning."""


@dataclass(frozen=True, slots=True)
class CheckpointOptions:
    """Where checkpoints are kept, and how often they are taken.

    Parameters
    ----------
    path
        The folder.
    every_s
        Seconds between the beginnings of two epochs.
    ignore
        Whether the run starts from the beginning, whatever the folder holds.
    """

    path: Path
    every_s: float
    ignore: bool = False

    @classmethod
    def of(
        cls,
        checkpoint: PathLike | None,
        every: Duration | None = None,
        from_checkpoint: str = "newest",
        limit: int | None = None,
        default: Self | None = None,
    ) -> Self | None:
        """Return the options of a run; None without checkpoints.

        Parameters
        ----------
        checkpoint, every, from_checkpoint, limit
            The arguments of `Pipeline.run`.
        default
            The options of a run that names no folder.

        Raises
        ------
        PlanError
            An argument is wrong or needs a folder, or the run has a limit.
        """
        begins = get_args(FromCheckpoint)
        if from_checkpoint not in begins:
            raise PlanError(
                "from_checkpoint is not known",
                expected=" or ".join(map(repr, begins)),
                found=repr(from_checkpoint),
                hint=did_you_mean(str(from_checkpoint), begins),
            )
        if checkpoint is not None:
            path, every_s = _folder(checkpoint), CHECKPOINT_SECONDS
        elif default is not None:
            path, every_s = default.path, default.every_s
        elif every is None and from_checkpoint == "newest":
            return None
        else:
            given = "every=" if every is not None else "from_checkpoint="
            raise PlanError(
                f"{given} comes without a checkpoint folder",
                expected="checkpoint='state/' with it",
                hint="name the folder that keeps the state of this pipeline",
            )
        if every is not None:
            every_s = seconds(every)
        if every_s <= 0:
            raise PlanError("every= is too short", expected="more than 0 seconds", found=f"{every_s:g} s")
        if limit is not None:
            raise PlanError(
                "a run with checkpoints takes no limit",
                expected="rows that the next run can continue after",
                found=f"limit={limit}, which cuts batches that the source has counted",
                hint="run without checkpoint=, or end the run by duration= or stop()",
            )
        return cls(path, every_s, from_checkpoint == "ignore")


def _folder(checkpoint: PathLike) -> Path:
    """Return the folder that a user names.

    Raises
    ------
    PlanError
        It is not the path of a folder on this machine.
    """
    path: object = os.fspath(checkpoint) if isinstance(checkpoint, str | os.PathLike) else checkpoint
    if not isinstance(path, str) or not path:
        found = repr(path) if path == "" else f"{type(path).__name__} {path!r}"
        raise PlanError(
            "checkpoint= takes a folder", expected="text or a pathlib.Path, such as 'state/'", found=found
        )
    if (url := _URL.match(path)) is not None:
        raise PlanError(
            "checkpoints are kept in a folder of this machine",
            expected="a path, such as 'state/'",
            found=f"a URL with the scheme {url[1]}",
            hint="put the folder on a disk that outlives the process, such as a mounted volume",
        )
    return Path(path).expanduser()
