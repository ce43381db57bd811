"""`rename`: columns under new names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from arrowstream.errors import PlanError
from arrowstream.expression_text import name_text
from arrowstream.operators.base import Expressions, Frame


@dataclass(frozen=True, slots=True)
class Rename(Expressions):
    """The same columns, some under new names, as `polars.LazyFrame.rename`.

    Parameters
    ----------
    names
        Pairs of an old name, which must be there, and the new one.

    Examples
    --------
    >>> import polars as pl
    >>> from arrowstream.operators.rename import Rename
    >>> step = Rename.of({"x": "id"})
    >>> step.apply(pl.DataFrame({"x": [1], "y": [2]})).columns
    ['id', 'y']
    >>> step.describe()
    'rename(x -> id)'
    """

    name: ClassVar[str] = "rename"
    names: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, mapping: Mapping[str, str]) -> Rename:
        """The step from ``{old: new}``.

        Raises
        ------
        PlanError
            `mapping` is empty, or no mapping from name to name.
        """
        good = isinstance(mapping, Mapping) and all(
            isinstance(name, str) for pair in mapping.items() for name in pair
        )
        if not good or not mapping:
            raise PlanError(
                "rename() takes a mapping of names",
                expected='{"old": "new"} with at least one pair',
                found=f"{type(mapping).__name__} {mapping!r}",
            )
        return cls(tuple(mapping.items()))

    def apply(self, frame: Frame) -> Frame:
        return frame.rename(dict(self.names))

    def expressions(self) -> tuple[pl.Expr, ...]:
        return ()

    def describe(self) -> str:
        return f"rename({', '.join(f'{name_text(old)} -> {name_text(new)}' for old, new in self.names)})"
