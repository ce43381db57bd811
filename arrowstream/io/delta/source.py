"""`DeltaSource`: the rows of a table of Delta Lake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from arrowstream.core.checks import PathLike, check_whole
from arrowstream.core.duration import Duration, period
from arrowstream.core.mistakes.explain import explain_names
from arrowstream.core.mistakes.other_names import SOURCE
from arrowstream.core.rows.arrow_types import polars_schema
from arrowstream.io.delta.location import DeltaLocation
from arrowstream.io.delta.types import TYPES
from arrowstream.io.lake.history import TableHistory
from arrowstream.io.lake.source import LakeSource, taken
from arrowstream.io.lake.types import LakeTypes
from arrowstream.io.source import Query


@explain_names("a source", SOURCE)
@dataclass(frozen=True, slots=True)
class DeltaSource(LakeSource[DeltaLocation]):
    """The rows of a table. See `Source.from_delta`."""

    kind: ClassVar[str] = "delta"
    version_name: ClassVar[str] = "version"
    libraries: ClassVar[tuple[str, ...]] = ("deltalake",)
    types: ClassVar[LakeTypes] = TYPES

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
    def identity_in_full(self) -> str:
        return self._known_as(f"delta {self.location.in_full}")

    @property
    def at_hand(self) -> bool:
        return self.location.local is not None

    def _columns(self) -> pl.Schema:
        from arrowstream.io.delta.failures import reading
        from arrowstream.io.delta.features import readable_table

        with reading(self.location):
            table = readable_table(self.location, self.version)
        return polars_schema(pa.schema(table.schema().to_arrow()))

    def _history(self, query: Query | None) -> TableHistory[Any]:
        from arrowstream.io.delta.history import DeltaHistory

        schema = self.schema()
        return DeltaHistory(self.location, schema, taken(query, schema))
