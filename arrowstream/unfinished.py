"""What is missing when a step that takes two calls got only the first."""

from __future__ import annotations

from arrowstream.errors import PlanError


def unfinished(step: str, name: str, missing: str, example: str) -> Exception:
    """The error for a look at `name` where `missing` should have been called.

    Examples
    --------
    >>> print(unfinished("window(...)", "filter", ".agg(...)", ".window(...).agg(n=pl.len())"))
    window(...) is followed by .filter
      expected: .agg(...) first
      hint: write .window(...).agg(n=pl.len()).filter(...)
    """
    if name.startswith("_"):
        # Python itself, copy and notebooks look for such names, and take only this for a no.
        return AttributeError(name)
    return PlanError(
        f"{step} is followed by .{name}", expected=f"{missing} first", hint=f"write {example}.{name}(...)"
    )
