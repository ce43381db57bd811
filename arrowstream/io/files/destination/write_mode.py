"""What a run does with rows that its target already holds."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Final, Literal

from arrowstream.core.hints import did_you_mean
from arrowstream.errors import PlanError
from arrowstream.io.files.formats import Format, a_file

Mode = Literal["append", "overwrite", "overwrite_partitions", "error"]

MODES: Final[tuple[Mode, ...]] = ("append", "overwrite", "overwrite_partitions", "error")
_OTHER_WORDS: Final = {
    **dict.fromkeys(
        ("replace", "truncate", "w", "wb", "write", "create_or_replace"), "write mode='overwrite'"
    ),
    **dict.fromkeys(("a", "ab", "add", "insert", "extend"), "write mode='append'"),
    **dict.fromkeys(
        ("fail", "raise", "x", "xb", "create", "errorifexists", "error_if_exists", "ignore", "skip"),
        "write mode='error', which refuses a target that holds rows",
    ),
    **dict.fromkeys(
        ("dynamic", "delete_matching", "replace_partitions", "insert_overwrite"),
        "write mode='overwrite_partitions', with partition_by=",
    ),
    **dict.fromkeys(
        ("merge", "upsert", "update"),
        "rows of a file are not changed by key: write mode='overwrite_partitions' for the partitions that change",
    ),
}
"""Hints for the names that other libraries give to modes."""

Kind = Literal["file", "folder", "stream"]
"""What the path of a sink names."""

_LINES: Final[frozenset[Format]] = frozenset({"csv", "ndjson"})


def mode_of(mode: str | None, overwrite: bool) -> Mode | None:
    """Return the mode that two arguments of a call mean together; None for the default of the target.

    Raises
    ------
    PlanError
        No mode has this name, or `overwrite` contradicts it.
    """
    if mode is None:
        return "overwrite" if overwrite else None
    for known in MODES:
        if known == mode and (not overwrite or known == "overwrite"):
            return known
    if mode in MODES:
        raise PlanError(
            f"mode={mode!r} and overwrite=True contradict each other",
            expected="one of both",
            found=f"mode={mode!r}, overwrite=True",
            hint="leave overwrite out",
        )
    raise PlanError(
        f"there is no mode {mode!r}",
        expected=", ".join(map(repr, MODES)),
        found=repr(mode),
        hint=_OTHER_WORDS.get(str(mode).lower()) or did_you_mean(str(mode), MODES),
    )


def default_mode(kind: Kind, format: Format, side: bool) -> Mode:
    """Return the mode of a sink for which none is given.

    Parameters
    ----------
    kind
        What the path names.
    format
        Format of the files.
    side
        Whether the rows are late rows or dead letters, of which those of earlier runs are kept.
    """
    if kind == "stream":
        return "append"
    if side and (kind == "folder" or format in _LINES):
        return "append"
    if kind == "folder" or side:
        return "error"
    return "overwrite"


def check_mode(mode: Mode, kind: Kind, format: Format, partitioned: bool) -> None:
    """Raise PlanError if a target of this kind cannot be written in this mode."""
    if kind == "stream" and mode in ("error", "overwrite_partitions"):
        raise PlanError(
            f"mode={mode!r} is for files",
            expected="no mode for a pipe or device, which gets the rows as they come",
            found=f"mode={mode!r}",
            hint="leave mode out",
        )
    if mode == "overwrite_partitions" and not partitioned:
        raise PlanError(
            "mode='overwrite_partitions' replaces the folders of partitions",
            expected="partition_by=",
            found="no partition_by",
            hint="pass partition_by='day', or mode='overwrite' to replace everything",
        )
    if mode == "append" and kind == "file" and format not in _LINES:
        raise PlanError(
            f"{a_file(format)} cannot be appended to",
            expected="a folder, or a CSV or NDJSON file",
            found=f"mode='append' and {a_file(format)}",
            hint="end the path with '/': each run adds part files to the folder",
        )


def part_stem(mode: Mode) -> str:
    """Return the beginning of the names of part files.

    Where files of other runs stay, it differs from theirs, and sorts after those of earlier runs.
    """
    if mode in ("overwrite", "error"):
        return "part"
    return f"part-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
