"""`split`: rows take one of several branches, which may meet again."""

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
    """A split being written: add branches with `branch` and `otherwise`, then `merge` them.

    Immutable like the builder. The rows of a branch that ends in a sink do not come out of `merge`.
    Rows of one branch keep their order; how rows of several branches interleave is unspecified.

    Parameters
    ----------
    before
        The builder up to the split.
    selector
        A branch's name for every row: text, a category, a whole number or a boolean (as text).
    branches, rest
        The branches so far, and that of all other rows.

    Notes
    -----
    Costs some 0.3 ms a batch of 1,000 rows and two branches: a few passes over the names of a batch's rows, and a
    copy of the rows into the batches of their branches; no copy if all rows of a batch take one branch. Each
    branch has a task and a channel, some 10 us a batch, and so have the steps after the merge; up to 2 batches
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
            Gets a builder and returns it with steps, and perhaps a sink, added; by default, without any.

        Raises
        ------
        PlanError
            `steps` is not such a function.
        """
        return replace(self, branches=(*self.branches, self._child(name, steps)))

    def otherwise(self, steps: Callable[[B], B] = lambda rows: rows) -> Self:
        """All other rows, those without a name included; without this, such a row is an error.

        Parameters
        ----------
        steps
            As for `branch`.

        Raises
        ------
        PlanError
            It is called a second time, or `steps` is not such a function.
        """
        if self.rest is not None:
            raise PlanError("otherwise() twice for one split")
        return replace(self, rest=self._child(OTHERWISE, steps))

    def merge(self) -> B:
        """The builder that goes on with the rows of all branches without a sink, in one schema."""
        graph = self.before.graph.with_step(Split(self.selector, self.branches, self.rest))
        return type(self.before)(graph)

    if not TYPE_CHECKING:  # a type checker finds the mistake itself

        def __getattr__(self, name: str) -> Any:
            raise unfinished("split(...)", name, ".merge()", ".split(...).branch(...).merge()")

    def _child(self, name: str, steps: Callable[[B], B]) -> Child:
        inner = type(self.before)(Graph(name, inner=True))
        written = steps(inner) if callable(steps) else None
        if not isinstance(written, type(inner)) or not written.graph.inner:
            raise PlanError(
                f"branch {name!r} needs a function of a builder",
                expected="such as lambda rows: rows.map(x=...)",
                found=f"{written!r}"[:80] if callable(steps) else repr(steps),
            )
        return Child(name, written.graph)
