"""The column of event time that the rows of a stream have."""

from __future__ import annotations

from typing import Any

from arrowstream.errors import PlanError
from arrowstream.operators.aggregation.reserved_names import START
from arrowstream.operators.windows.session_window import SessionWindow
from arrowstream.operators.windows.time_window import TimeWindow
from arrowstream.operators.with_event_time import Watermarks
from arrowstream.plan.graph import Graph


def event_column(graph: Graph) -> str | None:
    """Return the column of the last step that gives rows their event time; None if no step does.

    That is the column of `with_event_time`, or, after a window, the start of the window.
    """
    for step in reversed(graph.steps):
        if isinstance(step.operator, Watermarks):
            return step.operator.column
        if isinstance(step.operator, TimeWindow | SessionWindow):
            return START
    return None


def needed_column(step: str, argument: str, time: Any, graph: Graph) -> str:
    """Return the column of event time that a step needs.

    Parameters
    ----------
    step
        Name of the builder's method, for errors.
    argument
        The argument that needs it, for errors.
    time
        The column that the user names; None for that of the stream.
    graph
        The stream.

    Raises
    ------
    PlanError
        None is named and the stream has none, or `time` is not a name.
    """
    found = event_column(graph) if time is None else time
    if not isinstance(found, str):
        raise PlanError(
            f"{step}({argument}=...) needs a column of event times",
            expected='time="ts", or .with_event_time("ts") before',
            found="none" if found is None else repr(found),
        )
    return found
