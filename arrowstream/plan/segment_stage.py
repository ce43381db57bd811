"""A segment as a stage: which backends can run it, and why the others cannot."""

from __future__ import annotations

from collections.abc import Sequence

from arrowstream.backends.base import Backend, Evaluator
from arrowstream.core.batch import Batch
from arrowstream.errors import PlanError
from arrowstream.plan.fuse import Piece
from arrowstream.plan.lowering.lower import lower
from arrowstream.plan.physical import SegmentStage
from arrowstream.plan.placement.choice import Placement
from arrowstream.plan.segment import Segment


def segment_stage(
    piece: Piece, segment: Segment, backends: Sequence[Backend], *, into_arrow: bool = False
) -> SegmentStage:
    """The stage of a piece that is a segment.

    Parameters
    ----------
    into_arrow
        Whether the rows are needed in Arrow form right after it.

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
    if piece.pin in refused:
        raise PlanError(
            f"the {piece.pin} backend cannot run this step",
            stage=piece.name,
            found=refused[piece.pin],
            hint=f"take the pin away, or use backend({_general(backends)!r}), which runs every expression",
        )
    costs = {backend.name: backend.start_cost for backend in backends if backend.name in evaluators}
    placement = Placement(costs, refused, piece.pin)
    return SegmentStage(piece.name, segment, evaluators, placement, piece.policies)


def _general(backends: Sequence[Backend]) -> str:
    """The backend that refuses no segment."""
    return next(backend.name for backend in backends if backend.runs_everything)


def _into_arrow(evaluate: Evaluator) -> Evaluator:
    """With the rows' Arrow form made at once: that is part of what a backend that gives another one costs."""

    def evaluate_into_arrow(batch: Batch) -> Batch:
        result = evaluate(batch)
        result.arrow()
        return result

    return evaluate_into_arrow
