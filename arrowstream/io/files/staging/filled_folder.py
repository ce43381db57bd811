"""An existing folder as a target: it is exchanged for a new one, or its files are replaced one by one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from arrowstream.errors import SinkError
from arrowstream.io.files.sink_errors import sink_errors
from arrowstream.io.files.staging.base import (
    Staging,
    folders_between,
    missing_folders,
    nested,
    remove,
    remove_empty,
    remove_tree,
    sync,
    sync_tree,
)
from arrowstream.io.files.staging.contents import Contents, Version
from arrowstream.io.files.staging.exchange import exchange
from arrowstream.io.files.staging.journal import Journal, Move
from arrowstream.io.files.staging.lock import locked
from arrowstream.io.files.staging.unfinished import hidden_name, new_token, note_leftovers


class FilledFolder(Staging):
    """Folder that files are added to, in place of `old` ones.

    The new files wait in a hidden folder next to the target. At the end the two folders exchange their names in one
    step; before that, other files in the target are linked into the new folder. If the file system cannot exchange
    folders, or the target contains a folder that is not a partition, the files are moved one by one. The old files
    are removed only when all new ones are in place, and a `Journal` lies in the folder meanwhile: until it is
    removed, a reader may see rows of both.

    What others put into the folder while the run writes stays there: runs publish one after the other, under a lock,
    and only files that were listed when the run began are removed.

    Parameters
    ----------
    target
        The folder, without symbolic links.
    old
        Files in it that the new ones replace.

    Raises
    ------
    SinkError
        The folder cannot be written to.
    """

    def __init__(self, target: Path, old: Iterable[Path] = ()) -> None:
        self._target = target
        self._old = {path: Version.of(path) for path in old}
        self._exchanged = False
        self._token = new_token()
        self._names: dict[str, None] = {}
        self._moves: list[Move] = []
        self._placed: list[Path] = []
        self._made: list[Path] = []
        self._copies: list[Path] = []
        note_leftovers(target, "")
        note_leftovers(target.parent, target.name)
        with sink_errors("cannot write to", target):
            if not os.access(target, os.W_OK | os.X_OK):
                raise PermissionError(13, "the folder is read-only")
            self._exchanges = _may_be_exchanged(target)
            self._staged = (
                target.with_name(hidden_name(target.name, self._token))
                if self._exchanges
                else target / hidden_name("", self._token)
            )
            self._staged.mkdir(0o700)
        self._contents = Contents(target, self._staged, self._old)
        self._journal = Journal(target, self._token, self._staged)

    @property
    def folder(self) -> Path:
        return self._staged

    def path(self, name: str) -> Path:
        with sink_errors("cannot write to", self._target / name):
            path = nested(self._staged, name)
        self._names[name] = None
        return path

    def prepare(self) -> None:
        with sink_errors("cannot finish", self._target):
            for name in self._names:
                if (self._target / name) not in self._old:
                    self._check_free(self._target / name)
            self._exchanges = self._exchanges and self._contents.carry_over()
            if not self._exchanges:
                self._prepare_moves()
                sync_tree(self._staged)

    def publish(self) -> None:
        if self._exchanged:  # an earlier call failed after that
            with sink_errors("cannot finish", self._target), locked(self._target):
                self._contents.clear(self._staged)
            return
        with sink_errors("cannot finish", self._target), locked(self._target), locked(self._staged):
            self._check_old()
            if self._exchanges:
                if self._exchange():
                    return
                self._prepare_moves()
            for move in self._moves:
                self._check_free(move.place)
            self._place()
            with sink_errors("all new files are in place, but old ones may still be, in", self._target):
                self._settle()
            remove_empty(parent for old in self._old for parent in folders_between(old, self._target))
            remove_tree(self._staged)

    def _exchange(self) -> bool:
        """Exchange the folders, and remove the old one; return False if that cannot be."""
        self._exchanged = self._contents.carry_over() and exchange(self._staged, self._target)
        if self._exchanged:
            sync(self._target.parent)
            self._contents.clear(self._staged)  # the old folder has this name now
            sync(self._target)
        return self._exchanged

    def _prepare_moves(self) -> None:
        device = self._staged.stat().st_dev
        for name in self._names:
            final = self._target / name
            place = self._interim(final) if final in self._old else final
            self._check_free(place)
            self._made += missing_folders(final.parent)
            final.parent.mkdir(parents=True, exist_ok=True)
            source = self._staged / name
            if final.parent.stat().st_dev != device:  # a partition that is a link, or mounted
                copy = final.with_name(hidden_name(final.name, self._token))
                self._copies.append(copy)
                shutil.copyfile(source, copy)
                sync(copy)
                source = copy
            self._moves.append(Move(source, place, final))

    def _check_free(self, place: Path) -> None:
        if os.path.lexists(place):
            raise SinkError(
                f"{place} was not there when this run began",
                expected="nobody else writing to the same folder",
                hint="run again with overwrite=True once the other writer has finished",
            )

    def _check_old(self) -> None:
        """Raise SinkError if a file that is to be replaced is no longer the one that was listed."""
        for path, version in self._old.items():
            if Version.of(path) != version:
                raise SinkError(
                    f"{path} has changed since this run began",
                    expected="nobody else replacing the same files",
                    hint="run again with overwrite=True once the other writer has finished",
                )

    def _place(self) -> None:
        """Move all new files into the folder, those whose name an old file has under an interim name."""
        self._journal.begin(self._moves, self._old.keys() - {move.final for move in self._moves})
        for move in self._moves:
            move.place.parent.mkdir(parents=True, exist_ok=True)
            move.publish()
            self._placed.append(move.place)
        self._sync()
        # From here on the new files are the valid ones, and `discard` must not remove them.
        self._placed, self._made = [], []

    def _settle(self) -> None:
        """Remove the old files, and give the new ones their final names."""
        try:
            for old in self._old.keys() - {move.final for move in self._moves}:
                old.unlink()
            for move in self._moves:
                move.settle()
            self._sync()
        except BaseException:
            self._journal.leave()
            raise
        self._journal.end()

    def _interim(self, final: Path) -> Path:
        stem, dot, suffixes = final.name.partition(".")
        return final.with_name(f"{stem}-{self._token}{dot}{suffixes}")

    def _sync(self) -> None:
        paths = [move.final for move in self._moves]
        for folder in {parent for path in paths for parent in folders_between(path, self._target)}:
            sync(folder)
        sync(self._target)

    def discard(self) -> None:
        if self._exchanged:  # the hidden folder is the old one, with what could not be moved out of it
            return
        self._journal.end()
        remove([*self._placed, *self._copies])
        remove_tree(self._staged)
        remove_empty(reversed(self._made))


def _may_be_exchanged(folder: Path) -> bool:
    """Return True if a folder next to this one can take its place."""
    here = folder.resolve()
    # A process whose current folder is exchanged would stay in the old one.
    used = here == Path.cwd() or here in Path.cwd().parents
    return not used and not folder.is_mount() and os.access(here.parent, os.W_OK | os.X_OK)
