"""What a store or web server says of the content of an object."""

from __future__ import annotations

from typing import NamedTuple


class Status(NamedTuple):
    """Content of an object at one moment: other content has another status.

    Parameters
    ----------
    size
        Size in bytes; -1 if a web server does not say it.
    tag
        Its entity tag, or the time of its last change; empty if neither is known.
    """

    size: int
    tag: str


class Replaced(Exception):
    """An object has been replaced since it was opened."""
