"""The step of an operator with several inputs, such as a join."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import polars as pl

from arrowstream.errors import PlanError
from arrowstream.operators.base import MultiInputOperator
from arrowstream.plan.composites.inputs import OtherInputs, checked_inputs
from arrowstream.plan.graph import Graph, LineCompiler
from arrowstream.plan.physical import InputsStage


@dataclass(frozen=True, slots=True)
class MultiInput(OtherInputs):
    """A step whose operator gets each batch with the number of its input, the port.

    Parameters
    ----------
    others
        The graphs of ports 1, 2, ...; port 0 is the stream itself.
    operator
        The operator.
    """

    operator: MultiInputOperator

    @classmethod
    def of(cls, operator: MultiInputOperator, others: Iterable[Graph]) -> MultiInput:
        """Return the step of `operator` with these inputs.

        Raises
        ------
        PlanError
            The operator takes another number of inputs, or a graph has no source or has a sink.
        """
        graphs = checked_inputs(operator.name, others)
        if len(graphs) + 1 != operator.inputs:
            raise PlanError(
                f"{operator.name}() has another number of inputs",
                expected=str(operator.inputs),
                found=str(len(graphs) + 1),
            )
        return cls(graphs, operator)

    @property
    def name(self) -> str:
        return self.operator.name

    def describe(self) -> str:
        return self.operator.describe()

    @property
    def identity(self) -> str:
        return self.operator.identity

    def compile(self, compiler: LineCompiler, name: str, schema: pl.Schema) -> InputsStage:
        lines = tuple(compiler.input(name, child) for child in self.children)
        stage = InputsStage(name, self.describe(), schema, lines, schema, self.operator, compiler.state_id)
        return replace(stage, output=self.operator.output_schema(*stage.schemas))
