"""Whether the columns of a graph are at hand: known without a connection, and without a call of a user's function."""

from __future__ import annotations

from arrowstream.operators.base import Operator
from arrowstream.plan.graph import Graph


def not_at_hand(graph: Graph) -> str | None:
    """Return the first source or step whose columns a notebook must not ask for; None if all are at hand.

    To ask may take long, as with an object store, or do work, as with a query or a function of the user.
    """
    for source in graph.sources:
        if not source.at_hand:
            return source.brief
    for id, step in graph.walk():
        if isinstance(step.operator, Operator) and not step.operator.at_hand:
            return id
    return None
