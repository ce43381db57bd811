"""Names of files and folders that are not finished yet, and leftovers of killed runs.

A run never removes the leftovers of another: from outside, a slow run looks the same as a dead one. The next run to
the same place logs their names.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
from pathlib import Path

SUFFIX = ".inprogress"
_PROCESS = secrets.token_hex(4)
_NAME = re.compile(rf"\..*\d+-[0-9a-f]+{re.escape(SUFFIX)}", re.DOTALL)

_log = logging.getLogger(__name__)


def new_token() -> str:
    """Make the name of a run: the process number, for whoever finds a file, and a random part."""
    return f"{_own()}{secrets.token_hex(3)}"


def _own() -> str:
    """Return the prefix of this process's tokens; the process number alone is not unique among containers."""
    return f"{os.getpid()}-{_PROCESS}"


def hidden_name(name: str, token: str) -> str:
    """Return the name that `name` has while it is written."""
    return f".{name}{'.' if name else ''}{token}{SUFFIX}"


def is_unfinished(name: str) -> bool:
    """Return True for the name of a file or folder that a run is writing, or has left unfinished.

    Examples
    --------
    >>> is_unfinished(".day=1.817-5d0c9a4e11.inprogress"), is_unfinished("day=1")
    (True, False)
    """
    return name.endswith(SUFFIX) and _NAME.fullmatch(name) is not None


def is_partition(name: str) -> bool:
    """Return True for the name of a partition's folder: ``day=1``, also ``_day=1``."""
    return "=" in name and not is_unfinished(name)


def note_leftovers(folder: Path, name: str) -> None:
    """Log unfinished files of the target `name` in `folder` that are not of this process."""
    # The whole name must match, so that neither `out.csv.bad` nor `out2` is taken for `out`.
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
