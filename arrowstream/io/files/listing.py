"""The files behind a path, a glob, a list or a folder, and the Hive partitions in their names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import unquote

from arrowstream.errors import PlanError, SourceError
from arrowstream.io.files.formats import FileKind, detect, kind_of, known_suffixes

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_WILDCARDS = frozenset("*?[")
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file to read.

    Parameters
    ----------
    path
        Where it is.
    kind
        What it is.
    partitions
        Hive partitions ``key=value`` from the folders it was found under; None is Hive's name for null.
    """

    path: Path
    kind: FileKind
    partitions: tuple[tuple[str, str | None], ...] = ()


def find_files(paths: Iterable[str], format: str | None = None) -> tuple[DataFile, ...]:
    """Every file that `paths` stand for; of a folder or glob in the order of their names.

    Raises
    ------
    SourceError
        There is no such file, nothing matches a glob, a folder holds no data or cannot be looked into.
    PlanError
        A suffix tells no format, or the files do not all have one format.
    """
    files = [file for path in paths for file in _found(path, format)]
    first = files[0] if files else None
    if first is None:
        raise PlanError("there is no file to read", expected="at least one path", found="an empty list")
    for file in files:
        if file.kind.format != first.kind.format or file.kind.delimiter != first.kind.delimiter:
            raise PlanError(
                "the files do not have one format",
                expected=f"{first.kind.format}, as {first.path} has",
                found=f"{file.kind.format} in {file.path}",
                hint="narrow them down with a glob such as 'folder/*.csv'",
            )
        if tuple(key for key, _ in file.partitions) != tuple(key for key, _ in first.partitions):
            raise PlanError(
                "the files are not partitioned by the same columns",
                expected=f"{_keys(first)} in the folders above {file.path}",
                found=_keys(file),
                hint="read folders that are partitioned in another way by a source of their own",
            )
    return tuple(files)


def _found(path: str, format: str | None) -> list[DataFile]:
    try:
        return list(_expand(path, format))
    # RuntimeError: "~" of a user who is not there; ValueError: "**" beside other characters.
    except (OSError, RuntimeError, ValueError) as error:
        folder = f" in {error.filename}" if isinstance(error, OSError) and error.filename != path else ""
        raise SourceError(
            f"{path} cannot be looked for",
            found=(error.strerror if isinstance(error, OSError) else None) or str(error),
            hint=f"check the path{folder}, and that you may read there",
        ) from error


def _expand(path: str, format: str | None) -> Iterator[DataFile]:
    root = Path(path).expanduser()
    while root.name == "**":  # all files below a folder: what the folder alone means too
        root = root.parent
    if root.is_dir():
        yield from _in_folder(root, root, format)
    elif root.exists():
        yield DataFile(root, detect(root, format))
    elif _WILDCARDS.isdisjoint(str(root)):
        raise _missing(f"there is no file {path}", root)
    else:
        yield from _matching(root, format)


def _matching(pattern: Path, format: str | None) -> Iterator[DataFile]:
    """Files that match a glob, and those inside folders that match it; hidden ones are left out."""
    parts = pattern.parts
    # What stands before the first wildcard is a place, what comes after may tell partitions.
    fixed = next(i for i, part in enumerate(parts) if not _WILDCARDS.isdisjoint(part))
    base, rest = Path(*parts[:fixed]), parts[fixed:]
    deep = "**" in rest  # matches folders as well as the files in them, one by one
    found = sorted(base.glob(str(Path(*rest))))
    found = [path for path in found if path.name[0] != "." and not (deep and path.is_dir())]
    if not found:
        raise _missing(f"no file matches {pattern}", pattern)
    for path in found:
        if path.is_dir():
            yield from _in_folder(path, base, format)
        else:
            yield DataFile(path, detect(path, format), _partitions(path, base))


def _in_folder(folder: Path, base: Path, format: str | None) -> Iterator[DataFile]:
    """Data files at any depth; names that begin with ``.`` or ``_`` are not data (``_SUCCESS``)."""
    found = False
    others: list[str] = []
    for path in sorted(_all_files(folder)):
        inner = path.relative_to(folder).parts
        if any(part[0] in "._" for part in inner):
            continue
        if format is None and kind_of(path) is None:
            others.append(str(Path(*inner)))
            continue
        found = True
        yield DataFile(path, detect(path, format), _partitions(path, base))
    if not found:
        raise SourceError(
            f"there are no data files in the folder {folder}",
            expected=f"files named {known_suffixes()}",
            found=_some(others) if others else "an empty folder",
            hint="pass format= if the names do not tell it" if others else "check the path",
        )


def _all_files(folder: Path) -> Iterator[Path]:
    # Not rglob: it would leave out what is in a folder that cannot be listed, and say nothing.
    for place, _, names in os.walk(folder, onerror=_refuse):
        yield from (Path(place, name) for name in names)


def _refuse(error: OSError) -> None:
    raise error


def _partitions(path: Path, base: Path) -> tuple[tuple[str, str | None], ...]:
    folders = path.relative_to(base).parts[:-1]
    pairs = (part.partition("=") for part in folders)
    # Compared before it is decoded: text that reads like Hive's null has one of its characters escaped.
    return tuple(
        (unquote(key), None if value == NO_VALUE else unquote(value))
        for key, equals, value in pairs
        if key and equals
    )


def _missing(what: str, path: Path) -> SourceError:
    """The error for a path that is not there, with what its folder holds instead."""
    folder = path.parent
    while not folder.is_dir():
        folder = folder.parent
    names = sorted(entry.name for entry in folder.iterdir()) if _readable(folder) else []
    wanted = path.relative_to(folder).parts[0]
    close = get_close_matches(wanted, names, _SHOWN, 0.5)
    return SourceError(
        what,
        found=f"in {folder.resolve()}: {_some(close or names)}"
        if names
        else f"nothing that can be listed in {folder.resolve()}",
        hint=f"did you mean {close[0]!r}?"
        if close
        else "check the path; it is relative to the current folder",
    )


def _readable(folder: Path) -> bool:
    try:
        next(folder.iterdir(), None)
    except OSError:
        return False
    return True


def _some(names: list[str]) -> str:
    more = f", … ({len(names)} in all)" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _keys(file: DataFile) -> str:
    return ", ".join(f"{key}=" for key, _ in file.partitions) or "no key=value folders"
