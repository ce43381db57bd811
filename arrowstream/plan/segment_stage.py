"""A segment as a stage: which backends can run it, and why the others cannot."""

from __future__ import annotations

from collections.abc import Sequence

from arrowstream.backends.base import Backend, Evaluator
from arrowstream.core.batch import Batch
from arrowstream.errors import PlanError
from arrowstream.plan.lowering.lower import lower
from arrowstream.plan.physical import SegmentStage
from arrowstream.plan.placement.choice import Placement
from arrowstream.plan.policies import NO_POLICIES, Policies
from arrowstream.plan.segment import Segment


def segment_stage(
    name: str,
    segment: Segment,
    backends: Sequence[Backend],
    *,
    pin: str = "auto",
    policies: Policies = NO_POLICIES,
    into_arrow: bool = False,
) -> SegmentStage:
    """The stage of a segment.

    Parameters
    ----------
    name
        The stage's name.
    pin
        The backend it is pinned to, or ``"auto"``.
    policies
        Its policies.
    into_arrow
        True if the rows are needed in Arrow form right after it.

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
            evaluators[backend.name] = _into_arrow(prepared) if into_arrow else prepared
        else:
            refused[backend.name] = str(prepared)
    if pin in refused:
        raise PlanError(
            f"the {pin} backend cannot run this step",
            stage=name,
            found=refused[pin],
            hint='take the pin away, or use backend("polars"), which runs every expression',
        )
    placement = Placement(tuple(evaluators), refused, pin)
    return SegmentStage(name, segment, evaluators, placement, policies)


def _into_arrow(evaluate: Evaluator) -> Evaluator:
    """With the rows' Arrow form made at once: that is part of what a backend that gives another one costs."""

    def evaluate_into_arrow(batch: Batch) -> Batch:
        result = evaluate(batch)
        result.arrow()
        return result

    return evaluate_into_arrow
