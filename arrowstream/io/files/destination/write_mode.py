"""What a run does with rows that its target already holds."""

from __future__ import annotations

from typing import Final, Literal

from arrowstream.core.hints import did_you_mean
from arrowstream.errors import PlanError
from arrowstream.io.files.formats import Format

Mode = Literal["append", "overwrite", "overwrite_partitions", "error"]

MODES: Final[tuple[Mode, ...]] = ("append", "overwrite", "overwrite_partitions", "error")
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
        hint=did_you_mean(str(mode), MODES),
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
            f"a single {format} file cannot be appended to",
            expected="a folder, or a CSV or NDJSON file",
            found=f"mode='append' and a {format} file",
            hint="end the path with '/': each run adds part files to the folder",
        )
