"""`IcebergSink`: rows into an Iceberg table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from arrowstream.core.checks import PathLike, column_names
from arrowstream.core.mistakes.explain import explain_names
from arrowstream.core.mistakes.other_names import SINK
from arrowstream.core.step_context import StepContext
from arrowstream.io.iceberg.location import IcebergLocation
from arrowstream.io.iceberg.types import TYPES
from arrowstream.io.lake.extra import demand_extra
from arrowstream.io.lake.modes import Mode, check_epochs, check_mode
from arrowstream.io.sink import SinkSpec
from arrowstream.io.writer import BlockingWriter


@explain_names("a sink", SINK)
@dataclass(frozen=True, slots=True)
class IcebergSink(SinkSpec):
    """Rows into a table. See `Sink.to_iceberg`.

    Parameters
    ----------
    location
        Name of the table.
    mode
        What becomes of the rows that it has.
    partition_by
        Columns of its partitions; none for those of a table that exists.
    """

    location: IcebergLocation
    mode: Mode = "append"
    partition_by: tuple[str, ...] = ()

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
    def label(self) -> str:
        partitions = f", by {', '.join(self.partition_by)}" if self.partition_by else ""
        return f"iceberg {self.location} ({self.mode}{partitions})"

    @property
    def identity(self) -> str:
        return f"iceberg {self.location}"

    @property
    def identity_in_full(self) -> str:
        return self.location.place

    @property
    def guarantee(self) -> str:
        return "exactly once: all rows of a run, or of a checkpoint, are in one snapshot of the table"

    @property
    def exactly_once(self) -> bool:
        return True

    def with_checkpoints(self) -> IcebergSink:
        check_epochs(self.mode, self.label)
        return self

    @property
    def needs_schema(self) -> bool:
        return True

    @property
    def place(self) -> str | None:
        return None if self.mode == "append" else self.location.place

    def check(self, schema: pl.Schema) -> None:
        demand_extra("an Iceberg table", "iceberg", "pyiceberg", "sqlalchemy")
        TYPES.stored_schema(schema, self.partition_by)

    def open(self, schema: pl.Schema, context: StepContext) -> BlockingWriter:
        from arrowstream.io.iceberg.writer import IcebergWriter

        return IcebergWriter(self.location, self.mode, self.partition_by, schema, context)
