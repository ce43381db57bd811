"""The error of a run that would continue although what earlier epochs have shown is gone."""

from __future__ import annotations

from arrowstream.errors import CheckpointError


def missing_output(what: str, expected: str, found: str) -> CheckpointError:
    """Return the error; without it, the output would have only the rows that are new, and look complete.

    Parameters
    ----------
    what
        What lacks rows.
    expected, found
        What earlier runs have committed, and what is there of it.
    """
    return CheckpointError(
        what,
        expected=expected,
        found=found,
        hint="put it back; or, to write all rows again, remove what is left of it and start from the beginning: "
        "from_checkpoint='ignore'",
    )
