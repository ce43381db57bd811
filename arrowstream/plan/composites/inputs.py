"""The base of steps at which other pipelines meet the stream."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from arrowstream.errors import PlanError
from arrowstream.plan.graph import Child, Composite, Graph
from arrowstream.plan.step_ids import numbered


@dataclass(frozen=True, slots=True)
class OtherInputs(Composite):
    """A step with further inputs.

    Parameters
    ----------
    others
        Graphs with a source and without a sink.
    """

    others: tuple[Graph, ...]

    @property
    def children(self) -> tuple[Child, ...]:
        names = numbered([other.name for other in self.others])
        return tuple(map(Child, names, self.others))

    def with_children(self, graphs: Sequence[Graph]) -> Self:
        return replace(self, others=tuple(graphs))


def checked_inputs(call: str, others: Iterable[Graph]) -> tuple[Graph, ...]:
    """Return the graphs as a tuple, once each is checked to be an input.

    Parameters
    ----------
    call
        The builder's method that errors name.

    Raises
    ------
    PlanError
        The list is empty, or a graph has no source or has a sink.
    """
    graphs = tuple(others)
    if not graphs:
        raise PlanError(f"{call}() has no other input", expected="at least one other builder")
    for graph in graphs:
        if graph.source is None or not graph.has_output:
            raise PlanError(
                f"{call}() cannot take the rows of {graph.name!r}",
                expected="a builder with a source and without a sink",
                found="no source" if graph.source is None else "a sink",
            )
    return graphs
