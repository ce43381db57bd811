"""The libraries of the extras `delta` and `iceberg`, and what to do without them."""

from __future__ import annotations

import importlib.util

from arrowstream.errors import MissingExtra


def demand_extra(table: str, extra: str, *libraries: str) -> None:
    """Raise MissingExtra if a library is not installed.

    Parameters
    ----------
    table
        What needs it, such as ``a Delta table``.
    extra
        Name of the extra that installs it.
    libraries
        Names of its modules.
    """
    if any(importlib.util.find_spec(library) is None for library in libraries):
        raise MissingExtra(
            f"{table} needs the extra {extra!r}, which is not installed",
            hint=f"pip install 'arrowstream[{extra}]'",
        )
