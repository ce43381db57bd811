"""`DeltaSink`: rows into a table of Delta Lake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from arrowstream.core.checks import PathLike, column_names
from arrowstream.core.mistakes.explain import explain_names
from arrowstream.core.mistakes.other_names import SINK
from arrowstream.core.step_context import StepContext
from arrowstream.io.delta.location import DeltaLocation
from arrowstream.io.delta.types import TYPES
from arrowstream.io.lake.modes import Mode, check_mode
from arrowstream.io.lake.sink import LakeSink
from arrowstream.io.lake.types import LakeTypes
from arrowstream.io.writer import BlockingWriter


@explain_names("a sink", SINK)
@dataclass(frozen=True, slots=True)
class DeltaSink(LakeSink[DeltaLocation]):
    """Rows into a table. See `Sink.to_delta`."""

    kind: ClassVar[str] = "delta"
    commit: ClassVar[str] = "commit"
    libraries: ClassVar[tuple[str, ...]] = ("deltalake",)
    types: ClassVar[LakeTypes] = TYPES

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
    def identity_in_full(self) -> str:
        return f"delta {self.location.in_full}"

    @property
    def place(self) -> str | None:
        return None if self.mode == "append" else self.location.uri

    def open(self, schema: pl.Schema, context: StepContext) -> BlockingWriter:
        from arrowstream.io.delta.writer import DeltaWriter

        return DeltaWriter(self.location, self.mode, self.partition_by, schema, context)
