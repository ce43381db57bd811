"""Glob: paths that match a pattern, through symbolic links and without hidden ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from arrowstream.io.files.search.walk import entries, folders_in
from arrowstream.io.files.staging.unfinished import is_partition, is_unfinished

_WILDCARDS = frozenset("*?[")


def is_pattern(text: str) -> bool:
    """Return True if a name or path contains a wildcard."""
    return not _WILDCARDS.isdisjoint(text)


def matches(base: Path, pattern: Sequence[str]) -> set[Path]:
    """Return the files and folders below `base` that match the parts of a pattern; with ``**``, files only.

    A wildcard does not match the leading dot of a name, except in a partition's name. ``**`` does not enter hidden
    folders.

    Raises
    ------
    ValueError
        A part contains ``**`` and other characters.
    OSError
        A folder cannot be listed.
    SourceError
        A run has not finished publishing into a folder.

    Examples
    --------
    >>> sorted(path.name for path in matches(Path("/"), ["et[c]"]))
    ['etc']
    """
    if any("**" in part and part != "**" for part in pattern):
        raise ValueError("Invalid pattern: '**' can only be an entire path component")
    found = set(_matches(base, tuple(pattern))) if base.is_dir() else set()
    return {path for path in found if not path.is_dir()} if "**" in pattern else found


def _matches(folder: Path, pattern: tuple[str, ...]) -> Iterator[Path]:
    part, rest = pattern[0], pattern[1:]
    if part == "**":  # never the last part: the caller replaces "folder/**" by the folder
        for below in folders_in(folder):
            yield from _matches(below, rest)
    else:
        for path in _named(folder, part):
            if not rest:
                yield path
            elif path.is_dir():
                yield from _matches(path, rest)


def _named(folder: Path, part: str) -> Iterator[Path]:
    if not is_pattern(part):
        if (folder / part).exists():
            yield folder / part
        return
    for entry in entries(str(folder)):
        dotted = entry.name[0] == "." and part[0] != "." and not is_partition(entry.name)
        if fnmatchcase(entry.name, part) and not dotted and not is_unfinished(entry.name):
            yield Path(entry.path)
