"""The layout of a checkpoint folder.

::

    state/
      lock                       held while a run uses the folder
      attempt                    number of the newest run
      owner                      name of the job in the systems that its sinks write, such as sales-1f0c9a7e
      manifest-00000012.json     an epoch is complete once its manifest has this name
      committed-00000012         every sink has committed the epoch
      pieces/HASH.arrow          pieces of the states of steps and positions of sources; epochs share them
      sinks/NAME/                durable files of a sink
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from arrowstream.checkpoints.manifest import Manifest
from arrowstream.checkpoints.pieces import remove_pieces
from arrowstream.core.checkpoints.durable import lock
from arrowstream.core.checkpoints.failpoints import Failpoint, reach
from arrowstream.core.plural import counted
from arrowstream.errors import CheckpointError

MANIFEST = re.compile(r"manifest-(\d{8,})\.json")
_BEFORE_THE_FIRST_RUN = {"lock", "attempt.tmp", "lost+found", ".gitkeep", ".gitignore", ".DS_Store"}
"""Names in a folder that was used for a moment only, or that counts as empty."""
ANY_EPOCH = re.compile(r"(?:manifest|committed)-(\d{8,})\b.*")


def named(path: Path, pattern: re.Pattern[str]) -> list[re.Match[str]]:
    """Return the matches of a pattern with the names in a folder."""
    return [match for entry in path.iterdir() if (match := pattern.fullmatch(entry.name))]


def complete_epochs(path: Path) -> list[int]:
    """Return the numbers of the epochs that have a manifest, the oldest first."""
    return sorted(int(match[1]) for match in named(path, MANIFEST))


def check_own(path: Path) -> None:
    """Check that a path is free, an empty folder, or one that holds checkpoints.

    Raises
    ------
    CheckpointError
        It is a file, or a folder of something else.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise CheckpointError(
            f"{path} is not a folder, so it cannot keep checkpoints",
            expected="a folder for this pipeline alone, or a name that is free",
            found="a file",
            hint="choose another name, such as checkpoint='state/'",
        )
    names = sorted(entry.name for entry in path.iterdir())
    others = [name for name in names if name not in _BEFORE_THE_FIRST_RUN]
    if others and "attempt" not in names:
        # Next to it: in it, a source of this folder would find them.
        next_to_it = path.with_name(f"{path.absolute().name}-state")
        raise CheckpointError(
            f"the folder {path} holds other things than checkpoints",
            expected="an empty folder, a checkpoint folder, or a name that is free",
            found=counted(len(others), "files and folders") + f", such as {', '.join(others[:3])}",
            hint=f"give the checkpoints a folder of their own, such as {next_to_it}",
        )


def manifest_of(path: Path, epoch: int) -> Path:
    """Return the path of an epoch's manifest."""
    return path / f"manifest-{epoch:08}.json"


def marker_of(path: Path, epoch: int) -> Path:
    """Return the path of the file that says that every sink has committed an epoch."""
    return path / f"committed-{epoch:08}"


def pieces_in(path: Path) -> Path:
    """Return the folder of the pieces of states."""
    return path / "pieces"


def drop(path: Path, epochs: Iterable[int]) -> None:
    """Remove epochs, and the pieces that no other epoch uses: first a manifest, without which the rest is nothing."""
    for epoch in epochs:
        manifest_of(path, epoch).unlink()
        reach(Failpoint.EPOCH_DROPPED)
        marker_of(path, epoch).unlink(missing_ok=True)
    used: set[str] = set()
    for epoch in complete_epochs(path):
        with suppress(CheckpointError):
            used |= Manifest.decode(manifest_of(path, epoch).read_bytes()).pieces
    remove_pieces(pieces_in(path), used)


@contextmanager
def naming_folder(path: Path, *, at_start: bool = False) -> Iterator[None]:
    """Name the checkpoint folder in a failure of its disk.

    Parameters
    ----------
    path
        The folder.
    at_start
        True before the first checkpoint of the run.

    Raises
    ------
    CheckpointError
        The disk failed or is full; the next run goes on from the last complete epoch.
    """
    try:
        yield
    except OSError as error:
        where = "" if error.filename is None else f": {error.filename}"
        raise CheckpointError(
            f"the checkpoint folder {path} cannot be used"
            if at_start
            else f"a checkpoint cannot be written to {path}",
            expected="a folder in which this process may make and change files" if at_start else None,
            found=(error.strerror or str(error)) + (where if at_start else ""),
            hint=None
            if at_start
            else "the next run with this folder goes on from the last complete checkpoint",
        ) from error


def locked(path: Path) -> int:
    """Lock a checkpoint folder; closing the descriptor that is returned unlocks it.

    Raises
    ------
    CheckpointError
        Another run has locked it.
    """
    file = path / "lock"
    handle = lock(file)
    if handle is None:
        raise CheckpointError(
            f"another run uses the checkpoint folder {path}",
            expected="one run at a time",
            found=f"a lock by process {file.read_text() or 'that has just begun'}",
            hint="wait until it has ended, or give each job a folder of its own",
        )
    os.ftruncate(handle, 0)
    os.pwrite(handle, str(os.getpid()).encode(), 0)
    return handle
