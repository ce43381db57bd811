"""Objects that a URL names: one, those below a folder, or those that match a pattern."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches

from arrowstream.errors import SourceError
from arrowstream.io.files.remote.stores import objects_below, reading, status_of
from arrowstream.io.files.remote.urls import RemotePath
from arrowstream.io.files.search.glob import is_pattern
from arrowstream.io.files.search.walk import is_visible


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
        if path.is_web or (
            wild == len(parts) and path.key and not path.key.endswith("/") and status_of(path)
        ):
            return path.key.rpartition("/")[0], [path]
        folder = "/".join(parts[:wild]).rstrip("/")
        keys = objects_below(replace(path, key=folder))
    begin = f"{folder}/" if folder else ""
    names = [key.removeprefix(begin) for key in keys]
    pattern = _pattern(parts[wild:])
    found = [name for name in names if pattern.fullmatch(name) and not _is_hidden(name, parts[wild:])]
    if not found:
        raise _missing(path, names)
    return folder, [replace(path, key=f"{begin}{name}") for name in found]


def _pattern(parts: list[str]) -> re.Pattern[str]:
    """Return the expression of a glob, which the names of objects below its first wildcard match as a whole."""
    text = "/".join(_parts(parts))
    # What matches may be a folder, too.
    return re.compile(text.replace("**/", "(?:[^/]+/)*") + "(?:/.*)?" if text else ".*", re.DOTALL)


def _parts(parts: list[str]) -> Iterator[str]:
    for part in parts:
        if part == "**":
            yield "**"
            continue
        pieces = re.split(r"(\*|\?|\[!?\]?[^]]*\])", part)
        yield "".join(
            "[^/]*" if piece == "*" else "[^/]" if piece == "?" else _class(piece) for piece in pieces
        )


def _class(piece: str) -> str:
    if len(piece) > 2 and piece[0] == "[" and piece[-1] == "]":
        return re.sub(r"^\[!", "[^", piece.replace("\\", r"\\"))
    return re.escape(piece)


def _is_hidden(name: str, pattern: list[str]) -> bool:
    """Return whether a name begins with ``.`` or ``_`` in a part that the pattern does not begin so itself."""
    *folders, last = name.split("/")
    spoken = [part[:1] for part in pattern]
    shown = [part for number, part in enumerate(folders) if spoken[number : number + 1] not in (["."], ["_"])]
    return (last[:1] in "._" and spoken[-1:] not in (["."], ["_"])) or not all(
        map(is_visible, filter(None, shown))
    )


def _missing(path: RemotePath, names: list[str]) -> SourceError:
    close = get_close_matches(path.name, names, 1, 0.5)
    some = ", ".join(names[:5]) + (f", … ({len(names)} in all)" if len(names) > 5 else "")
    what = "no object matches" if is_pattern(path.key) else "there is no object"
    return SourceError(
        f"{what} {path}",
        position=str(path),
        found=f"in its folder: {some}" if names else "nothing below that key",
        hint=f"did you mean {close[0]!r}?"
        if close
        else "check the bucket and the key; a folder ends with '/'",
    )
