"""`rename`: columns under new names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from arrowstream.errors import PlanError
from arrowstream.expressions.lineage import Names
from arrowstream.expressions.text import name_text
from arrowstream.operators.base import Expressions, Frame


@dataclass(frozen=True, slots=True)
class Rename(Expressions):
    """The same columns, some under new names, as `polars.LazyFrame.rename`.

    Parameters
    ----------
    names
        Pairs of an old name, which must be there, and the new one.
    """

    name: ClassVar[str] = "rename"
    names: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, mapping: Mapping[str, str]) -> Rename:
        """Make the step from ``{old: new}``.

        Parameters
        ----------
        mapping
            Old names, which must be there, and the new ones.

        Raises
        ------
        PlanError
            `mapping` is empty, or isn't a mapping from name to name.
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

    def names_after(self, names: Names) -> Names:
        new = dict(self.names)
        return frozenset(new.get(name, name) for name in names)

    def describe(self) -> str:
        return f"rename({', '.join(f'{name_text(old)} -> {name_text(new)}' for old, new in self.names)})"
