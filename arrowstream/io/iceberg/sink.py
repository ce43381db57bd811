"""`IcebergSink`: rows into an Iceberg table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from arrowstream.core.checks import PathLike, column_names
from arrowstream.core.mistakes.explain import explain_names
from arrowstream.core.mistakes.other_names import SINK
from arrowstream.core.step_context import StepContext
from arrowstream.io.iceberg.location import IcebergLocation
from arrowstream.io.iceberg.types import TYPES
from arrowstream.io.lake.modes import Mode, check_mode
from arrowstream.io.lake.sink import LakeSink
from arrowstream.io.lake.types import LakeTypes
from arrowstream.io.writer import BlockingWriter


@explain_names("a sink", SINK)
@dataclass(frozen=True, slots=True)
class IcebergSink(LakeSink[IcebergLocation]):
    """Rows into a table. See `Sink.to_iceberg`."""

    kind: ClassVar[str] = "iceberg"
    commit: ClassVar[str] = "snapshot"
    libraries: ClassVar[tuple[str, ...]] = ("pyiceberg", "sqlalchemy")
    types: ClassVar[LakeTypes] = TYPES

    @classmethod
    def of(
        cls, table: str, catalog: PathLike | Mapping[str, Any], mode: Mode, partition_by: object
    ) -> IcebergSink:
        """Return the sink that `Sink.to_iceberg` describes; the arguments are those of that method.

        Raises
        ------
        PlanError
            An argument does not fit.
        """
        location = IcebergLocation.of("to_iceberg", table, catalog)
        check_mode(mode)
        return cls(location, mode, column_names("partition_by", partition_by))

    @property
    def identity_in_full(self) -> str:
        return self.location.place

    @property
    def place(self) -> str | None:
        return None if self.mode == "append" else self.location.place

    def open(self, schema: pl.Schema, context: StepContext) -> BlockingWriter:
        from arrowstream.io.iceberg.writer import IcebergWriter

        return IcebergWriter(self.location, self.mode, self.partition_by, schema, context)
