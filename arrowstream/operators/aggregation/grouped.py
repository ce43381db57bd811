"""`group_by`: `reduce` in the words of Polars, ``.group_by("k").agg(...)``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import polars as pl

from arrowstream.core.hints import unfinished, unfinished_text
from arrowstream.core.mistakes.explain import explain_calls
from arrowstream.errors import PlanError
from arrowstream.operators.arguments import flatten, parse_expressions, parse_keys
from arrowstream.operators.reduce import OPTIONS, Emit, Reduce
from arrowstream.state.limit import OnFull, StateLimit

Built = TypeVar("Built")

_UNFINISHED: Final = ("group_by(...)", ".agg(...)", ".group_by(...).agg(n=pl.len())")
"""The step, the call that must come next, and a complete call."""


@explain_calls
@dataclass(frozen=True, slots=True)
class Grouped(Generic[Built]):
    """Key columns without aggregates yet; `agg` completes the step."""

    _then: Callable[[Reduce], Built]
    _make: Callable[[tuple[pl.Expr, ...]], Reduce]

    def agg(self, *exprs: Any, **named: Any) -> Built:
        """Give one row for every key, with these aggregates.

        Parameters
        ----------
        exprs, named
            What `polars.DataFrame.group_by(...).agg(...)` takes: a name, or an expression without an aggregation,
            gives a list of all values of the key.

        Returns
        -------
        Builder
            A new builder, with this step at the end.

        Raises
        ------
        PlanError
            No aggregate is given, or an input cannot become an expression.
        """
        return self._then(self._make(parse_expressions("group_by(...).agg", exprs, named, OPTIONS)))

    def __repr__(self) -> str:
        return unfinished_text(*_UNFINISHED)

    if not TYPE_CHECKING:  # a type checker finds the mistake itself

        def __getattr__(self, name: str) -> Any:
            step, missing, example = _UNFINISHED
            raise unfinished(step, name, missing, example)


def grouped(
    then: Callable[[Reduce], Built],
    by: tuple[str | Iterable[str], ...],
    *,
    emit: Emit = "end",
    max_keys: int | None = None,
    max_bytes: int | None = None,
    on_full: OnFull = "error",
) -> Grouped[Built]:
    """Group the whole stream by keys, for aggregates over each of them.

    The step is that of `reduce`, and `explain()` shows it as such; `arrowstream.Builder.group_by` describes it.

    Parameters
    ----------
    then
        Receives the operator and gives the result of `agg`; a `Builder` appends it after its last step.
    by
        The columns to group by; null is a key.
    emit, max_keys, max_bytes, on_full
        As for `reduce`.

    Raises
    ------
    PlanError
        No column is given, a key is not a name, or an option is unknown.
    """
    names = parse_keys("group_by", tuple(flatten(by)))
    if not names:
        raise PlanError("group_by() names no column", hint="reduce(...) aggregates all rows together")
    limit = StateLimit(max_keys, max_bytes, on_full)
    return Grouped(then, lambda exprs: Reduce(names, exprs, emit, limit))
