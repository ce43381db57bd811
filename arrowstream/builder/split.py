"""`split`: send each row to one of several branches, and merge them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, Self, TypeVar

import polars as pl

from arrowstream.core.hints import unfinished, unfinished_text
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.errors import PlanError
from arrowstream.operators.arguments import parse_expression
from arrowstream.plan.composites.router import OTHERWISE
from arrowstream.plan.composites.split import Split
from arrowstream.plan.graph import Child, Graph


class HasGraph(Protocol):
    """The interface of a builder that this module needs."""

    @property
    def graph(self) -> Graph: ...

    def __init__(self, graph: Graph) -> None: ...


B = TypeVar("B", bound=HasGraph)

_UNFINISHED: Final = ("split(...)", ".merge()", ".split(...).branch(...).merge()")
"""The step, the call that must come next, and a complete call."""


@explain_calls
@dataclass(frozen=True, slots=True, eq=False)
class Splitting(Generic[B]):
    """A split under construction: add branches with `branch` and `otherwise`, then `merge` them.

    Immutable like the builder. Rows of a branch that ends in a sink do not come out of `merge`.
    Rows of one branch keep their order; the order between rows of several branches is unspecified.

    Parameters
    ----------
    before
        The builder up to the split.
    selector
        Expression that gives the branch's name for every row: String, Categorical, Enum, an integer or a boolean.
    branches, rest
        The branches so far, and the branch of all other rows.
    """

    before: B
    selector: pl.Expr
    branches: tuple[Child, ...] = ()
    rest: Child | None = None

    @classmethod
    def of(cls, before: B, selector: Any) -> Splitting[B]:
        """Make a split of the rows of `before`, without branches."""
        return Splitting(before, parse_expression("split", selector))

    def branch(self, name: str, steps: Callable[[B], B] = lambda rows: rows) -> Self:
        """Add a branch: rows of this name go through `steps`, a function from a builder to a builder.

        Parameters
        ----------
        name
            Value of `selector` for these rows; whole numbers and booleans as text.
        steps
            Takes a builder and returns it with steps, and optionally a sink, added; by default adds nothing.

        Returns
        -------
        Splitting
            The split with this branch.

        Raises
        ------
        PlanError
            `steps` is not such a function.
        """
        return replace(self, branches=(*self.branches, self._child(name, steps)))

    def otherwise(self, steps: Callable[[B], B] = lambda rows: rows) -> Self:
        """Add a branch for all other rows, including those with a null name; without it, such a row is an error.

        Parameters
        ----------
        steps
            As for `branch`.

        Returns
        -------
        Splitting
            The split with this branch.

        Raises
        ------
        PlanError
            `otherwise` was already called, or `steps` is not such a function.
        """
        if self.rest is not None:
            raise PlanError("otherwise() twice for one split")
        return replace(self, rest=self._child(OTHERWISE, steps))

    def merge(self) -> B:
        """Return the builder that continues with the rows of all branches without a sink, in one schema.

        Returns
        -------
        Builder
            A new builder, with the split at the end.

        Raises
        ------
        PlanError
            At `build()`: the split has no branch, or two of one name.
        """
        graph = self.before.graph.with_step(Split(self.selector, self.branches, self.rest))
        return type(self.before)(graph)

    def __repr__(self) -> str:
        return unfinished_text(*_UNFINISHED)

    if not TYPE_CHECKING:  # a type checker finds the mistake itself

        def __getattr__(self, name: str) -> Any:
            step, missing, example = _UNFINISHED
            raise unfinished(step, name, missing, example)

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
