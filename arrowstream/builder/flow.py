"""The steps of the builder that cut, slow, part and join streams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from arrowstream.builder.base import GraphBuilder
from arrowstream.builder.split import Splitting
from arrowstream.core.duration import Duration
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.errors import PlanError
from arrowstream.operators.buffer import Buffer
from arrowstream.operators.rebatch import Rebatch
from arrowstream.plan.composites.merge import Merge

if TYPE_CHECKING:
    from polars._typing import IntoExpr


@explain_calls
@dataclass(frozen=True, slots=True)
class FlowSteps(GraphBuilder):
    """Steps that cut, slow, part and join streams. The docstrings of the operators document them."""

    def batch(
        self, rows: int | None = None, *, nbytes: int | None = None, max_delay: Duration | None = None
    ) -> Self:
        """Regroup rows into batches of `rows` or `nbytes`, holding none longer than `max_delay`; see `Rebatch`."""
        return self._then(Rebatch(rows, nbytes, max_delay))

    def throttle(self, rows: int | None = None, *, batches: int | None = None, per: Duration = "1s") -> Self:
        """Pass at most `rows` or `batches` per time `per`, slowing the source to this rate; see `Throttle`."""
        from arrowstream.operators.throttle import Throttle

        return self._then(Throttle(rows, batches, per))

    def buffer(self, capacity: int) -> Self:
        """Add a queue of `capacity` batches, so that the steps before it can run ahead; see `Buffer`."""
        return self._then(Buffer(capacity))

    def split(self, selector: IntoExpr) -> Splitting[Self]:
        """Send each row down the branch that `selector` names; see `Splitting`."""
        return Splitting.of(self, selector)

    def merge(self, *others: GraphBuilder) -> Self:
        """Add the rows of other pipelines without a sink, of the same schema, as they come; see `Merge`."""
        for other in others:
            if not isinstance(other, GraphBuilder):
                raise PlanError(
                    "merge() takes builders",
                    expected="such as Pipeline.builder().source(...)",
                    found=type(other).__name__,
                )
        return type(self)(self.graph.with_step(Merge.of(other.graph for other in others)))
