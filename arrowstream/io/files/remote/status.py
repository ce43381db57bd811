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
    exact
        Whether the tag is an entity tag: of two changes in one second, the time would be the same.
    """

    size: int
    tag: str
    exact: bool = False


class ObjectReplaced(Exception):
    """An object has been replaced since it was opened."""
