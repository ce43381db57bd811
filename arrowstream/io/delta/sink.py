"""`DeltaSink`: rows into a table of Delta Lake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from arrowstream.core.checks import PathLike, column_names
from arrowstream.core.mistakes.explain import explain_names
from arrowstream.core.mistakes.other_names import SINK
from arrowstream.core.step_context import StepContext
from arrowstream.io.delta.location import DeltaLocation
from arrowstream.io.delta.types import TYPES
from arrowstream.io.lake.extra import demand_extra
from arrowstream.io.lake.modes import Mode, check_epochs, check_mode
from arrowstream.io.sink import SinkSpec
from arrowstream.io.writer import BlockingWriter


@explain_names("a sink", SINK)
@dataclass(frozen=True, slots=True)
class DeltaSink(SinkSpec):
    """Rows into a table. See `Sink.to_delta`.

    Parameters
    ----------
    location
        Place of the table.
    mode
        What becomes of the rows that it has.
    partition_by
        Columns of its partitions; none for those of a table that exists.
    """

    location: DeltaLocation
    mode: Mode = "append"
    partition_by: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        path: PathLike,
        mode: Mode,
        partition_by: object,
        storage_options: Mapping[str, str | int] | None,
    ) -> DeltaSink:
        """Return the sink that `Sink.to_delta` describes; the arguments are those of that method.

        Raises
        ------
        PlanError
            An argument does not fit.
        """
        location = DeltaLocation.of("to_delta", path, storage_options)
        check_mode(mode)
        return cls(location, mode, column_names("partition_by", partition_by))

    @property
    def label(self) -> str:
        partitions = f", by {', '.join(self.partition_by)}" if self.partition_by else ""
        return f"delta {self.location} ({self.mode}{partitions})"

    @property
    def identity(self) -> str:
        return f"delta {self.location}"

    @property
    def identity_in_full(self) -> str:
        return f"delta {self.location.in_full}"

    @property
    def guarantee(self) -> str:
        return "exactly once: all rows of a run, or of a checkpoint, are in one commit of the table"

    @property
    def exactly_once(self) -> bool:
        return True

    def with_checkpoints(self) -> DeltaSink:
        check_epochs(self.mode, self.label)
        return self

    @property
    def needs_schema(self) -> bool:
        return True

    @property
    def place(self) -> str | None:
        return None if self.mode == "append" else self.location.uri

    def check(self, schema: pl.Schema) -> None:
        demand_extra("a Delta table", "delta", "deltalake")
        TYPES.stored_schema(schema, self.partition_by)

    def open(self, schema: pl.Schema, context: StepContext) -> BlockingWriter:
        from arrowstream.io.delta.writer import DeltaWriter

        return DeltaWriter(self.location, self.mode, self.partition_by, schema, context)
