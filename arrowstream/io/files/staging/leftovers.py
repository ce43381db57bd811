"""What killed runs left next to a target: the next run to the same place removes it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from arrowstream.io.files.staging.base import remove, remove_tree
from arrowstream.io.files.staging.claim import lock
from arrowstream.io.files.staging.replaced import Replaced, finish_replaced
from arrowstream.io.files.staging.unfinished import SUFFIX, token_of

_UNKNOWN = "%s: unfinished, from a run that was killed or still writes; delete it if none is running"

_log = logging.getLogger(__name__)


def clear_leftovers(folder: Path, name: str) -> None:
    """Remove the unfinished files and folders of the target `name` in `folder`, and log their names.

    What another run writes stays: it is locked. On a file system without locks everything stays.
    """
    for path in sorted(folder.glob(f".*{SUFFIX}")):
        token = token_of(path.name, name)
        if token is not None:
            _clear(path, token, folder / name)


def _clear(path: Path, token: str, target: Path) -> None:
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:  # its run has ended meanwhile
        return
    except PermissionError:
        _log.warning(_UNKNOWN, path)
        return
    try:
        free = lock(handle)
        if free is None:
            _log.warning(_UNKNOWN, path)
        elif free and os.path.lexists(path):
            _remove(path, token, target)
            _log.warning("%s: left by a run that was killed; removed", path)
    finally:
        os.close(handle)


def _remove(path: Path, token: str, target: Path) -> None:
    record = Replaced(path, token)
    if record.exists():
        finish_replaced(target, path, record)
    elif path.is_dir():
        remove_tree(path)
    else:
        remove([path])
