"""The column of event time that the rows of a stream have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from arrowstream.errors import PlanError
from arrowstream.operators.aggregation.reserved_names import END, START
from arrowstream.operators.base import Expressions, Operator
from arrowstream.plan.composites.event_lineage import check_event_time
from arrowstream.plan.graph import Composite, Graph


def event_column(graph: Graph) -> str | None:
    """Return the column of the last step that gives rows their event time; None if no step does.

    That is the column of `with_event_time`, or, after a window, the start of the window.
    """
    step = _last_timed(graph)
    return None if step is None else step.time_column


def column_of_groups(step: str, per: Sequence[str], time: Any, graph: Graph) -> str | None:
    """Return the column of event time that completes groups; None if they are complete at the end of the stream.

    Parameters
    ----------
    step
        Name of the builder's method, for errors.
    per
        The columns whose values make a group.
    time
        The one among them that the user says is event time; None to find it.
    graph
        The stream.

    Raises
    ------
    PlanError
        `time` is not among the columns or is not event time, or groups are sessions by their end alone, of which
        several may have one.
    """
    if time is not None:
        if time not in per:
            raise PlanError(
                f"{step}(time=...) names a column that is not in per",
                expected="the column in per that is event time",
                found=repr(time),
                hint="only groups with one event time are complete before the stream ends",
            )
        return check_event_time(f"{step}(time=...)", str(time), graph)
    column = event_column(graph)
    if column in per:
        assert column is not None
        return check_event_time(f"{step}(per=...)", column, graph)
    if END not in per or column != START:
        return None
    last = _last_timed(graph)
    if last is not None and last.ends_repeat:
        raise PlanError(
            f'{step}(per="{END}") does not say when sessions of one end are complete',
            expected=f'per=["{START}", "{END}"]',
            found=", ".join(per),
        )
    return START


def _last_timed(graph: Graph) -> Expressions | Operator | None:
    """Return the last step that gives rows their event time."""
    found = [
        step.operator
        for step in graph.steps
        if not isinstance(step.operator, Composite) and step.operator.time_column is not None
    ]
    return found[-1] if found else None


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
        None is named and the stream has none, or `time` is not a name, or not that of event time.
    """
    found = event_column(graph) if time is None else time
    if not isinstance(found, str):
        raise PlanError(
            f"{step}({argument}=...) needs a column of event times",
            expected='time="ts", or .with_event_time("ts") before',
            found="none" if found is None else repr(found),
        )
    return check_event_time(f"{step}({argument}=...)", found, graph)
