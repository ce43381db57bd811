"""`split`: rows take different ways, and may meet again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

import polars as pl

from arrowstream.core.hints import unfinished
from arrowstream.errors import PlanError
from arrowstream.operators.arguments import parse_expression
from arrowstream.operators.route import OTHERWISE
from arrowstream.plan.composites.split import Split
from arrowstream.plan.graph import Child, Graph


class HasGraph(Protocol):
    """A builder, as far as this file knows it."""

    @property
    def graph(self) -> Graph: ...

    def __init__(self, graph: Graph) -> None: ...


B = TypeVar("B", bound=HasGraph)


@dataclass(frozen=True, slots=True, eq=False)
class Splitting(Generic[B]):
    """A split being written: name the ways with `branch` and `otherwise`, then `merge` them.

    Immutable like the builder. A branch that ends in a sink of its own does not come out of `merge`.
    Rows of one branch keep their order; how the branches' rows interleave where they meet is left open.

    Parameters
    ----------
    before
        The builder up to the split.
    selector
        A branch's name for every row: text, a category, a whole number or a boolean (as text).
    branches, rest
        The ways so far, and that of all other rows.

    Notes
    -----
    Costs some 0.3 ms a batch of 1,000 rows and two branches: a few passes over the names of a batch's rows, and a
    copy of the rows into the batches of their branches; none where all rows of a batch go one way. Each branch
    has a task and a channel of its own, some 10 us a batch, as has what comes after the merge; up to 2 batches
    wait before each (setting ``default_buffer_size``). No state.

    Examples
    --------
    >>> import polars as pl
    >>> from arrowstream import Pipeline, Source
    >>> size = pl.when(pl.col("x") > 2).then(pl.lit("high")).otherwise(pl.lit("low"))
    >>> result = (
    ...     Pipeline.builder()
    ...     .source(Source.from_frame(pl.DataFrame({"x": [1, 5, 2]})))
    ...     .split(size)
    ...     .branch("high", lambda rows: rows.map(x=pl.col("x") * 10))
    ...     .branch("low", lambda rows: rows)
    ...     .merge()
    ...     .collect_sync()
    ... )
    >>> sorted(result["x"])
    [1, 2, 50]
    """

    before: B
    selector: pl.Expr
    branches: tuple[Child, ...] = ()
    rest: Child | None = None

    @classmethod
    def of(cls, before: B, selector: Any) -> Splitting[B]:
        """A split of what comes out of `before`, without branches yet."""
        return Splitting(before, parse_expression("split", selector))

    def branch(self, name: str, steps: Callable[[B], B] = lambda rows: rows) -> Self:
        """Rows of this name go through `steps`, a function from a builder to a builder.

        Parameters
        ----------
        name
            What `selector` gives for these rows; whole numbers and booleans as text.
        steps
            Puts steps, and perhaps a sink, behind the builder that it gets; by default it leaves it as it is.

        Raises
        ------
        PlanError
            `steps` is no such function.
        """
        return replace(self, branches=(*self.branches, self._way(name, steps)))

    def otherwise(self, steps: Callable[[B], B] = lambda rows: rows) -> Self:
        """All other rows, those without a name included; without this, such a row is an error.

        Parameters
        ----------
        steps
            As for `branch`.

        Raises
        ------
        PlanError
            It is called a second time, or `steps` is no such function.
        """
        if self.rest is not None:
            raise PlanError("otherwise() twice for one split")
        return replace(self, rest=self._way(OTHERWISE, steps))

    def merge(self) -> B:
        """The builder that goes on with the rows of all branches without a sink, in one schema."""
        graph = self.before.graph.with_step(Split(self.selector, self.branches, self.rest))
        return type(self.before)(graph)

    if not TYPE_CHECKING:  # a type checker finds the mistake itself

        def __getattr__(self, name: str) -> Any:
            raise unfinished("split(...)", name, ".merge()", ".split(...).branch(...).merge()")

    def _way(self, name: str, steps: Callable[[B], B]) -> Child:
        inner = type(self.before)(Graph(name, inner=True))
        written = steps(inner) if callable(steps) else None
        if not isinstance(written, type(inner)) or not written.graph.inner:
            raise PlanError(
                f"branch {name!r} needs a function of a builder",
                expected="such as lambda rows: rows.map(x=...)",
                found=f"{written!r}"[:80] if callable(steps) else repr(steps),
            )
        return Child(name, written.graph)
