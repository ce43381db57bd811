"""What becomes of the rows that a table has."""

from __future__ import annotations

from typing import Literal, get_args

from arrowstream.core.hints import did_you_mean
from arrowstream.errors import PlanError, SinkError

Mode = Literal["append", "overwrite", "error"]
MODES: tuple[Mode, ...] = get_args(Mode)


def check_mode(mode: Mode) -> None:
    """Raise PlanError if a user has written an unknown mode."""
    if mode not in MODES:
        expected = " or ".join(map(repr, MODES))
        raise PlanError(f"unknown mode {mode!r}", expected=expected, hint=did_you_mean(str(mode), MODES))


def check_epochs(mode: Mode, label: str) -> None:
    """Raise PlanError if a run with checkpoints cannot write in this mode."""
    if mode == "overwrite":
        raise PlanError(
            "mode='overwrite' replaces what the checkpoints before have shown",
            stage=label,
            expected="mode='append', or mode='error' for a new table",
            found="mode='overwrite'",
        )


def check_new(mode: Mode, table: str, *, own: bool) -> None:
    """Raise SinkError if a table that exists should be made.

    Parameters
    ----------
    mode
        What becomes of its rows.
    table
        The table, for errors.
    own
        True if it has an epoch of this sink.
    """
    if mode == "error" and not own:
        raise SinkError(
            f"{table} exists",
            expected='a table that is made: mode="error"',
            hint='mode="append" adds rows to it, mode="overwrite" replaces its rows',
        )
