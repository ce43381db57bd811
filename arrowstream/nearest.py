"""What somebody may have meant by a name that is not there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

import polars as pl


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint with the known name that is most like this one; None if none is.

    Examples
    --------
    >>> did_you_mean("pirce", ["price", "item"])
    "did you mean 'price'?"
    """
    close = get_close_matches(name, list(known), 1)
    return f"did you mean {close[0]!r}?" if close else None


def missing_column(error: BaseException) -> str | None:
    """The name that Polars finds no column for; None if the error is another one.

    Examples
    --------
    >>> import polars as pl
    >>> missing_column(pl.exceptions.ColumnNotFoundError('unable to find column "pirce"'))
    'pirce'
    """
    quoted = re.search(r'"([^"]*)"', str(error).split("\n\n")[0])
    return quoted[1] if quoted and isinstance(error, pl.exceptions.ColumnNotFoundError) else None
