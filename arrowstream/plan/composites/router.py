"""The router of a split: an expression gives the branch name of each row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import polars as pl

from arrowstream.core.batch import Batch
from arrowstream.core.rows.empty_frames import no_rows
from arrowstream.errors import PlanError, SchemaError, StageError
from arrowstream.expressions.text import expression_text
from arrowstream.operators.base import Expressions, Frame
from arrowstream.state.owned_rows import owned_if_few

OTHERWISE = "otherwise"
"""The name of the branch for rows that match no other branch."""


@dataclass(frozen=True, slots=True, eq=False)
class Router(Expressions):
    """Divides a batch into one batch for each branch. As a function of a frame, it gives the column of names.

    A backend evaluates that function, like other expressions: backends compute a row that is alone in its batch
    as if it were among others, so that its branch never depends on the cut. A batch whose rows all go to one
    branch is passed on unchanged; otherwise rows are filtered, which copies them once.

    Parameters
    ----------
    selector
        A branch's name for every row: text, a category, a whole number (``1`` is ``"1"``) or a boolean
        (``"true"``, ``"false"``).
    branches
        The names of the branches.
    otherwise
        True for a branch ``"otherwise"`` for rows with another name or null; without it such a row
        is a `StageError`.

    Raises
    ------
    PlanError
        No branch is given, or a name is empty or given twice.

    Examples
    --------
    >>> import polars as pl
    >>> from arrowstream.core.batch import Batch
    >>> from arrowstream.plan.composites.router import Router
    >>> size = pl.when(pl.col("x") > 2).then(pl.lit("high")).otherwise(pl.lit("low"))
    >>> router = Router(size, ("high", "low"))
    >>> router.check(pl.Schema({"x": pl.Int64}))
    >>> batch = Batch(pl.DataFrame({"x": [1, 5, 2, 3]}))
    >>> parts = router.route(batch, batch.with_rows(router.apply(batch.polars())))
    >>> [(name, part.polars()["x"].to_list()) for name, part in parts]
    [('high', [5, 3]), ('low', [1, 2])]
    """

    name: ClassVar[str] = "split"
    selector: pl.Expr
    branches: tuple[str, ...]
    otherwise: bool = False

    def __post_init__(self) -> None:
        names = (*self.branches, OTHERWISE) if self.otherwise else self.branches
        if not self.branches:
            raise PlanError("split() has no branch", expected='at least one .branch("name", ...)')
        for place, name in enumerate(names):
            if not isinstance(name, str) or not name:
                raise PlanError(
                    "a branch needs a name",
                    expected="a text that the split's expression gives",
                    found=repr(name),
                    hint='whole numbers and booleans are matched as text: "1", "true", "false"',
                )
            if name in names[:place]:
                raise PlanError(f"two branches are called {name!r}", expected="a name of its own for each")

    def apply(self, frame: Frame) -> Frame:
        return frame.select(self.selector)

    def expressions(self) -> tuple[pl.Expr, ...]:
        return (self.selector,)

    def with_expressions(self, exprs: tuple[pl.Expr, ...]) -> Router:
        return replace(self, selector=exprs[0])

    def describe(self) -> str:
        return f"split({expression_text(self.selector)})"

    def check(self, schema: pl.Schema) -> None:
        """Check that the expression, which fits `schema`, gives one name for each row.

        Raises
        ------
        SchemaError
            The expression gives several columns, or a column whose values aren't names.
        """
        found = no_rows(schema).lazy().select(self.selector).collect_schema()
        if len(found) == 1 and _names(found.dtypes()[0]):
            return
        raise SchemaError(
            "split() needs one name for every row",
            expected="one column of text, categories, whole numbers or booleans",
            found=f"{', '.join(f'{name}: {dtype}' for name, dtype in found.items())}, from {self.describe()}",
            hint="make it text with .cast(pl.String)" if len(found) == 1 else None,
        )

    def route(self, batch: Batch, names: Batch) -> list[tuple[str, Batch]]:
        """Return the rows of each branch that gets any, in their order; branches in theirs, ``"otherwise"`` last.

        Parameters
        ----------
        batch
            The rows.
        names
            One column: the selector's value for each row.

        Raises
        ------
        StageError
            A row matches no branch.
        """
        named = names.polars().to_series().cast(pl.String)
        rest = len(named)
        parts: list[tuple[str, pl.Series]] = []
        for name in self.branches:
            mask = named.eq_missing(name)
            count = int(mask.sum())
            if count == len(named) and count:
                return [(name, batch)]
            if count:
                parts.append((name, mask))
                rest -= count
            if not rest:
                break
        if rest:
            others = ~named.is_in(self.branches).fill_null(False)
            if not self.otherwise:
                raise self._lost(batch, named, others)
            if not parts:
                return [(OTHERWISE, batch)]
            parts.append((OTHERWISE, others))
        rows = batch.polars()
        return [(name, batch.with_rows(owned_if_few(rows.filter(mask), rows.height))) for name, mask in parts]

    def _lost(self, batch: Batch, named: pl.Series, others: pl.Series) -> StageError:
        first = others.arg_max()
        assert first is not None
        position = batch.slice(first, 1).position
        count = int(others.sum())
        return StageError(
            "a row is for no branch" if count == 1 else f"{count} rows are for no branch",
            position=None if position is None else str(position),
            expected=f"one of the branches {', '.join(map(repr, self.branches))}",
            found=f"{named[first]!r}{', the first of them' if count > 1 else ''}",
            hint="add .otherwise(...) for all other rows, null included",
        )


def _names(dtype: pl.DataType) -> bool:
    """Return whether values of this type, as text, are names."""
    return dtype.is_integer() or dtype in (pl.String, pl.Boolean, pl.Categorical, pl.Enum)
