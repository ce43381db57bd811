"""Objects that a URL names: one, those below a folder, or those that match a pattern."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from fnmatch import fnmatchcase

from arrowstream.core.hints import other_file
from arrowstream.errors import SourceError
from arrowstream.io.files.remote.stores import exists, has_bucket, objects_below, reading
from arrowstream.io.files.remote.urls import RemotePath
from arrowstream.io.files.search.glob import is_pattern
from arrowstream.io.files.search.walk import is_visible
from arrowstream.io.files.staging.unfinished import is_partition


def listed(path: RemotePath) -> tuple[str, list[RemotePath]]:
    """Return the folder that all objects have in common, and the objects, in the order of their keys.

    Raises
    ------
    SourceError
        There are none, or the store cannot be listed.
    """
    parts = path.key.split("/")
    while parts and parts[-1] == "**":  # all objects below a folder, as for the folder alone
        parts.pop()
    wild = next((number for number, part in enumerate(parts) if is_pattern(part)), len(parts))
    with reading(path):
        if path.is_web or (path.name and exists(path)):
            return path.key.rpartition("/")[0], [path]
        folder = "/".join(parts[:wild]).rstrip("/")
        keys = objects_below(replace(path, key=folder))
        if not keys and not has_bucket(path):
            raise SourceError(
                f"there is no bucket {path.bucket!r}",
                position=str(path),
                hint="check the bucket, and the region and endpoint of the store",
            )
    begin = f"{folder}/" if folder else ""
    names = [key.removeprefix(begin) for key in keys]
    found = [name for name in names if _matches(name.split("/"), parts[wild:])]
    if not found:
        raise _missing(path, names)
    return folder, [replace(path, key=f"{begin}{name}") for name in found]


def _matches(name: list[str], pattern: list[str]) -> bool:
    """Return whether the parts of a name match those of a pattern, or lie in a folder that does.

    As for local files, a wildcard does not match a leading dot, and folders are searched without hidden names.
    """
    if not pattern:
        return all(map(is_visible, filter(None, name[:-1]))) and not (
            name and name[-1].startswith((".", "_"))
        )
    if not name:
        return False
    if pattern[0] == "**":
        ways = (depth for depth in range(len(name)) if all(map(is_visible, filter(None, name[:depth]))))
        return any(_matches(name[depth:], pattern[1:]) for depth in ways)
    dotted = name[0].startswith(".") and not pattern[0].startswith(".") and not is_partition(name[0])
    return not dotted and fnmatchcase(name[0], pattern[0]) and _matches(name[1:], pattern[1:])


def _missing(path: RemotePath, names: list[str]) -> SourceError:
    close = get_close_matches(path.name, names, 1, 0.5)
    some = ", ".join(names[:5]) + (f", … ({len(names)} in all)" if len(names) > 5 else "")
    what = "no object matches" if is_pattern(path.key) else "there is no object"
    return SourceError(
        f"{what} {path}",
        position=str(path),
        found=f"in its folder: {some}" if names else "nothing below that key",
        hint=other_file(path.name, close[0])
        if close
        else "check the bucket and the key; a folder ends with '/'",
    )
