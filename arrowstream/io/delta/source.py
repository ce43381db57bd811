"""`DeltaSource`: the rows of a table of Delta Lake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl
import pyarrow as pa

from arrowstream.core.checks import PathLike, check_whole
from arrowstream.core.duration import Duration, period
from arrowstream.core.mistakes.explain import explain_names
from arrowstream.core.mistakes.other_names import SOURCE
from arrowstream.core.rows.arrow_types import polars_schema
from arrowstream.core.snapshot_store import SourcePosition
from arrowstream.core.step_context import StepContext
from arrowstream.io.delta.location import DeltaLocation
from arrowstream.io.lake.extra import demand_extra
from arrowstream.io.lake.reader import LakeReader
from arrowstream.io.source import Query, Reader, SourceSpec


@explain_names("a source", SOURCE)
@dataclass(frozen=True, slots=True)
class DeltaSource(SourceSpec):
    """The rows of a table. See `Source.from_delta`.

    Parameters
    ----------
    location
        Place of the table.
    version
        Version that is read; None for the newest one.
    follow
        Seconds between two looks for new versions; None to end with those that are there.
    """

    location: DeltaLocation
    version: int | None = None
    follow: float | None = None

    @classmethod
    def of(
        cls,
        path: PathLike,
        version: int | None,
        follow: Duration | None,
        storage_options: Mapping[str, str | int] | None,
    ) -> DeltaSource:
        """Return the source that `Source.from_delta` describes; the arguments are those of that method.

        Raises
        ------
        PlanError
            An argument does not fit.
        """
        location = DeltaLocation.of("from_delta", path, storage_options)
        if version is not None:
            check_whole("from_delta(version=...)", version, 0)
        return cls(location, version, period("from_delta(follow=...)", follow))

    @property
    def label(self) -> str:
        how = "" if self.follow is None else f", new versions every {self.follow:g} s"
        return f"{self.identity}{how}"

    @property
    def endless(self) -> bool:
        return self.follow is not None

    @property
    def identity(self) -> str:
        return self._known_as(str(self.location))

    @property
    def identity_in_full(self) -> str:
        return self._known_as(self.location.in_full)

    def _known_as(self, location: str) -> str:
        return f"delta {location}" + ("" if self.version is None else f", version {self.version}")

    @property
    def resumable(self) -> bool:
        return True

    @property
    def pushdown(self) -> Literal["none", "columns", "query"]:
        return "columns"

    @property
    def at_hand(self) -> bool:
        return self.location.local is not None

    def schema(self) -> pl.Schema:
        from arrowstream.io.delta.failures import reading
        from arrowstream.io.delta.features import readable_table

        demand_extra("a Delta table", "delta", "deltalake")
        with reading(self.location):
            table = readable_table(self.location, self.version)
        return polars_schema(pa.schema(table.schema().to_arrow()))

    def open(
        self, context: StepContext, query: Query | None = None, resume: SourcePosition | None = None
    ) -> Reader:
        from arrowstream.io.delta.history import DeltaHistory

        schema = self.schema()
        columns = schema if query is None else query(pl.LazyFrame(schema=schema)).collect_schema()
        history = DeltaHistory(self.location, schema, columns.names())
        return LakeReader(history, self.version, self.follow, context, resume)

    def explain_read(self, query: Query) -> tuple[str, ...]:
        schema = self.schema()
        columns = query(pl.LazyFrame(schema=schema)).collect_schema().names()
        return (f"columns: {len(columns)} of {len(schema)} ({', '.join(columns)})",)
