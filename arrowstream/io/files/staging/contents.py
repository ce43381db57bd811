"""What a folder contains besides the files that a run replaces; the folder that takes its name gets all of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from arrowstream.io.files.staging.base import keep_mode_and_owner, remove, remove_empty, sync_tree
from arrowstream.io.files.staging.exchange import move_new
from arrowstream.io.files.staging.unfinished import is_partition

_PASSES = 3


class Version(tuple[int, ...]):
    """A file as it was at one moment: another file of its name, or a change in it, makes another version."""

    __slots__ = ()

    @classmethod
    def of(cls, path: Path) -> Version | None:
        """Return the version of the file that has this path now, None if none has."""
        try:
            found = path.lstat()
        except FileNotFoundError:
            return None
        return cls((found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns))


Versions = dict[str, list[int] | None]
"""Versions of files by name, as JSON."""


class Contents:
    """The files of a folder that are linked into a new one, and those that are left behind.

    Only files in the folder itself and in its partitions can be linked: another program may be working in any other
    folder.

    Parameters
    ----------
    folder
        The folder to be replaced.
    new
        The folder that replaces it; it and its partitions get the mode and the owner of the old ones.
    old
        Files of `folder` that are not linked, as they were when they were listed.
    """

    def __init__(self, folder: Path, new: Path, old: Mapping[Path, Version | None]) -> None:
        self._folder = folder
        self._new = new
        self._old = {path.relative_to(folder): version for path, version in old.items()}
        self._linked: dict[Path, Version | None] = {}

    @classmethod
    def after_exchange(cls, folder: Path, replaced: Path, found: Mapping[str, Versions]) -> Contents:
        """Return the contents of a folder that another run has replaced.

        Parameters
        ----------
        folder
            Path of the new folder.
        replaced
            Path of the old one.
        found
            The `versions` of the other run.
        """
        contents = cls(folder, replaced, {})
        contents._old = _with_paths(found.get("old", {}))
        contents._linked = _with_paths(found.get("linked", {}))
        return contents

    @property
    def versions(self) -> dict[str, Versions]:
        """What is left behind and what is linked, by names relative to the folder."""
        return {"old": _with_names(self._old), "linked": _with_names(self._linked)}

    def carry_over(self) -> bool:
        """Link the files that the folder contains now; return False, with no links, if one cannot be linked.

        A further call adds what has appeared since the last one, and removes the links of what has gone.
        """
        names = self._others()
        if names is None:
            return self._undo()
        for name, version in list(self._linked.items()):
            if name not in names or not _same_file(version, Version.of(self._folder / name)):
                (self._new / name).unlink()
                del self._linked[name]
        for name in names - self._linked.keys():
            if not _linked(self._folder / name, self._new / name):
                return self._undo()
            self._linked[name] = Version.of(self._new / name)
        for place, _, _ in os.walk(self._new):
            same = self._folder / Path(place).relative_to(self._new)
            if same.is_dir():
                keep_mode_and_owner(Path(place), same.stat())
        sync_tree(self._new)
        return True

    def clear(self, replaced: Path, record: str) -> list[Path]:
        """Empty the replaced folder; what appeared in it since the last `carry_over` is moved to the new one.

        Nothing is removed that was not left behind or linked.

        Parameters
        ----------
        replaced
            Path of the old folder, after the new one has taken its name.
        record
            Name of the file in it that lists what it held, and that stays to the end.

        Returns
        -------
        list of Path
            Files that stay, because their names are taken in the new folder or they cannot be moved.
        """
        stuck: list[Path] = []
        for _ in range(_PASSES):
            found = [path for path in _files(replaced) if path != replaced / record]
            stuck = [path for path in found if not self._cleared(path, path.relative_to(replaced))]
            remove_empty([Path(place) for place, _, _ in os.walk(replaced, topdown=False)])
            if stuck or not found:
                break
        return stuck

    def leave(self, name: str) -> None:
        """Leave one more file of the folder behind."""
        self._old[Path(name)] = None

    def _others(self) -> set[Path] | None:
        """Return the other files of the folder and its partitions; None if an entry cannot be linked."""
        names = set()
        try:
            for place, folders, files in os.walk(self._folder, onerror=_raise):
                if any(not is_partition(name) or Path(place, name).is_symlink() for name in folders):
                    return None
                for path in (Path(place, name) for name in files):
                    name = path.relative_to(self._folder)
                    if name in self._old:
                        continue
                    if not (path.is_symlink() or path.is_file()):
                        return None
                    names.add(name)
        except OSError:
            return None
        return names

    def _undo(self) -> bool:
        remove(self._new / name for name in self._linked)
        self._linked.clear()
        return False

    def _cleared(self, path: Path, name: Path) -> bool:
        """Remove one file of the replaced folder, or move it to the new one; return False if neither can be done."""
        here, there = Version.of(path), self._folder / name
        linked = self._linked.get(name)
        if here is None or here == self._old.get(name) or _same_file(here, linked):
            remove([path])
            return True
        try:
            there.parent.mkdir(parents=True, exist_ok=True)
            if _same_file(linked, Version.of(there)):
                path.replace(there)  # a newer file in place of the one that was linked
            else:
                move_new(path, there)
        except OSError:
            return False
        return True


def _with_names(versions: Mapping[Path, Version | None]) -> Versions:
    return {str(name): None if version is None else list(version) for name, version in versions.items()}


def _with_paths(versions: Versions) -> dict[Path, Version | None]:
    return {Path(name): None if version is None else Version(version) for name, version in versions.items()}


def _same_file(one: Version | None, other: Version | None) -> bool:
    """Return True if both are one file, whether it has changed or not."""
    return one is not None and other is not None and one[:2] == other[:2]


def _files(folder: Path) -> list[Path]:
    """Return what is to be cleared below a folder: files, links, and folders that are not partitions, whole."""
    found = []
    for place, folders, files in os.walk(folder):
        whole = [name for name in folders if not is_partition(name) or Path(place, name).is_symlink()]
        folders[:] = [name for name in folders if name not in whole]
        found += [Path(place, name) for name in (*files, *whole)]
    return found


def _raise(error: OSError) -> None:
    raise error


def _linked(path: Path, there: Path) -> bool:
    there.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, there, follow_symlinks=False)
    except OSError:  # the file system has no links, the file too many, or it belongs to another user
        return False
    return True
