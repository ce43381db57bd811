"""Residences: neighbouring stages that run on one device, for which rows are brought there once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from arrowstream.backends.base import DeviceEvaluator
from arrowstream.plan.physical import OperatorStage, SegmentStage, Stage
from arrowstream.plan.placement.columns import names_before
from arrowstream.plan.placement.device_choice import DevicePlacement, connect


def lay_out(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """Let neighbouring stages of a line that devices can run be chosen together, and share uploads.

    Parameters
    ----------
    stages
        The stages of the line, in order.

    Returns
    -------
    tuple of Stage
        The same stages; operators between steps that take rows on a device leave theirs there.
    """
    for stage, following in reversed(list(pairwise(stages))):
        if isinstance(stage, SegmentStage) and isinstance(stage.placement, DevicePlacement):
            if isinstance(following, SegmentStage):
                _bring_for_segment(stage, following)
            elif isinstance(following, OperatorStage):
                _leave_on_device(stage, stage.placement, following)
    connect(stage.placement if isinstance(stage, SegmentStage) else None for stage in stages)
    laid_out = [
        replace(stage, operator=stage.operator.leaving_rows())
        if isinstance(stage, OperatorStage) and _takes_rows(following)
        else stage
        for stage, following in pairwise(stages)
    ]
    return (*laid_out, *stages[-1:])


def _takes_rows(stage: Stage) -> bool:
    """Return whether a stage takes rows that are on a device."""
    if isinstance(stage, SegmentStage):
        return isinstance(stage.placement, DevicePlacement)
    return isinstance(stage, OperatorStage) and stage.operator.reads_in_place is not None


def _bring_for_segment(stage: SegmentStage, following: SegmentStage) -> None:
    for name, evaluate in stage.evaluators.items():
        after = following.evaluators.get(name)
        if isinstance(evaluate, DeviceEvaluator) and isinstance(after, DeviceEvaluator):
            evaluate.look_ahead(names_before(after.reads | after.ahead, evaluate.passed))


def _leave_on_device(stage: SegmentStage, placement: DevicePlacement, following: OperatorStage) -> None:
    """Let rows stay on a device after a stage if the following one takes them, or groups of them, from there."""
    grouping = following.operator.grouping(following.schema)
    reads = following.operator.reads_in_place if grouping is None else grouping.reads
    if reads is None:
        return
    placement.link.stays_for = "rows" if grouping is None else "groups"
    for evaluate in stage.evaluators.values():
        if isinstance(evaluate, DeviceEvaluator):
            evaluate.look_ahead(names_before(reads, evaluate.passed))
