"""What somebody may have meant by a name that is not there."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint with the known name that is most like this one; None if none is.

    Examples
    --------
    >>> did_you_mean("pirce", ["price", "item"])
    "did you mean 'price'?"
    """
    close = get_close_matches(name, list(known), 1)
    return f"did you mean {close[0]!r}?" if close else None
