"""`LakeSink`: rows into a table of a lake, which shows those of a run or of a checkpoint at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Generic, Self, TypeVar

import polars as pl

from arrowstream.io.lake.extra import demand_extra
from arrowstream.io.lake.modes import Mode, check_epochs
from arrowstream.io.lake.types import LakeTypes
from arrowstream.io.sink import SinkSpec

Location = TypeVar("Location")


@dataclass(frozen=True, slots=True)
class LakeSink(SinkSpec, Generic[Location]):
    """Rows into a table.

    Parameters
    ----------
    location
        Place or name of the table.
    mode
        What becomes of the rows that it has.
    partition_by
        Columns of its partitions; none for those of a table that exists.
    """

    kind: ClassVar[str]
    """The format of the table, in one word, which is also the name of the extra."""
    commit: ClassVar[str]
    """What the table makes of the rows of an epoch, such as ``commit``."""
    libraries: ClassVar[tuple[str, ...]]
    """The libraries of the extra."""
    types: ClassVar[LakeTypes]
    """The types of the format."""
    location: Location
    mode: Mode = "append"
    partition_by: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        partitions = f", by {', '.join(self.partition_by)}" if self.partition_by else ""
        return f"{self.kind} {self.location} ({self.mode}{partitions})"

    @property
    def identity(self) -> str:
        return f"{self.kind} {self.location}"

    @property
    def guarantee(self) -> str:
        return f"exactly once: all rows of a run, or of a checkpoint, are in one {self.commit} of the table"

    @property
    def exactly_once(self) -> bool:
        return True

    def with_checkpoints(self) -> Self:
        check_epochs(self.mode, self.label)
        return self

    @property
    def needs_schema(self) -> bool:
        return True

    def check(self, schema: pl.Schema) -> None:
        demand_extra(self.types.table, self.kind, *self.libraries)
        self.types.stored_schema(schema, self.partition_by)
