"""Files that cannot be a database, found before a driver says so in words of its own."""

from __future__ import annotations

import os
from pathlib import Path

from arrowstream.io.database.address import DatabaseAddress


def why_unusable(address: DatabaseAddress, *, read_only: bool) -> tuple[str, str] | None:
    """Return why the file of a database cannot be opened, and what to do about it; None if it may be.

    The file itself is not opened: to close it again would give up all locks that this process has on it.

    Parameters
    ----------
    address
        The database, which is a file.
    read_only
        True if it is only read, and so must exist.
    """
    path = address.file.absolute()
    try:
        return _missing(address, path, read_only=read_only) or _closed(path, read_only=read_only)
    except OSError as error:
        return f"{error.strerror}: {error.filename}", "let this process read the file and its folder"


def _missing(address: DatabaseAddress, path: Path, *, read_only: bool) -> tuple[str, str] | None:
    start = "" if address.file.is_absolute() else f"; a relative path starts at {Path.cwd()}"
    if not path.parent.exists():
        return f"no folder {path.parent}", f"make the folder, or correct the path{start}"
    if not path.parent.is_dir():
        return f"{path.parent} is a file, not a folder", f"correct the path{start}"
    if path.is_dir():
        return (
            f"{path} is a folder",
            f"name a file in it: {address.kind}:///{address.path.rstrip('/')}/out.db",
        )
    if read_only and not path.exists():
        return f"no file {path}", f"correct the path{start}"
    return None


def _closed(path: Path, *, read_only: bool) -> tuple[str, str] | None:
    if path.exists() and not os.access(path, os.R_OK):
        return f"no permission to read {path}", "let this process read the file"
    if not read_only and path.exists() and not os.access(path, os.W_OK):
        return f"no permission to write {path}", "let this process write the file"
    if not read_only and not os.access(path.parent, os.W_OK | os.X_OK):
        return (
            f"no permission to write in the folder {path.parent}",
            "let this process make files there: a database keeps others next to its own while it is written",
        )
    return None
