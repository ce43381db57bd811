"""`LakeSource`: the rows of a table of a lake, and those that are added to it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar

import polars as pl

from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.io.lake.extra import demand_extra
from arrowstream.io.lake.history import TableHistory
from arrowstream.io.lake.reader import LakeReader
from arrowstream.io.lake.types import LakeTypes
from arrowstream.io.source import Query, Reader, SourceSpec

Location = TypeVar("Location")


@dataclass(frozen=True, slots=True)
class LakeSource(SourceSpec, Generic[Location]):
    """The rows of a table.

    Parameters
    ----------
    location
        Place or name of the table.
    version
        Version that is read; None for the newest one.
    follow
        Seconds between two looks for new versions; None to end with those that are there.
    """

    kind: ClassVar[str]
    """The format of the table, in one word, which is also the name of the extra."""
    version_name: ClassVar[str]
    """What the format calls a version, such as ``snapshot``."""
    libraries: ClassVar[tuple[str, ...]]
    """The libraries of the extra."""
    types: ClassVar[LakeTypes]
    """The types of the format."""
    location: Location
    version: int | None = None
    follow: float | None = None

    @property
    def label(self) -> str:
        how = "" if self.follow is None else f", new {self.version_name}s every {self.follow:g} s"
        return f"{self.identity}{how}"

    @property
    def endless(self) -> bool:
        return self.follow is not None

    @property
    def identity(self) -> str:
        return self._known_as(f"{self.kind} {self.location}")

    def _known_as(self, table: str) -> str:
        """Return the table with the version that is read."""
        return table + ("" if self.version is None else f", {self.version_name} {self.version}")

    @property
    def resumable(self) -> bool:
        return True

    @property
    def pushdown(self) -> Literal["none", "columns", "query"]:
        return "columns"

    def schema(self) -> pl.Schema:
        demand_extra(self.types.table, self.kind, *self.libraries)
        return self._columns()

    @abstractmethod
    def _columns(self) -> pl.Schema:
        """Return the columns of the table.

        Raises
        ------
        SourceError
            The table cannot be read.
        """

    @abstractmethod
    def _history(self, query: Query | None) -> TableHistory[Any]:
        """Return the versions of the table, with the columns that the query takes; all without a query.

        Raises
        ------
        SourceError
            The table cannot be read.
        """

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader:
        return LakeReader(self._history(query), self.version, self.follow, context, resume)

    def explain_read(self, query: Query) -> tuple[str, ...]:
        schema = self.schema()
        columns = taken(query, schema)
        return (f"columns: {len(columns)} of {len(schema)} ({', '.join(columns)})",)


def taken(query: Query | None, schema: pl.Schema) -> list[str]:
    """Return the names of the columns that a query takes of a table; of all columns without a query."""
    return (schema if query is None else query(pl.LazyFrame(schema=schema)).collect_schema()).names()
