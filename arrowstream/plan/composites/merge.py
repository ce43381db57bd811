"""`merge`: the rows of other pipelines, added to the stream."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from arrowstream.plan.checks.split_schema import same_schema
from arrowstream.plan.composites.inputs import OtherInputs, checked_inputs
from arrowstream.plan.graph import Graph, LineCompiler
from arrowstream.plan.physical import InputsStage


@dataclass(frozen=True, slots=True)
class Merge(OtherInputs):
    """The rows of other pipelines of the same schema, added to the stream as they come.

    Parameters
    ----------
    others
        Builders with a source and without a sink. The rows of each stream keep their order; how rows of several
        streams interleave is unspecified.

    Raises
    ------
    PlanError
        No builder is given, or one has no source or has a sink.
    SchemaError
        At `build()`: their schemas differ.
    """

    name: ClassVar[str] = "merge"

    @classmethod
    def of(cls, others: Iterable[Graph]) -> Merge:
        """Return the merge with these graphs, checked."""
        return cls(checked_inputs(cls.name, others))

    def describe(self) -> str:
        return f"merge({', '.join(other.name for other in self.others)})"

    def compile(self, compiler: LineCompiler, name: str, schema: pl.Schema) -> InputsStage:
        lines = tuple(compiler.input(name, child) for child in self.children)
        for line, other in zip(lines, self.others, strict=True):
            same_schema(name, f"the rows of {other.name!r}", line.output, schema)
        return InputsStage(name, self.describe(), schema, lines, schema)
