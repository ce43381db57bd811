"""Paths as users write them, absolute or not: a later run may write those of an earlier one in another way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from arrowstream.core.snapshot_store import JsonValue
from arrowstream.io.files.paths import local, printable
from arrowstream.io.files.remote.urls import is_url


def written(paths: Iterable[str]) -> dict[str, JsonValue]:
    """Return paths and the folder where relative ones start, as JSON."""
    found = sorted(map(_plain, paths))
    return {"paths": found, "cwd": "" if all(map(_is_absolute, found)) else str(Path.cwd())}


def in_full(paths: Iterable[str]) -> str:
    """Return absolute paths in one line, ordered by name; as they are if only some are relative.

    Two sources with the same line read the same files, and `renaming` finds those of one among those of the other.
    """
    known: Any = written(paths)
    found: list[str] = known["paths"]
    alike = len({_is_absolute(path) for path in found if not is_url(path)}) == 1
    if alike and known["cwd"] and not any(".." in Path(path).parts for path in found):
        found = [path if is_url(path) else str(Path(known["cwd"], path)) for path in found]
    return ", ".join(map(printable, found))


def renaming(before: Any, now: Any) -> Callable[[str], str]:
    """Return what makes the path of a file that was listed under the paths `before` the one that is listed `now`."""
    if before["paths"] == now["paths"]:
        return lambda path: path
    start = f"{now['cwd'].rstrip('/')}/" if now["cwd"] else ""

    def renamed(path: str) -> str:
        whole = path if is_url(path) else str(Path(before["cwd"], path))
        return whole.removeprefix(start)

    return renamed


def _is_absolute(path: str) -> bool:
    return path.startswith("/") or is_url(path)


def _plain(path: str) -> str:
    return printable(path) if is_url(path) else str(local(path))
