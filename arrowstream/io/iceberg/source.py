"""`IcebergSource`: the rows of an Iceberg table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from arrowstream.core.checks import PathLike, check_whole
from arrowstream.core.duration import Duration, period
from arrowstream.core.mistakes.explain import explain_names
from arrowstream.core.mistakes.other_names import SOURCE
from arrowstream.io.iceberg.location import IcebergLocation
from arrowstream.io.iceberg.types import TYPES
from arrowstream.io.lake.history import TableHistory
from arrowstream.io.lake.source import LakeSource, taken
from arrowstream.io.lake.types import LakeTypes
from arrowstream.io.source import Query


@explain_names("a source", SOURCE)
@dataclass(frozen=True, slots=True)
class IcebergSource(LakeSource[IcebergLocation]):
    """The rows of a table. See `Source.from_iceberg`."""

    kind: ClassVar[str] = "iceberg"
    version_name: ClassVar[str] = "snapshot"
    libraries: ClassVar[tuple[str, ...]] = ("pyiceberg", "sqlalchemy")
    types: ClassVar[LakeTypes] = TYPES

    @classmethod
    def of(
        cls, table: str, catalog: PathLike | Mapping[str, Any], snapshot: int | None, follow: Duration | None
    ) -> IcebergSource:
        """Return the source that `Source.from_iceberg` describes; the arguments are those of that method.

        Raises
        ------
        PlanError
            An argument does not fit.
        """
        location = IcebergLocation.of("from_iceberg", table, catalog)
        if snapshot is not None:
            check_whole("from_iceberg(snapshot=...)", snapshot, 1)
        return cls(location, snapshot, period("from_iceberg(follow=...)", follow))

    @property
    def identity_in_full(self) -> str:
        return self._known_as(self.location.place)

    @property
    def at_hand(self) -> bool:
        return False

    def _columns(self) -> pl.Schema:
        from arrowstream.io.iceberg.failures import reading
        from arrowstream.io.iceberg.history import columns_of, open_table

        with reading(self.location):
            catalog, _, schema = open_table(self.location, self.version)
            catalog.close()
            return columns_of(schema)

    def _history(self, query: Query | None) -> TableHistory[Any]:
        from arrowstream.io.iceberg.failures import reading
        from arrowstream.io.iceberg.history import IcebergHistory, columns_of, open_table

        with reading(self.location):
            catalog, table, schema = open_table(self.location, self.version)
            columns = columns_of(schema)
        return IcebergHistory(self.location, catalog, table, schema, taken(query, columns))
