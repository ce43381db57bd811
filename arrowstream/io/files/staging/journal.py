"""Journal of the changes a run is about to make in a folder, so that another run can finish them if it is killed.

A file ``.TOKEN.publishing`` is in the folder from before the first change until after the last one. The run that
wrote it holds a lock on it, which the operating system releases when the process ends, however that happens. Sources
refuse a folder with such a file; the next sink of the folder finishes the changes, if the lock is free.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from arrowstream.core.checkpoints.durable import sync
from arrowstream.core.plural import counted
from arrowstream.errors import SinkError
from arrowstream.io.files.sink_errors import sink_errors
from arrowstream.io.files.staging.base import remove, remove_tree
from arrowstream.io.files.staging.claim import lock
from arrowstream.io.files.staging.exchange import move_new
from arrowstream.io.files.staging.unfinished import is_unfinished

_SUFFIX = ".publishing"
_DRAFT = ".draft"
_NAME = re.compile(rf"\.\d+-[0-9a-f]+{re.escape(_SUFFIX)}")

_log = logging.getLogger(__name__)


def is_journal(name: str) -> bool:
    """Return True for the name of a journal."""
    return name.endswith(_SUFFIX) and _NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Move:
    """A complete file that is about to get its final name.

    Parameters
    ----------
    source
        Path of the file while it waits.
    place
        First path in the folder: the final one, or an interim one while an old file has that.
    final
        Final path.
    """

    source: Path
    place: Path
    final: Path

    def publish(self) -> None:
        """Move the file to its place, which no other file has."""
        move_new(self.source, self.place)

    def settle(self) -> None:
        """Give the file its final name."""
        if self.place != self.final:
            self.place.replace(self.final)


class Journal:
    """The journal of one run.

    Parameters
    ----------
    folder
        The folder that the run publishes into.
    token
        Name of the run.
    staged
        Folder of the waiting files, in `folder` or next to it.
    """

    def __init__(self, folder: Path, token: str, staged: Path) -> None:
        self._folder = folder
        self._path = folder / f".{token}{_SUFFIX}"
        self._staged = staged
        self._handle: int | None = None

    def begin(self, moves: Iterable[Move], old: Iterable[Path]) -> None:
        """Write the journal of these changes to disk, before the first of them."""
        text = json.dumps(
            {
                "staged": os.path.relpath(self._staged, self._folder),
                "moves": [[self._relative(path) for path in (m.source, m.place, m.final)] for m in moves],
                "old": [self._relative(path) for path in old],
            }
        )
        draft = self._path.with_suffix(_DRAFT)
        self._handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            lock(self._handle, wait=True)
            with open(self._handle, "wb", closefd=False) as file:
                file.write(text.encode())
            os.fsync(self._handle)
            draft.replace(self._path)
            sync(self._folder)
        except BaseException:
            remove([draft])
            self.end()
            raise

    def end(self) -> None:
        """Remove the journal, once all changes are made or undone."""
        if self._handle is not None:
            remove([self._path])
            self.leave()

    def leave(self) -> None:
        """Release the journal, so that another run can finish the changes."""
        assert self._handle is not None
        os.close(self._handle)
        self._handle = None

    def _relative(self, path: Path) -> str:
        return os.path.relpath(path, self._folder)


def clear_drafts(folder: Path) -> None:
    """Remove journals that a killed run had not finished writing; the caller holds the lock on the folder."""
    remove(path for path in folder.glob(f".*{_DRAFT}") if is_journal(path.with_suffix(_SUFFIX).name))


def finish_interrupted(folder: Path) -> None:
    """Finish the changes that a killed run began to make in `folder`.

    Raises
    ------
    SinkError
        The run is still publishing, or files that it wrote are missing.
    """
    for path in sorted(path for path in folder.glob(f".*{_SUFFIX}") if is_journal(path.name)):
        with path.open("r+b") as file:
            if not lock(file.fileno()):
                raise SinkError(
                    f"another run is publishing into {folder}",
                    expected="one run at a time that writes into a folder",
                    found=path.name,
                    hint="wait until it has ended",
                )
            if path.exists():
                with sink_errors("cannot finish what a killed run began in", folder):
                    _finish(folder, path, file.read())


def _finish(folder: Path, path: Path, content: bytes) -> None:
    found = json.loads(content)
    staged = _inside(folder, found["staged"])
    moves = [Move(*(_inside(folder, name) for name in names)) for names in found["moves"]]
    old = [_inside(folder, name) for name in found["old"]]
    lost = [m.final for m in moves if not (m.source.exists() or m.place.exists() or m.final.exists())]
    if lost:
        raise SinkError(
            f"{folder} holds part of what a killed run wrote, and the rest is lost",
            expected=f"{lost[0]}, which that run had written",
            found=f"{len(lost)} of {counted(len(moves), 'files')} nowhere",
            hint=f"check what the folder holds, delete {path}, and run again with overwrite=True",
        )
    for move in moves:
        if move.source.exists():
            move.publish()
    remove(old)
    for move in moves:
        if move.place.exists():
            move.settle()
    for parent in {move.final.parent for move in moves} | {file.parent for file in old}:
        sync(parent)
    remove([path])
    remove_tree(staged)
    _log.warning("%s: a run was killed while it published; its %d files are now in place", folder, len(moves))


def _inside(folder: Path, name: str) -> Path:
    """Return the path that a journal names; raise SinkError if it is outside the folder and its staged folder."""
    path = Path(name)
    parts = path.parts[1:] if path.parts[0] == ".." else path.parts
    next_to = path.parts[0] == ".." and bool(parts) and is_unfinished(parts[0])
    if path.is_absolute() or ".." in parts or (path.parts[0] == ".." and not next_to):
        raise SinkError(
            f"a journal in {folder} names a file outside",
            expected="files in the folder",
            found=name,
            hint="find out who wrote it, and delete it",
        )
    return folder.parent / Path(*parts) if next_to else folder / path
