"""The libraries of the extras `db` and `duckdb`, and what to do without them."""

from __future__ import annotations

import importlib.util

from arrowstream.errors import MissingExtra
from arrowstream.io.database.address import Kind

_PACKAGES: dict[Kind, tuple[str, str]] = {
    "sqlite": ("adbc_driver_sqlite", "db"),
    "postgresql": ("adbc_driver_postgresql", "db"),
    "duckdb": ("duckdb", "duckdb"),
}
"""The package that connects to each system, and its extra."""


def demand_extra(kind: Kind) -> None:
    """Raise MissingExtra if the driver of a system is not installed."""
    package, extra = _PACKAGES[kind]
    if importlib.util.find_spec(package) is None:
        raise MissingExtra(
            f"a {kind} database needs the extra {extra!r}, which is not installed",
            hint=f"pip install 'arrowstream[{extra}]'",
        )
