"""The stage of a segment: the backends that can run it, and the reasons of those that cannot."""

from __future__ import annotations

from collections.abc import Sequence

from arrowstream.backends.base import Backend, Evaluator
from arrowstream.core.batch import Batch
from arrowstream.errors import PlanError
from arrowstream.plan.lowering.lower import lower
from arrowstream.plan.physical import SegmentStage
from arrowstream.plan.placement.choice import Placement
from arrowstream.plan.placement.columns import column_use
from arrowstream.plan.placement.device_choice import DevicePlacement
from arrowstream.plan.placement.transfer import TransferEdge
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
    """Prepare a segment on every backend that can run it.

    Parameters
    ----------
    name
        The stage's name.
    segment
        The segment.
    backends
        The backends to ask.
    pin
        The backend that the segment is pinned to, or ``"auto"``.
    policies
        The stage's policies.
    into_arrow
        True if the rows are needed in Arrow form directly after the stage.

    Raises
    ------
    PlanError
        The segment is pinned to a backend that cannot run it.
    """
    program = lower(segment)
    evaluators: dict[str, Evaluator] = {}
    refused: dict[str, str] = {}
    for backend in backends:
        prepared = backend.prepare(segment, program)
        if callable(prepared):
            # A device's stage converts at its end anyway, and measures that apart.
            converts = into_arrow and backend.form is None
            evaluators[backend.name] = _into_arrow(prepared) if converts else prepared
        else:
            refused[backend.name] = str(prepared)
    if pin in refused:
        raise PlanError(
            f"the {pin} backend cannot run this step",
            stage=name,
            found=refused[pin],
            hint=f"take the pin away, or use backend({general(backends)!r}), which runs every expression",
        )
    choice = [each for each in backends if each.name in evaluators and pin in ("auto", each.name)]
    placement: Placement
    devices = [backend.name for backend in choice if backend.form is not None]
    if devices:
        edges = TransferEdge(segment.schema, backends), TransferEdge(segment.output, backends)
        use = column_use(evaluators[devices[0]], segment.schema)
        placement = DevicePlacement(choice, refused, pin, name, *edges, use)
    else:
        absent = [each.name for each in backends if each.form is not None and each.name in refused]
        placement = Placement({each.name: each.start_cost for each in choice}, refused, pin, absent)
    return SegmentStage(name, segment, evaluators, placement, policies)


def general(backends: Sequence[Backend]) -> str:
    """Return the name of the backend that refuses no segment."""
    return next(backend.name for backend in backends if backend.runs_everything)


def _into_arrow(evaluate: Evaluator) -> Evaluator:
    """Add the conversion to Arrow to an evaluator, so that its time counts as a cost of the backend."""

    def evaluate_into_arrow(batch: Batch) -> Batch:
        result = evaluate(batch)
        result.arrow()
        return result

    return evaluate_into_arrow
