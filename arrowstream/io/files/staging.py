"""Files that get their final names only when all of them are complete and on disk.

A single file is written beside its target as ``.NAME.TOKEN.inprogress`` and takes its name by one rename.
A folder that is not there yet is written as one hidden folder and takes its name by one rename too. Into
a folder that is there, files are moved one by one, from a hidden folder inside it; old files
go only after all new ones are in place, so that a crash never leaves less than one of both sets.

What a killed run leaves is never touched by another: from outside, a slow run looks the same as a dead
one. It is logged when the next run writes to the same place, with the name of what can be deleted.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from arrowstream.errors import SinkError
from arrowstream.io.files.sink_errors import sink_errors

SUFFIX = ".inprogress"
_PROCESS = secrets.token_hex(4)

_log = logging.getLogger(__name__)


class Staging(ABC):
    """A place for files that are not to be seen yet."""

    @abstractmethod
    def path(self, name: str) -> Path:
        """Where to write what will be `name`, a relative path, under the target; its folder is made."""

    @abstractmethod
    def publish(self) -> None:
        """Give everything its final name; the files must be closed and synced."""

    @abstractmethod
    def discard(self) -> None:
        """Remove what has no final name yet; never raises, and does nothing after `publish`."""


class StagedFile(Staging):
    """One file, which replaces its target, if there is one, in one step.

    Raises
    ------
    SinkError
        The target is a folder, or its folder is missing or cannot be written to.
    """

    def __init__(self, target: Path) -> None:
        if target.is_dir():
            raise SinkError(
                f"{target} is a folder",
                expected="the name of a file",
                hint="end the path with '/' to write part files into it",
            )
        self._target = target
        _note_leftovers(target.parent, target.name)
        self._staged = target.with_name(_hidden(target.name))
        with sink_errors("cannot write to", target):
            self._staged.touch(exist_ok=False)

    def path(self, name: str) -> Path:
        return self._staged

    def publish(self) -> None:
        with sink_errors("cannot finish", self._target):
            self._staged.replace(self._target)
            _sync_folder(self._target.parent)

    def discard(self) -> None:
        _remove([self._staged])


class NewFolder(Staging):
    """A folder that is not there yet, seen with all its files or not at all."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._made = _missing_folders(target.parent)
        self._staged = target.with_name(_hidden(target.name))
        _note_leftovers(target.parent, target.name)
        try:
            with sink_errors("cannot write to", target):
                self._staged.mkdir(parents=True)
        except SinkError:
            self.discard()
            raise

    def path(self, name: str) -> Path:
        return _nested(self._staged, self._target, name)

    def publish(self) -> None:
        with sink_errors("cannot finish", self._target):
            for folder, _, _ in os.walk(self._staged):
                _sync_folder(Path(folder))
            self._staged.rename(self._target)
            self._made = []
            _sync_folder(self._target.parent)

    def discard(self) -> None:
        _remove_tree(self._staged)
        _remove_empty(reversed(self._made))


class FilledFolder(Staging):
    """A folder that is there already, to which files are added, in place of `old` ones.

    Parameters
    ----------
    target
        The folder.
    old
        Files in it that go once the new ones are in place.
    """

    def __init__(self, target: Path, old: Iterable[Path] = ()) -> None:
        self._target = target
        self._old = tuple(old)
        self._token = _token()
        self._names: list[str] = []
        self._placed: list[Path] = []
        self._made: list[Path] = []
        _note_leftovers(target, "")
        self._staged = target / _hidden("", self._token)
        with sink_errors("cannot write to", target):
            self._staged.mkdir()

    def path(self, name: str) -> Path:
        path = _nested(self._staged, self._target, name)
        self._names.append(name)
        return path

    def publish(self) -> None:
        late = self._place()
        if self._old:
            with sink_errors("all new files are in place, but old ones may still be, in", self._target):
                for old in self._old:
                    old.unlink()
                # Only now are the names of old files free for the new ones.
                for interim, final in late:
                    interim.replace(final)
                self._sync()
        _remove_empty(parent for old in self._old for parent in _folders_between(old, self._target))
        _remove_tree(self._staged)

    def _place(self) -> list[tuple[Path, Path]]:
        """Move all new files into the folder; gives those that could not have their final name yet."""
        late = []
        with sink_errors("cannot finish", self._target):
            for name in self._names:
                final = self._target / name
                place = self._interim(final) if final in self._old else final
                if place.exists():
                    raise SinkError(
                        f"{place} was not there when this run began",
                        expected="nobody else writing to the same folder",
                        hint="run again with overwrite=True once the other writer has finished",
                    )
                self._made += _missing_folders(final.parent)
                final.parent.mkdir(parents=True, exist_ok=True)
                (self._staged / name).replace(place)
                self._placed.append(place)
                if place != final:
                    late.append((place, final))
            self._sync()
        # From here on the new files are the good ones: nothing may remove them any more.
        self._placed, self._made = [], []
        return late

    def _interim(self, final: Path) -> Path:
        stem, dot, suffixes = final.name.partition(".")
        return final.with_name(f"{stem}-{self._token}{dot}{suffixes}")

    def _sync(self) -> None:
        for folder in {
            parent for name in self._names for parent in _folders_between(self._target / name, self._target)
        }:
            _sync_folder(folder)
        _sync_folder(self._target)

    def discard(self) -> None:
        _remove(self._placed)
        _remove_tree(self._staged)
        _remove_empty(reversed(self._made))


def _token() -> str:
    """Names this run: its process, for whoever finds a file, and something no other run has."""
    return f"{_own()}{secrets.token_hex(3)}"


def _own() -> str:
    """How tokens of this process begin; its number alone is that of many a run in a container."""
    return f"{os.getpid()}-{_PROCESS}"


def _hidden(name: str, token: str | None = None) -> str:
    return f".{name}{'.' if name else ''}{token or _token()}{SUFFIX}"


def _note_leftovers(folder: Path, name: str) -> None:
    """Tell what another run has left of this very target; what this process writes is no leftover."""
    # All of the name, so that neither `out.csv.bad` nor `out2` is taken for a part of `out`.
    begin = re.escape(f".{name}." if name else ".")
    whole = re.compile(rf"{begin}(\d+-[0-9a-f]+){re.escape(SUFFIX)}")
    found = sorted(
        path
        for path in folder.glob(f".*{SUFFIX}")
        if (match := whole.fullmatch(path.name)) and not match[1].startswith(_own())
    )
    if found:
        _log.warning(
            "%s: unfinished, from a run that was killed or still writes; delete it if none is running",
            ", ".join(map(str, found)),
        )


def _nested(staged: Path, target: Path, name: str) -> Path:
    path = staged / name
    with sink_errors("cannot write to", target / name):
        path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _missing_folders(folder: Path) -> list[Path]:
    """What of a folder and its parents is not there yet, the outermost first."""
    return [path for path in (*reversed(folder.parents), folder) if not path.exists()]


def _folders_between(path: Path, top: Path) -> list[Path]:
    """The folders that `path` is in, innermost first, as far as they are below `top`."""
    return [parent for parent in path.parents if top in parent.parents]


def _sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        with _logged(file):
            file.unlink(missing_ok=True)


def _remove_tree(folder: Path) -> None:
    if folder.exists():
        with _logged(folder):
            shutil.rmtree(folder)


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            with _logged(folder):
                folder.rmdir()


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """What cannot be removed stays, hidden; the failure that led here matters more than this one."""
    try:
        yield
    except OSError as error:
        _log.warning("%s could not be removed: %s", path, error)
