"""The error of a run that meets another one, with a copy of its checkpoint folder, at what both write."""

from __future__ import annotations

from arrowstream.errors import SinkError


class OtherRun(SinkError):
    """Another run, with a copy of the checkpoint folder, writes the same; this one has not shown its epoch."""


def other_run(what: str, expected: str, found: str) -> OtherRun:
    """Return the error; without it, the rows of an epoch would be there twice.

    Parameters
    ----------
    what
        What another run writes.
    expected, found
        What this run has left there, and what is there now.
    """
    return OtherRun(
        f"another run writes {what}",
        expected=expected,
        found=found,
        hint="end the other run, which uses a copy of the checkpoint folder: it is for one job",
    )
