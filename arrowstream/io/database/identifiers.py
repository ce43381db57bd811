"""Names in SQL: quoted, so that a name is never read as SQL."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from arrowstream.errors import PlanError
from arrowstream.io.database.address import Kind

LONGEST = 63
"""Bytes of a name in PostgreSQL, which cuts off the rest."""


def quoted(name: str) -> str:
    """Return a name as SQL.

    Examples
    --------
    >>> quoted('a"; DROP TABLE x')
    '"a""; DROP TABLE x"'
    """
    return '"' + name.replace('"', '""') + '"'


def quoted_list(names: Iterable[str]) -> str:
    """Return names as SQL, with commas between them."""
    return ", ".join(map(quoted, names))


def check_identifier(kind: Kind, what: str, name: object) -> str:
    """Return `name` if it can name something in a database.

    Raises
    ------
    PlanError
        It is not a text, is empty, holds a NUL, or is longer than PostgreSQL allows.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise PlanError(f"{what} takes a name", expected="a text that is not empty", found=repr(name))
    if kind == "postgresql" and len(name.encode()) > LONGEST:
        raise PlanError(
            f"{what} is too long a name for PostgreSQL",
            expected=f"at most {LONGEST} bytes",
            found=f"{len(name.encode())} bytes: {name!r}",
        )
    return name


@dataclass(frozen=True, slots=True)
class TableName:
    """Name of a table.

    Parameters
    ----------
    name
        The name of the table itself.
    schema
        The schema that it is in; None for the default of the connection.
    """

    name: str
    schema: str | None = None

    @classmethod
    def of(cls, kind: Kind, table: object, schema: object) -> TableName:
        """Return the name that a user writes.

        Raises
        ------
        PlanError
            It cannot be the name of a table.
        """
        name = check_identifier(kind, "table", table)
        if "." in name:
            first, _, last = name.rpartition(".")
            raise PlanError(
                "the name of a table has no dot",
                expected="the name of the table alone",
                found=repr(name),
                hint=f"a table in a schema is written table={last!r}, db_schema={first!r}",
            )
        if schema is None:
            return cls(name)
        if kind == "sqlite":
            raise PlanError("tables of SQLite are in no schema", found=f"db_schema={schema!r}")
        return cls(name, check_identifier(kind, "db_schema", schema))

    @property
    def sql(self) -> str:
        """The name as SQL."""
        return quoted(self.name) if self.schema is None else f"{quoted(self.schema)}.{quoted(self.name)}"

    @property
    def label(self) -> str:
        """The name for errors and `explain()`."""
        return self.name if self.schema is None else f"{self.schema}.{self.name}"

    def sibling(self, name: str) -> TableName:
        """Return another table in the same schema."""
        return TableName(name, self.schema)
