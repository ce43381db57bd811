"""Names of files and folders that are not finished yet.

A run holds a lock on what it writes (`claim`), which the operating system releases when the process ends, however
that happens. So the next run to the same place can tell what a killed run left (`leftovers`) from what another one
writes.
"""

from __future__ import annotations

import os
import re
import secrets

SUFFIX = ".inprogress"
"""Suffix of what is being written, or was left by a run that was killed."""

KEPT = ".replaced"
"""Suffix of a replaced folder in which files of other programs remain."""

_WRITING = (".tmp", ".part", SUFFIX)
"""Suffixes of files that are still being written, by the conventions of many programs."""

EPOCHS = ".epochs"
"""Suffix of a folder in which part files of a pipeline with checkpoints wait for the end of their epoch."""

_PROCESS = secrets.token_hex(4)
_NAME = re.compile(
    rf"\..*(\d+-[0-9a-f]+({re.escape(SUFFIX)}|{re.escape(KEPT)})|[0-9a-f]{{12}}{re.escape(EPOCHS)})",
    re.DOTALL,
)


def new_token() -> str:
    """Make the name of a run: the process number, for whoever finds a file, and a random part.

    The process number alone is not unique among containers.
    """
    return f"{os.getpid()}-{_PROCESS}{secrets.token_hex(3)}"


def hidden_name(name: str, token: str) -> str:
    """Return the name that `name` has while it is written."""
    return f".{name}{'.' if name else ''}{token}{SUFFIX}"


def token_of(hidden: str, name: str) -> str | None:
    """Return the token in the hidden name of `name`; None if `hidden` is not such a name.

    The whole name must match, so that neither ``out.csv.bad`` nor ``out2`` is taken for ``out``.

    Examples
    --------
    >>> token_of(".out.817-5d0c9a4e11.inprogress", "out"), token_of(".out2.817-5d0c9a4e11.inprogress", "out")
    ('817-5d0c9a4e11', None)
    """
    begin = re.escape(f".{name}." if name else ".")
    match = re.fullmatch(rf"{begin}(\d+-[0-9a-f]+){re.escape(SUFFIX)}", hidden)
    return match[1] if match else None


def is_unfinished(name: str) -> bool:
    """Return True for the name of a file or folder that a run is writing, or has left unfinished.

    Examples
    --------
    >>> is_unfinished(".day=1.817-5d0c9a4e11.inprogress"), is_unfinished("day=1")
    (True, False)
    """
    return name.endswith((SUFFIX, KEPT, EPOCHS)) and _NAME.fullmatch(name) is not None


def is_being_written(name: str) -> bool:
    """Return True for the name of a file that is not to be read yet, by the conventions of many programs.

    Examples
    --------
    >>> [name for name in ("a.csv", "a.csv.part", ".a.csv", "_a.csv") if is_being_written(name)]
    ['a.csv.part', '.a.csv', '_a.csv']
    """
    return name[0] in "._" or name.endswith(_WRITING)


def is_partition(name: str) -> bool:
    """Return True for the name of a partition's folder: ``day=1``, also ``_day=1``."""
    return "=" in name and not is_unfinished(name)
