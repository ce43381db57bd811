"""Files that survive a crash of the machine: flushed, named in one step, and locked."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path


def sync(path: str | Path) -> None:
    """Flush a file, or the names in a folder, to the disk.

    A failure must end the run: the kernel may have dropped the bytes, and another call would succeed without them.

    Raises
    ------
    OSError
        The disk failed.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, so that it survives a crash of the machine.

    Raises
    ------
    OSError
        The disk failed, or the folder cannot be made.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync(folder.parent)


def write_durably(path: Path, content: bytes, before_naming: Callable[[], None] = lambda: None) -> None:
    """Give a file this content in one step that survives a crash: before it, the old content is there, or no file.

    Parameters
    ----------
    path
        The file.
    content
        Its new content.
    before_naming
        Called when the content is on the disk, and the file does not have its name yet.

    Raises
    ------
    OSError
        The disk failed or is full.
    """
    staged = path.with_name(f"{path.name}.tmp")
    with staged.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    before_naming()
    staged.replace(path)
    sync(path.parent)


def read_or_make(path: Path, make: Callable[[], str]) -> str:
    """Return the text of a small file, which is written first with what `make` returns if it is missing.

    Raises
    ------
    OSError
        The disk failed or is full.
    """
    if not path.exists():
        write_durably(path, make().encode())
    return path.read_text()


def lock(path: Path) -> int | None:
    """Lock a file, which is made if it is missing, until the descriptor is closed or the process ends.

    Returns
    -------
    int or None
        An open file descriptor; None if another process, or another part of this one, has locked the file.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle
