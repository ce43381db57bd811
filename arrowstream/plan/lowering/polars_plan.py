"""Polars' optimised, typed plan of a query, as far as its visitor shows it.

The visitor is what cuDF's Polars engine reads. It belongs to no public interface, so it has a version,
and only versions known to mean the same things by the same names are read at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

KNOWN_VERSIONS = range(11, 17)
"""Major versions of the visitor; 11 is Polars 1.35, 16 is Polars 2.1, those between were tried as well."""

_MARK = 3
"""Rows of the frame planned for: the optimiser puts frames of 0 and 1 rows in place of what it folds."""

Visitor = Any
"""Polars' `NodeTraverser`: it stands at one step of the plan and shows that step and its expressions."""


class Unreadable(Exception):
    """The plan cannot be read; the message is the reason."""


class TypedPlan:
    """The steps of a plan, the one that reads the source first.

    Parameters
    ----------
    query
        What is to be planned.
    schema
        Schema of the frame it is applied to.
    optimizations
        Which of Polars' optimisations to apply.

    Raises
    ------
    Unreadable
        This version of the plan is unknown, or it is no chain of steps over the one frame.
    """

    def __init__(
        self,
        query: Callable[[pl.LazyFrame], pl.LazyFrame],
        schema: pl.Schema,
        optimizations: pl.QueryOptFlags,
    ) -> None:
        lazy = query(pl.DataFrame(schema=schema).clear(_MARK).lazy())
        try:
            self.visitor: Visitor = lazy._ldf.with_optimizations(optimizations._pyoptflags).visit()
            version = self.visitor.version()
        except AttributeError as error:
            raise Unreadable(f"this version of Polars does not show its plan ({error})") from error
        if version[0] not in KNOWN_VERSIONS:
            raise Unreadable(f"version {'.'.join(map(str, version))} of Polars' plan is not known")
        self.steps = self._chain()
        self._check_source(schema)

    def at(self, step: int) -> Any:
        """Stand at a step; what it is."""
        self.visitor.set_node(step)
        try:
            return self.visitor.view_current_node()
        except NotImplementedError as error:
            raise Unreadable(f"Polars does not show a step of the plan: {error}") from error

    def schema(self, step: int) -> pl.Schema:
        """The schema that comes out of a step."""
        self.visitor.set_node(step)
        return pl.Schema(self.visitor.get_schema())

    def _chain(self) -> list[int]:
        steps = [self.visitor.get_node()]
        while inputs := self.visitor.get_inputs():
            if len(inputs) != 1:
                raise Unreadable("the plan joins several inputs")
            steps.append(inputs[0])
            self.visitor.set_node(inputs[0])
        return steps[::-1]

    def _check_source(self, schema: pl.Schema) -> None:
        scan = self.at(self.steps[0])
        kind = type(scan).__name__
        if kind != "DataFrameScan":
            raise Unreadable(f"the plan starts with {kind}")
        frame = pl.DataFrame._from_pydf(scan.df)
        # Of columns that nothing reads, the optimiser may keep the name only.
        read = schema if scan.projection is None else scan.projection
        found = frame.schema
        same = found.names() == schema.names() and all(found[name] == schema[name] for name in read)
        if frame.height != _MARK or not same:
            raise Unreadable("the result does not depend on the rows that come in")
        if scan.selection is not None:
            raise Unreadable("the plan filters inside its scan")
