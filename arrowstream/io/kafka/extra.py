"""The libraries of the extra `kafka`, and what to do without them."""

from __future__ import annotations

import importlib.util

from arrowstream.errors import MissingExtra


def demand_extra(what: str) -> None:
    """Raise MissingExtra if the libraries are not installed; `what` is what needs them."""
    if importlib.util.find_spec("aiokafka") is None:
        raise missing_extra(what)


def missing_extra(what: str) -> MissingExtra:
    """Return the error of `what`, which needs the libraries."""
    return MissingExtra(
        f"{what} needs the extra 'kafka', which is not installed", hint="pip install 'arrowstream[kafka]'"
    )
