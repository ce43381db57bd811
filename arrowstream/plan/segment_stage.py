"""A segment as a stage: which backends can run it, and why the others cannot."""

from __future__ import annotations

from collections.abc import Sequence

from arrowstream.backends.base import Backend, Evaluator
from arrowstream.errors import PlanError
from arrowstream.plan.lowering import lower
from arrowstream.plan.physical import SegmentStage
from arrowstream.plan.placement import Placement
from arrowstream.plan.policies import Policies
from arrowstream.plan.segment import Segment


def segment_stage(
    name: str, segment: Segment, pin: str, backends: Sequence[Backend], policies: Policies
) -> SegmentStage:
    """The stage of a segment.

    Raises
    ------
    PlanError
        It is pinned to a backend that cannot run it.
    """
    program = lower(segment)
    evaluators: dict[str, Evaluator] = {}
    refused: dict[str, str] = {}
    for backend in backends:
        prepared = backend.prepare(segment, program)
        if callable(prepared):
            evaluators[backend.name] = prepared
        else:
            refused[backend.name] = str(prepared)
    if pin in refused:
        raise PlanError(
            f"the {pin} backend cannot run this step",
            stage=name,
            found=refused[pin],
            hint='take the pin away, or use backend("polars"), which runs every expression',
        )
    return SegmentStage(name, segment, evaluators, Placement(tuple(evaluators), refused, pin), policies)
