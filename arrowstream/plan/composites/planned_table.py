"""A table of a join that is the output of a pipeline of its own, which the picture of the plan shows."""

from __future__ import annotations

from abc import abstractmethod

from arrowstream.operators.base import Expressions, Operator
from arrowstream.operators.joins.tables import JoinTable, LooksUp
from arrowstream.plan.graph import Composite, Graph
from arrowstream.plan.physical import Line


class PlannedTable(JoinTable):
    """A table with the pipeline that makes it."""

    __slots__ = ()

    @property
    @abstractmethod
    def graph(self) -> Graph:
        """The pipeline, with a source and without a sink."""

    @property
    @abstractmethod
    def line(self) -> Line | None:
        """Its stages; None while the columns of its source are not known."""


def planned_table(operator: Expressions | Operator | Composite) -> PlannedTable | None:
    """Return the table of a join if a pipeline makes it; None for all other operators."""
    if isinstance(operator, LooksUp) and isinstance(operator.table, PlannedTable):
        return operator.table
    return None
