"""The check that no table is upserted into with rows of which some would have to leave it, and are never named."""

from __future__ import annotations

from collections.abc import Sequence

from arrowstream.errors import PlanError
from arrowstream.operators.top_k import TopK
from arrowstream.plan.physical import OperatorStage, Plan, SegmentStage, SinkBinding, SplitStage, Stage


def check_rows_that_leave(plan: Plan) -> None:
    """Check that a table of the rows of ``top_k(emit="updates")`` holds no row that is no longer among the first.

    Updates are the rows that are among the first: with one row for a group, and a key of no more columns than the
    group's, such a row replaces the one before; any other row stays in the table.

    Raises
    ------
    PlanError
        A sink replaces rows by a key, and rows that leave the first ones would stay.
    """
    _check(plan.stages, plan.sink, None)


def _check(stages: Sequence[Stage], sink: SinkBinding | None, largest: TopK | None) -> None:
    for stage in stages:
        for line in stage.lines:
            _check(line.stages, line.sink, largest if isinstance(stage, SplitStage) else None)
        if isinstance(stage, OperatorStage):
            operator = stage.operator
            largest = operator if isinstance(operator, TopK) and operator.emit == "updates" else None
        elif not isinstance(stage, SegmentStage):
            largest = None
    if sink is None or largest is None or not sink.sink.replaced_by:
        return
    if largest.k > 1 or len(sink.sink.replaced_by) > len(largest.per):
        raise PlanError(
            f"rows that are no longer among the first {largest.k} would stay in {sink.sink.label}",
            stage=sink.name,
            expected="rows with what becomes of them",
            found="updates, which are the first rows alone",
            hint='emit="changes" of top_k: the sink then deletes rows that leave',
        )
