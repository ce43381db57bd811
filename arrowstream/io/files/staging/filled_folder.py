"""An existing folder as a target: it is exchanged for a new one, or its files are replaced one by one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from arrowstream.core.checkpoints.durable import sync
from arrowstream.core.plural import counted
from arrowstream.errors import SinkError
from arrowstream.io.files.sink_errors import sink_errors
from arrowstream.io.files.staging.base import (
    folders_between,
    missing_folders,
    remove,
    remove_empty,
    remove_tree,
    sync_tree,
)
from arrowstream.io.files.staging.contents import Contents, Version
from arrowstream.io.files.staging.exchange import exchange
from arrowstream.io.files.staging.hidden_folder import HiddenFolder
from arrowstream.io.files.staging.journal import Journal, Move, clear_drafts
from arrowstream.io.files.staging.lock import locked
from arrowstream.io.files.staging.replaced import Replaced, clear_records, clear_replaced
from arrowstream.io.files.staging.unfinished import hidden_name

Listing = Callable[[], Iterable[Path]]
"""Lists data files of a folder."""


def no_files() -> tuple[Path, ...]:
    """Return no files: nothing is replaced."""
    return ()


class FilledFolder(HiddenFolder):
    """Folder that files are added to, in place of old ones.

    The new files wait in a hidden folder next to the target. At the end the two folders exchange their names in one
    step; before that, other files in the target are linked into the new folder. If the file system cannot exchange
    folders, or the target contains a folder that is not a partition, the files are moved one by one. The old files
    are removed only when all new ones are in place, and a `Journal` lies in the folder meanwhile: until it is
    removed, a reader may see rows of both. A single file that replaces nothing is moved without all that.

    What others put into the folder while the run writes stays there: runs publish one after the other, under a lock,
    and only files that were listed when the run began are removed.

    Parameters
    ----------
    target
        The folder, without symbolic links; if it is missing, it is made in the end.
    old
        Lists the files in it that the new ones replace.
    only_written
        Whether only those old files are replaced that are in folders which the run has written to.
    alone
        Whether the run fails if others have added files which `old` would list.

    Raises
    ------
    SinkError
        The folder cannot be written to.
    """

    def __init__(
        self, target: Path, old: Listing = no_files, *, only_written: bool = False, alone: bool = False
    ) -> None:
        self._list_old = old
        self._only_written = only_written
        self._alone = alone
        self._exchanged = False
        self._names: dict[str, None] = {}
        self._moves: list[Move] = []
        self._placed: list[Path] = []
        self._copies: list[Path] = []
        super().__init__(target, missing_folders(target))
        self._contents = Contents(target, self._staged, self._old)
        self._journal = Journal(target, self._token, self._staged)
        self._replaced = Replaced(target, self._token)

    def _begin(self) -> None:
        target = self._target
        if target.exists() and not os.access(target, os.W_OK | os.X_OK):
            raise PermissionError(13, "the folder is read-only")
        target.parent.mkdir(parents=True, exist_ok=True)
        self._clear()
        clear_records(target)
        self._old = {path: Version.of(path) for path in self._list_old()}
        self._exchanges = _may_be_exchanged(target)
        self._token = self._hide(lambda staged: staged.mkdir(0o700), inside=not self._exchanges)

    def path(self, name: str) -> str:
        path = super().path(name)
        self._names[name] = None
        return path

    def prepare(self) -> None:
        with sink_errors("cannot finish", self._target):
            if self._only_written:
                written = self._written()
                old = {path: version for path, version in self._old.items() if path.parent in written}
                self._old = old
                self._contents = Contents(self._target, self._staged, self._old)
            for name in self._names:
                if (self._target / name) not in self._old:
                    self._check_free(self._target / name)
            exists = self._target.exists()
            if not self._names or (self._is_one_addition and exists):
                self._exchanges = False
            self._exchanges = self._exchanges and (not exists or self._contents.carry_over())
            if not self._exchanges:
                self._prepare_moves()
                sync_tree(self._staged)

    def publish(self) -> None:
        try:
            with sink_errors("cannot finish", self._target):
                self._target.mkdir(parents=True, exist_ok=True)
                with locked(self._target):
                    self._publish()
        finally:
            self._claim.release()

    def _publish(self) -> None:
        if self._exchanged:  # an earlier call failed after that
            self._clear_replaced()
            return
        clear_drafts(self._target)
        if self._names:
            self._check_old()
        if self._exchanges:
            if self._exchange():
                return
            self._prepare_moves()
        for move in self._moves:
            self._check_free(move.place)
        if self._is_one_addition:
            self._moves[0].publish()
            self._made = []
            self._sync()
        elif self._moves:
            self._place()
            with sink_errors("all new files are in place, but old ones may still be, in", self._target):
                self._settle()
            remove_empty(parent for old in self._old for parent in folders_between(old, self._target))
        remove_tree(self._staged)

    def _written(self) -> set[Path]:
        """Return the folders of the written files, and the target itself, which holds no rows of partitions."""
        return {self._target, *((self._target / name).parent for name in self._names)}

    @property
    def _is_one_addition(self) -> bool:
        """True if one file is added and none replaced, which takes one rename."""
        return len(self._names) == 1 and not self._old

    def _exchange(self) -> bool:
        """Exchange the folders, and remove the old one; return False if that cannot be."""
        self._contents.leave(self._replaced.name)
        try:
            if self._contents.carry_over():
                self._replaced.write(self._contents)
                self._exchanged = exchange(self._staged, self._target)
        finally:
            if not self._exchanged:
                self._replaced.remove()
        if not self._exchanged:
            return False
        self._made = []
        sync(self._target.parent)
        self._clear_replaced()
        return True

    def _clear_replaced(self) -> None:
        """Remove the old folder, which has the hidden name now.

        Raises
        ------
        SinkError
            A file that somebody else wrote has the name of one in the new folder, or cannot be moved.
        """
        record = Replaced(self._staged, self._token)
        self._staged, stuck = clear_replaced(self._contents, self._staged, record)
        sync(self._target)
        if stuck:
            raise SinkError(
                f"the new files are in {self._target}, but other files appeared there meanwhile",
                expected="nobody else writing files of the same names",
                found=f"{counted(len(stuck), 'files that cannot be moved there')}, such as {stuck[0]}",
                hint=f"move what you need out of {self._staged}, and delete it",
            )

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
        """Raise SinkError if a file that is to be replaced is no longer the one that was listed.

        A file that has gone needs no replacement.
        """
        for path, version in list(self._old.items()):
            found = Version.of(path)
            if found is None:
                del self._old[path]
            elif found != version:
                raise _other_writer(f"{path} has changed since this run began")
        if self._alone:
            written = self._written()
            for path in self._list_old():
                if path not in self._old and not (self._only_written and path.parent not in written):
                    raise _other_writer(f"{path} was written since this run began")

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
        self._claim.release()
        if self._exchanged:  # the hidden folder is the old one, with what could not be moved out of it
            return
        self._journal.end()
        remove([*self._placed, *self._copies])
        remove_tree(self._staged)
        remove_empty(reversed(self._made))


def _other_writer(what: str) -> SinkError:
    return SinkError(
        what,
        expected="nobody else replacing the same files",
        hint="run again with overwrite=True once the other writer has finished",
    )


def _may_be_exchanged(folder: Path) -> bool:
    """Return True if a folder next to this one can take its place."""
    here = folder.resolve()
    # A process whose current folder is exchanged would stay in the old one.
    used = here == Path.cwd() or here in Path.cwd().parents
    return not used and not folder.is_mount() and os.access(here.parent, os.W_OK | os.X_OK)
