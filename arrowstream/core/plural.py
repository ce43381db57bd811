"""Numbers of things in messages and reports."""

from __future__ import annotations


def counted(count: int, things: str) -> str:
    """Return a number of things, which is `1 row` for one of them.

    Parameters
    ----------
    count
        How many there are.
    things
        What they are, as a phrase that begins with a plural noun.

    Examples
    --------
    >>> counted(1, "rows came late"), counted(1200, "rows came late"), counted(1, "batches")
    ('1 row came late', '1,200 rows came late', '1 batch')
    """
    if count == 1:
        noun, space, rest = things.partition(" ")
        things = f"{noun.removesuffix('es') if noun == 'batches' else noun.removesuffix('s')}{space}{rest}"
    return f"{count:,} {things}"
