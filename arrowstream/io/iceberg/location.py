"""`IcebergLocation`: the name of a table in a catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from arrowstream.core.checks import PathLike
from arrowstream.errors import PlanError
from arrowstream.io.iceberg.catalog import IcebergCatalog

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table


@dataclass(frozen=True, slots=True)
class IcebergLocation:
    """Name of a table.

    Parameters
    ----------
    name
        Its namespace and its own name.
    catalog
        The catalog that knows where it is.
    """

    name: tuple[str, ...]
    catalog: IcebergCatalog

    @classmethod
    def of(cls, step: str, table: object, catalog: PathLike | Mapping[str, Any]) -> IcebergLocation:
        """Return the location that a user writes as a name and a catalog.

        Raises
        ------
        PlanError
            It is not a name of a table, or no catalog.
        """
        name = tuple(table.split(".")) if isinstance(table, str) else ()
        if len(name) < 2 or not all(name):
            raise PlanError(
                f"{step} takes the name of a table", expected="'namespace.table'", found=repr(table)
            )
        return cls(name, IcebergCatalog.of(step, catalog))

    def __str__(self) -> str:
        return f"{'.'.join(self.name)} in {self.catalog}"

    @property
    def place(self) -> str:
        """The table, to find sinks that write to the same one."""
        return f"iceberg {'.'.join(self.name)} in {self.catalog.place}"

    def load(self, catalog: Catalog) -> Table | None:
        """Return the table in its newest version; None if there is no table."""
        from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

        try:
            return catalog.load_table(self.name)
        except (NoSuchTableError, NoSuchNamespaceError):
            return None
