"""`IcebergSource`: the rows of an Iceberg table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from arrowstream.core.checks import PathLike, check_whole
from arrowstream.core.duration import Duration, period
from arrowstream.core.mistakes.explain import explain_names
from arrowstream.core.mistakes.other_names import SOURCE
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.io.iceberg.location import IcebergLocation
from arrowstream.io.lake.extra import demand_extra
from arrowstream.io.lake.reader import LakeReader
from arrowstream.io.source import Query, Reader, SourceSpec


@explain_names("a source", SOURCE)
@dataclass(frozen=True, slots=True)
class IcebergSource(SourceSpec):
    """The rows of a table. See `Source.from_iceberg`.

    Parameters
    ----------
    location
        Name of the table.
    snapshot
        Snapshot that is read; None for the newest one.
    follow
        Seconds between two looks for new snapshots; None to end with those that are there.
    """

    location: IcebergLocation
    snapshot: int | None = None
    follow: float | None = None

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
    def label(self) -> str:
        how = "" if self.follow is None else f", new snapshots every {self.follow:g} s"
        return f"{self.identity}{how}"

    @property
    def endless(self) -> bool:
        return self.follow is not None

    @property
    def identity(self) -> str:
        return self._known_as(f"iceberg {self.location}")

    @property
    def identity_in_full(self) -> str:
        return self._known_as(self.location.place)

    def _known_as(self, place: str) -> str:
        return place + ("" if self.snapshot is None else f", snapshot {self.snapshot}")

    @property
    def resumable(self) -> bool:
        return True

    @property
    def pushdown(self) -> Literal["none", "columns", "query"]:
        return "columns"

    @property
    def at_hand(self) -> bool:
        return False

    def schema(self) -> pl.Schema:
        from arrowstream.io.iceberg.failures import reading
        from arrowstream.io.iceberg.history import columns_of, open_table

        demand_extra("an Iceberg table", "iceberg", "pyiceberg", "sqlalchemy")
        with reading(self.location):
            catalog, _, schema = open_table(self.location, self.snapshot)
            catalog.close()
            return columns_of(schema)

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader:
        from arrowstream.io.iceberg.failures import reading
        from arrowstream.io.iceberg.history import IcebergHistory, columns_of, open_table

        with reading(self.location):
            catalog, table, schema = open_table(self.location, self.snapshot)
            columns = columns_of(schema)
        names = columns if query is None else query(pl.LazyFrame(schema=columns)).collect_schema()
        history = IcebergHistory(self.location, catalog, table, schema, names.names())
        return LakeReader(history, self.snapshot, self.follow, context, resume)

    def explain_read(self, query: Query) -> tuple[str, ...]:
        schema = self.schema()
        columns = query(pl.LazyFrame(schema=schema)).collect_schema().names()
        return (f"columns: {len(columns)} of {len(schema)} ({', '.join(columns)})",)
