"""Groups whose text is their own."""

from __future__ import annotations

import polars as pl

from arrowstream.operators.owned_rows import owned

_TEXTS = (pl.String, pl.Binary)


def with_own_text(groups: pl.DataFrame) -> pl.DataFrame:
    """The same, with a copy of what is text: numbers of groups are their own anyhow.

    Where rows are grouped, Polars copies where text lies and how long it is, not its letters. So a single new key
    would keep all the text of the batch that it came with.
    """
    texts = [name for name, dtype in groups.schema.items() if dtype in _TEXTS or dtype.is_nested()]
    return groups.with_columns(owned(groups[texts]).get_columns()) if texts else groups
