"""Checks of rows that change: what a table needs that has one row for each value of a key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from arrowstream.errors import PlanError
from arrowstream.operators.filter import Filter
from arrowstream.operators.filter_map import FilterMapExpressions
from arrowstream.plan.composites.event_lineage import names_after
from arrowstream.plan.physical import (
    InputsStage,
    OperatorStage,
    Plan,
    SegmentStage,
    SinkBinding,
    SplitStage,
    Stage,
)


@dataclass(frozen=True, slots=True)
class _Before:
    """The last step before a sink that is more than expressions, and the expressions after it.

    `chosen` is True if a split sends only some of the rows there.
    """

    stage: OperatorStage | InputsStage | None = None
    segments: tuple[SegmentStage, ...] = ()
    chosen: bool = False


def check_rows_that_leave(plan: Plan) -> None:
    """Check that a table of the rows of ``top_k(emit="updates")`` holds no row that is no longer among the first.

    Raises
    ------
    PlanError
        A sink replaces rows by a key, and rows that leave the first ones would stay.
    """
    for sink, before in _sinks(plan.stages, plan.sink, _Before()):
        step = before.stage and before.stage.operator
        left = step and step.left_behind(sink.sink.replaced_by)
        if left is not None:
            raise PlanError(
                f"{left} would stay in {sink.sink.label}",
                stage=sink.name,
                expected="rows with what becomes of them",
                found="updates, which are the first rows alone",
                hint='emit="changes" of top_k: the sink then deletes rows that leave',
            )


def check_rows_that_come_again(plan: Plan) -> None:
    """Check that no table whose rows differ in a key gets rows of which a step gives several with one key.

    ``reduce(emit="updates")`` gives a row of each group after each batch; changes name a row when it comes, and again
    when it is replaced or deleted. A key with a column that is not among these, such as a count, may be of one row.

    Raises
    ------
    PlanError
        The database would refuse the second row, in the middle of the run.
    """
    for sink, before in _sinks(plan.stages, plan.sink, _Before()):
        key, stage = sink.sink.unique_by, before.stage
        # A condition may leave one row of each key.
        if not key or stage is None or stage.operator is None or before.chosen:
            continue
        again = stage.operator.that_come_again(stage.output)
        for step in (step for segment in before.segments for step in segment.segment.steps):
            filters = isinstance(step, Filter | FilterMapExpressions)
            again = None if filters else names_after(step, again)
        if again is not None and again.issuperset(key):
            raise PlanError(
                f"rows of one key come several times, and {sink.sink.label} takes one",
                stage=sink.name,
                expected="a table in which a row replaces the one before",
                found=f"a step whose rows change, {stage.name}, with the key {', '.join(key)}",
                hint='mode="upsert" follows what becomes of rows; without a key=, the table has all of them',
            )


def _sinks(
    stages: Sequence[Stage], sink: SinkBinding | None, before: _Before
) -> Iterator[tuple[SinkBinding, _Before]]:
    """Yield the sinks at ends, each with what is before it; streams that meet hide that."""
    for stage in stages:
        for line in stage.lines:
            yield from _sinks(line.stages, line.sink, _into(stage, before))
        if isinstance(stage, SegmentStage):
            before = replace(before, segments=(*before.segments, stage))
        elif isinstance(stage, OperatorStage | InputsStage):
            before = _Before(stage)
        else:
            before = _Before()
    if sink is not None:
        yield sink, before


def _into(stage: Stage, before: _Before) -> _Before:
    """Return what is before the lines inside a stage."""
    if not isinstance(stage, SplitStage):
        return _Before()
    return before if stage.route is None else replace(before, chosen=True)
